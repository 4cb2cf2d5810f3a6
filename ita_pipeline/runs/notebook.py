"""Predictions for other libraries: as HTML that notebooks show, and as documents of spaCy.

The HTML contains everything that it needs. All text is escaped, hidden characters are written out, and pictures are
encoded again, so that no byte of their files reaches the browser.
"""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ita_pipeline.core.text import escape_hidden
from ita_pipeline.corpus.posts import Box, Post
from ita_pipeline.sources.decode import MAX_BYTES, encode_thumbnail, measure_upright
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef
from stages.base import BadItemError
from stages.objects.schema import ObjectsValue

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

ScoredMention = tuple[int, int, str, float]
"""A mention: its characters in the text, end exclusive, its type and its probability."""


@dataclass(frozen=True, slots=True)
class MentionBox:
    """Where the first picture shows a mention; `note` is the strongest evidence, and the probability."""

    text: str
    type: str
    note: str
    box: Box


# The colors of types on the page of a report, in its light theme.
_COLORS = ("#0072b2", "#b34a00", "#00724f", "#93407a", "#7a5c00", "#3d5a6c")

_BOX_COLOR = "#ffd54a"


def format_html(
    post: Post,
    mentions: Sequence[ScoredMention],
    objects: Sequence[ObjectsValue | None],
    failed: str,
    boxes: Sequence[MentionBox] = (),
) -> str:
    """Return the text of a post with marked mentions, and its pictures with objects and the boxes of mentions."""
    colors = _choose_colors(name for _, _, name, _ in mentions)
    found = zip([*objects, *[None] * len(post.pictures)], [boxes, *[()] * len(post.pictures)], strict=False)
    pictures = [
        _format_picture(picture.file, *value, colors)
        for picture, value in zip(post.pictures, found, strict=False)
        if picture.file is not None
    ]
    reason = f"<p><em>{_escape(failed)}</em></p>" if failed else ""
    text = "".join(_mark_text(post.text, mentions, colors))
    style = "background:#fff;color:#1d1f24;padding:.6em;overflow-wrap:anywhere;max-width:60em"
    return f'<div style="{style}"><p style="white-space:pre-wrap">{text}</p>{reason}{"".join(pictures)}</div>'


def _choose_colors(types: Iterable[str]) -> dict[str, str]:
    return dict(zip(sorted(set(types)), itertools.cycle(_COLORS), strict=False))


def _mark_text(text: str, mentions: Sequence[ScoredMention], colors: Mapping[str, str]) -> Iterator[str]:
    position = 0
    for start, end, name, score in sorted(mentions):
        color = colors[name]
        yield _escape(text[position:start])
        yield (
            f'<mark style="background:none;color:inherit;font-weight:600;border-bottom:3px solid {color}">'
            f'{_escape(text[start:end])} <small style="color:{color}">{_escape(name)} {score:.2f}</small></mark>'
        )
        position = end
    yield _escape(text[position:])


def _format_picture(
    file: Path, objects: ObjectsValue | None, boxes: Sequence[MentionBox], colors: Mapping[str, str]
) -> str:
    """Return the picture as SVG, with a box for each object and each mention, or why it is not shown."""
    try:
        source = LocalFile(file)
        image = ImageRef(hashlib.sha256(source.read(MAX_BYTES)).hexdigest(), source)
        encoded = base64.b64encode(encode_thumbnail(image)).decode()
    except BadItemError as error:
        return f"<p><em>{_escape(error.failure.reason)}</em></p>"
    width, height = (objects.width, objects.height) if objects else measure_upright(file) or (480, 480)
    size = max(width, height) / 30
    shapes = "".join(_format_boxes(objects, size)) if objects else ""
    shapes += "".join(_format_mention_box(box, size, colors[box.type]) for box in boxes)
    shown = f'viewBox="0 0 {width} {height}" style="max-width:100%;width:{min(width, 480)}px;display:block"'
    shown_image = f'<image href="data:image/jpeg;base64,{encoded}" width="{width}" height="{height}"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {shown}>{shown_image}{shapes}</svg>'


def _format_boxes(objects: ObjectsValue, size: float) -> Iterator[str]:
    """Yield a rectangle with a label for each object; `size` is that of the font, in pixels of the picture."""
    line = f'stroke-width="{size / 6:.1f}"'
    for item in objects.objects:
        yield f'<rect {_format_sides(item.box)} fill="none" stroke="{_BOX_COLOR}" {line}/>'
        left, top, _, _ = item.box
        place = f'x="{left}" y="{max(top, size) - size / 4:.1f}" font-size="{size:.1f}"'
        label = f"{_escape(item.label)} {item.score:.2f}"
        yield f'<text {place} fill="{_BOX_COLOR}" stroke="#000" {line} paint-order="stroke">{label}</text>'


def _format_mention_box(found: MentionBox, size: float, color: str) -> str:
    """Return a rectangle in the color of the mention's type, with the mention below it."""
    left, _, _, bottom = found.box
    line, place = f'stroke-width="{size / 3:.1f}"', f'x="{left}" y="{bottom - size / 3:.1f}" font-size="{size:.1f}"'
    sides = _format_sides(found.box)
    shape = f'<rect {sides} fill="none" stroke="#fff" stroke-width="{size / 1.6:.1f}"/>'
    shape += f'<rect {sides} fill="none" stroke="{color}" {line}/>'
    label = f'<text {place} fill="{color}" stroke="#fff" {line} paint-order="stroke">{_escape(found.text)}</text>'
    return f"<g><title>{_escape(found.note)}</title>{shape}{label}</g>"


def _format_sides(box: Box) -> str:
    left, top, right, bottom = box
    return f'x="{left}" y="{top}" width="{right - left}" height="{bottom - top}"'


def _escape(text: str) -> str:
    return html.escape(escape_hidden(text))


def make_doc(nlp: Language, text: str, mentions: Sequence[ScoredMention]) -> Doc:
    """Return a text as a document of spaCy with mentions as entities, which have exactly their characters."""
    from spacy.tokens import Span, SpanGroup

    doc = nlp.make_doc(text)
    borders = {border for start, end, _, _ in mentions for border in (start, end)}
    with doc.retokenize() as retokenizer:
        for token in doc:
            inside = sorted(border - token.idx for border in borders if 0 < border - token.idx < len(token))
            cuts = [0, *inside, len(token)]
            parts = [token.text[start:end] for start, end in zip(cuts, cuts[1:], strict=False)]
            if len(parts) > 1:
                retokenizer.split(token, parts, heads=[(token, 0)] * len(parts))
    spans: list[Span] = []
    scores: list[float] = []
    for start, end, name, score in mentions:
        span = doc.char_span(start, end, label=name, alignment_mode="contract")
        if span is not None:  # a mention of white space alone, which no tagger finds, has no word of spaCy
            spans.append(span)
            scores.append(score)
    doc.set_ents(spans)
    doc.spans["ita"] = SpanGroup(doc, name="ita", spans=spans, attrs={"scores": scores})
    return doc

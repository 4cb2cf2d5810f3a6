"""A run's report: one page with scores, history, settings, and posts with what each view made of them.

Everything that a post, a picture or a file said reaches the page through the template's escaping alone, and
the page's own policy forbids scripts and any request to elsewhere.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ita_pipeline.cache.store import write_atomically
from ita_pipeline.corpus.conll import read_conll
from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.corpus.tokens import plain
from ita_pipeline.images import ImageRef, open_picture
from ita_pipeline.runs import TEXT, TEXT_AND_IMAGE, Run
from stages.base import BadItemError

if TYPE_CHECKING:
    from ita_pipeline.corpus.datasets import Dataset
    from ita_pipeline.picture_contexts import PictureContexts

THUMBNAIL = 320
MOST_POSTS = 240


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a post's text; `type` is empty between mentions."""

    text: str
    type: str


@dataclass(frozen=True, slots=True)
class Card:
    """One post on the page. `verdict` says how the views compare with the gold mentions."""

    id: str
    picture: str
    contexts: tuple[str, ...]
    gold: tuple[Piece, ...]
    text: tuple[Piece, ...]
    both: tuple[Piece, ...]
    verdict: str


VERDICTS = {
    (True, True): "both right",
    (False, True): "right with the picture",
    (True, False): "wrong with the picture",
    (False, False): "both wrong",
}
ORDER = ["right with the picture", "wrong with the picture", "both wrong", "both right"]


def write_report(run: Run, dataset: Dataset, contexts: PictureContexts) -> Path:
    """Write `report.html` into the run's folder: the test posts, those where the views differ first."""
    from jinja2 import Environment, PackageLoader

    templates = Environment(loader=PackageLoader("ita_pipeline.report"), autoescape=True, trim_blocks=True)
    posts = dataset.splits["test"]
    text, both = (read_conll(run.predictions("test", view)) for view in (TEXT, TEXT_AND_IMAGE))
    compared = sorted(zip_views(posts, text, both), key=lambda found: ORDER.index(found[3]))
    cards = [as_card(*found, contexts) for found in compared[:MOST_POSTS]]
    counts = {verdict: sum(found[3] == verdict for found in compared) for verdict in ORDER}
    page = templates.get_template("run.html").render(
        record=run.record(),
        scores=run.scores(),
        history=run.history(),
        about=dataset.card.about,
        cards=cards,
        counts=counts,
        total=len(posts),
    )
    write_atomically(run.report, page)
    return run.report


Compared = tuple[Post, Sequence[Span], Sequence[Span], str]


def zip_views(posts: Sequence[Post], text: Sequence[Post], both: Sequence[Post]) -> Iterator[Compared]:
    """Posts with what was predicted of them; posts without words are not in the prediction files."""
    written = [post for post in posts if post.words]
    for post, t, it in zip(written, text, both, strict=True):
        gold = set(post.gold or ())
        right = (set(t.gold or ()) == gold, set(it.gold or ()) == gold)
        yield post, t.gold or (), it.gold or (), VERDICTS[right]


def as_card(
    post: Post, text: Sequence[Span], both: Sequence[Span], verdict: str, contexts: PictureContexts
) -> Card:
    return Card(
        id=plain(post.id),
        picture=thumbnail(post, contexts),
        contexts=contexts.of(post),
        gold=tuple(pieces(post, post.gold or ())),
        text=tuple(pieces(post, text)),
        both=tuple(pieces(post, both)),
        verdict=verdict,
    )


def pieces(post: Post, spans: Sequence[Span]) -> Iterator[Piece]:
    """The post's text cut at its mentions."""
    position = 0
    for span in sorted(spans):
        start, end = post.offsets[span.start][0], post.offsets[span.end - 1][1]
        if start > position:
            yield Piece(shown(post.text[position:start]), "")
        yield Piece(shown(post.text[start:end]), span.type)
        position = end
    if position < len(post.text):
        yield Piece(shown(post.text[position:]), "")


def shown(text: str) -> str:
    """`plain`, with the white space at the ends kept."""
    inner = plain(text)
    if not inner:
        return " " if text else ""
    return (" " if text[0].isspace() else "") + inner + (" " if text[-1].isspace() else "")


def thumbnail(post: Post, contexts: PictureContexts) -> str:
    """The picture re-encoded, small, as a data URI; nothing where there is none or it cannot be read."""
    image = next((i for i in contexts.extraction.images if i.path == post.picture), None)
    return encoded(image) if image else ""


def encoded(image: ImageRef) -> str:
    try:
        picture = open_picture(image)
    except BadItemError:
        return ""
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()

"""The surest errors: of each kind the mentions that the tagger was most certain of, with links to their posts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ita_pipeline.core.text import escape_name
from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.ner.metrics.errors import ErrorKind, compare_spans
from ita_pipeline.reports.analysis_blocks import KINDS
from ita_pipeline.reports.blocks import Block, Row, Table
from ita_pipeline.reports.gallery import Shown
from ita_pipeline.reports.models import GOLD, IT

MOST = 5

LONGEST = 60


@dataclass(frozen=True, slots=True)
class Wrong:
    """An error in a post. `sureness` orders those of a kind; `score` is the mention's probability, if any."""

    shown: Shown
    gold: Span | None
    said: Span | None
    score: float | None
    sureness: float


def worst_block(posts: Sequence[Shown]) -> Block | None:
    """Errors of I+T on these posts, or nothing where there are none."""
    wrongs: dict[ErrorKind, list[Wrong]] = {}
    for shown in posts:
        for kind, wrong in errors_in(shown):
            wrongs.setdefault(kind, []).append(wrong)
    if not wrongs:
        return None
    lead = (
        f"Of I+T, at most {MOST} of each kind, the most probable mention first. A missed mention has no "
        "probability; first are those in posts whose other mentions are surest. A name opens the post."
    )
    tables = tuple(table(KINDS[kind], wrongs[kind]) for kind in ErrorKind if kind in wrongs)
    return Block("surest", "Surest errors", lead, tables=tables)


def errors_in(shown: Shown) -> Iterator[tuple[ErrorKind, Wrong]]:
    if GOLD not in shown.answers or IT not in shown.answers:
        return
    scores = {mention.span: mention.score for mention in shown.answers[IT]}
    others = min((score for score in scores.values() if score is not None), default=0.0)
    for match in compare_spans([mention.span for mention in shown.answers[GOLD]], list(scores)):
        if match.kind is ErrorKind.RIGHT:
            continue
        score = scores[match.predicted] if match.predicted else None
        sureness = others if match.predicted is None else score or 0.0
        yield match.kind, Wrong(shown, match.gold, match.predicted, score, sureness)


def table(caption: str, wrongs: Sequence[Wrong]) -> Table:
    surest = sorted(wrongs, key=lambda wrong: -wrong.sureness)[:MOST]
    header = ("post", "gold", "I+T says", "probability")
    return Table(caption.capitalize(), header, tuple(map(row, surest)), words=3)


def row(wrong: Wrong) -> Row:
    post = wrong.shown.post
    score = "" if wrong.score is None else f"{100 * wrong.score:.0f} %"
    cells = (escape_name(post.id), named(post, wrong.gold), named(post, wrong.said), score)
    return Row(cells, link=f"post={wrong.shown.anchor}")


def named(post: Post, span: Span | None) -> str:
    if span is None:
        return "no mention"
    words = " ".join(post.words[span.start : span.end])
    return f"{words if len(words) <= LONGEST else words[:LONGEST] + '…'} {span.type}"

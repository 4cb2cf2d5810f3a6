"""The block of the surest errors: of each kind the most probable ones, with links to their posts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ita_pipeline.core.text import escape_name
from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.ner.metrics.errors import ErrorKind, compare_spans
from ita_pipeline.reports.analysis_blocks import KIND_NAMES
from ita_pipeline.reports.blocks import Block, Row, Table
from ita_pipeline.reports.gallery import ReportPost
from ita_pipeline.reports.models import GOLD, IT
from ita_pipeline.reports.run_data import RunData

MAX_ERRORS = 5

MAX_MENTION_LENGTH = 60


def make_worst_errors_block(data: RunData) -> Block | None:
    """Show the surest errors of I+T on test, if there are any."""
    errors: dict[ErrorKind, list[tuple[float, Row]]] = {}
    for item in data.posts:
        if item.split == "test":
            for kind, sureness, row in _list_errors(item):
                errors.setdefault(kind, []).append((sureness, row))
    if not errors:
        return None
    lead = (
        f"Of I+T, at most {MAX_ERRORS} of each kind, the most probable mention first. A missed mention has no "
        "probability; first are those in posts whose other mentions are surest. A name opens the post."
    )
    tables = tuple(_make_table(KIND_NAMES[kind], errors[kind]) for kind in ErrorKind if kind in errors)
    return Block("surest", "Surest errors", lead, tables=tables)


def _list_errors(item: ReportPost) -> Iterator[tuple[ErrorKind, float, Row]]:
    """Yield the errors of I+T in a post: the kind, the number that ranks errors of one kind, and the table row."""
    if GOLD not in item.answers or IT not in item.answers:
        return
    scores = {mention.span: mention.score for mention in item.answers[IT]}
    lowest = min((score for score in scores.values() if score is not None), default=0.0)
    for match in compare_spans([mention.span for mention in item.answers[GOLD]], list(scores)):
        if match.kind is ErrorKind.RIGHT:
            continue
        score = scores[match.predicted] if match.predicted else None
        sureness = lowest if match.predicted is None else score or 0.0
        probability = "" if score is None else f"{100 * score:.0f} %"
        mentions = [_format_mention(item.post, span) for span in (match.gold, match.predicted)]
        row = Row((escape_name(item.post.id), *mentions, probability), link=f"post={item.anchor}")
        yield match.kind, sureness, row


def _make_table(caption: str, errors: Sequence[tuple[float, Row]]) -> Table:
    surest = sorted(errors, key=lambda error: -error[0])[:MAX_ERRORS]
    header = ("post", "gold", "I+T says", "probability")
    return Table(caption.capitalize(), header, tuple(row for _, row in surest), words=3)


def _format_mention(post: Post, span: Span | None) -> str:
    if span is None:
        return "no mention"
    words = " ".join(post.words[span.start : span.end])
    return f"{words if len(words) <= MAX_MENTION_LENGTH else words[:MAX_MENTION_LENGTH] + '…'} {span.type}"

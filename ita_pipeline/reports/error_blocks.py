"""The blocks about errors.

One counts kinds of errors and confused types and compares probabilities with how often they are right; the other
lists the surest errors with links to their posts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlencode

from ita_pipeline.core.text import escape_name
from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.ner.metrics.errors import OUTSIDE, Analysis, ErrorKind, compare_spans
from ita_pipeline.reports.blocks import NO_SCORE, Block, Row, RunData, Table
from ita_pipeline.reports.formatting import format_percent
from ita_pipeline.reports.plots import Figure, PlotSeries, draw_reliability
from ita_pipeline.reports.posts import GOLD, IT, KIND_NAMES, ReportPost, T

MAX_ERRORS = 5

# The values of the gallery's filter by novelty.
NOVELTY = {"seen in train": "seen", "unseen": "unseen"}

MAX_MENTION_LENGTH = 60

Views = tuple[tuple[str, Analysis], ...]


def make_errors_block(data: RunData) -> Block | None:
    """Show the errors of both views on test, if the run has an analysis of it."""
    analysis = data.run.analysis().splits.get("test") if data.run.has_analysis else None
    if analysis is None:
        return None
    views = ((T, analysis.text), (IT, analysis.text_and_image))
    lead = (
        "These are the errors on test. A mention is seen if its words, ignoring case, are a mention in train too. "
        "ECE is the mean difference between the probability of mentions and the share of them that is right."
    )
    confusions = [_make_confusion_table(*view) for view in views]
    tables = (_make_kinds_table(views), _make_groups_table(views), *confusions)
    return Block("errors", "Errors", lead, (_draw_calibration(views),), tables)


def make_worst_errors_block(data: RunData) -> Block | None:
    """Show the surest errors of I+T on test, if there are any."""
    errors = [error for item in data.posts if item.split == "test" for error in _list_errors(item)]
    if not errors:
        return None
    lead = (
        f"At most {MAX_ERRORS} errors of I+T of each kind, most probable first. A missed mention has no "
        "probability; those in posts whose other mentions are most certain come first. A name opens its post."
    )
    errors.sort(key=lambda error: -error[1])
    tables: list[Table] = []
    for kind, name in KIND_NAMES.items():
        rows = tuple(row for error_kind, _, row in errors if error_kind is kind)
        if rows:
            header = ("post", "gold", "I+T", "probability")
            tables.append(Table(name.capitalize(), header, rows[:MAX_ERRORS], words=3))
    return Block("surest", "Most confident errors", lead, tables=tuple(tables))


def _make_kinds_table(views: Views) -> Table:
    rows = tuple(
        Row(
            (name, *(str(analysis.errors.get(kind, 0)) for _, analysis in views)),
            links=("", _filter_link("error", kind) if views[-1][1].errors.get(kind) else ""),
        )
        for kind, name in KIND_NAMES.items()
    )
    return Table("Kinds of errors (number of mentions)", ("kind", T, IT), rows)


def _make_groups_table(views: Views) -> Table:
    """Show F1 of the mentions that are in train too, of those that are not, and by length."""
    analyses = [analysis for _, analysis in views]
    groups = [
        ("seen in train", [analysis.seen for analysis in analyses]),
        ("unseen", [analysis.unseen for analysis in analyses]),
    ]
    for length in sorted({length for analysis in analyses for length in analysis.by_length}):
        name = f"{length} word" if length == "1" else f"{length} words"
        groups.append((name, [analysis.by_length.get(length, NO_SCORE) for analysis in analyses]))
    rows = tuple(
        Row(
            (name, *(format_percent(score.f1) for score in scores), str(scores[0].support)),
            link=_filter_link("seen", NOVELTY[name]) if name in NOVELTY and scores[0].support else "",
        )
        for name, scores in groups
    )
    return Table("F1 by novelty and length", ("mentions", T, IT, "gold"), rows)


def _make_confusion_table(label: str, analysis: Analysis) -> Table:
    """Show gold types in rows and predicted ones in columns, with no mention last in both."""
    confusion = analysis.confusion
    types = {*confusion, *(name for counts in confusion.values() for name in counts)} - {OUTSIDE}
    names = [*sorted(types), OUTSIDE]
    rows = tuple(
        Row(
            (_name_type(gold), *(_count_confusions(confusion, gold, name) for name in names)),
            links=tuple(
                _filter_link("pair", f"{gold}>{name}") if label == IT and confusion.get(gold, {}).get(name) else ""
                for name in names
            ),
        )
        for gold in names
    )
    return Table(f"Gold type × predicted type, {label}", ("gold", *map(_name_type, names)), rows)


def _count_confusions(confusion: Mapping[str, Mapping[str, int]], gold: str, predicted: str) -> str:
    # Words that are rightly no mention are not counted.
    return "–" if gold == predicted == OUTSIDE else str(confusion.get(gold, {}).get(predicted, 0))


def _filter_link(facet: str, value: str) -> str:
    """Return the fragment that filters the gallery for posts of test."""
    return urlencode({"split": "test", facet: value})


def _name_type(name: str) -> str:
    return "no mention" if name == OUTSIDE else name


def _draw_calibration(views: Views) -> Figure:
    series: list[PlotSeries] = []
    texts: list[str] = []
    for style, (label, analysis) in enumerate(views):
        name, bins = f"{label}, ECE {100 * analysis.calibration.ece:.1f} %", analysis.calibration.bins
        confidence = tuple(100 * part.confidence for part in bins)
        precision = tuple(100 * part.precision for part in bins)
        series.append(PlotSeries(name, precision, style, x=confidence))
        parts = "; ".join(
            f"{part.mentions} mentions of probability {100 * part.confidence:.0f} %: "
            f"{100 * part.precision:.0f} % right"
            for part in bins
        )
        texts.append(f"{name}: {parts or 'no mention'}.")
    return draw_reliability("Calibration", " ".join(texts), series)


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


def _format_mention(post: Post, span: Span | None) -> str:
    if span is None:
        return "no mention"
    words = " ".join(post.words[span.start : span.end])
    return f"{words if len(words) <= MAX_MENTION_LENGTH else words[:MAX_MENTION_LENGTH] + '…'} {span.type}"

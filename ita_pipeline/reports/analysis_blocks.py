"""The block about errors: kinds of errors, confusion of types, and calibration of the probabilities."""

from __future__ import annotations

from collections.abc import Mapping

from ita_pipeline.ner.metrics.errors import OUTSIDE, Analysis, ErrorKind
from ita_pipeline.reports.blocks import Block, Figure, Row, Table
from ita_pipeline.reports.formatting import format_percent
from ita_pipeline.reports.models import IT, T
from ita_pipeline.reports.plots import PlotSeries, draw_reliability
from ita_pipeline.reports.run_data import NO_SCORE, RunData

KIND_NAMES = {
    ErrorKind.RIGHT: "right",
    ErrorKind.TYPE: "right words, wrong type",
    ErrorKind.BOUNDARY: "right type, wrong words",
    ErrorKind.BOTH: "both wrong, but overlapping",
    ErrorKind.MISSED: "missed",
    ErrorKind.SPURIOUS: "spurious: no mention there",
}

Views = tuple[tuple[str, Analysis], ...]


def make_errors_block(data: RunData) -> Block | None:
    """Show the errors of both views on test, if the run has an analysis of it."""
    analysis = data.run.analysis().splits.get("test") if data.run.has_analysis else None
    if analysis is None:
        return None
    views = ((T, analysis.text), (IT, analysis.text_and_image))
    lead = (
        "On test. Seen are mentions whose words, whatever their case, are a mention in train too. ECE is the "
        "mean difference between the probability of a mention and how often such mentions are right."
    )
    confusions = [_make_confusion_table(*view) for view in views]
    tables = (_make_kinds_table(views), _make_groups_table(views), *confusions)
    return Block("errors", "Errors", lead, (_draw_calibration(views),), tables)


def _make_kinds_table(views: Views) -> Table:
    rows = tuple(
        Row((name, *(str(analysis.errors.get(kind, 0)) for _, analysis in views)))
        for kind, name in KIND_NAMES.items()
    )
    return Table("Kinds of errors, in mentions", ("kind", T, IT), rows)


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
        Row((name, *(format_percent(score.f1) for score in scores), str(scores[0].support)))
        for name, scores in groups
    )
    return Table("F1 by novelty and length", ("mentions", T, IT, "gold"), rows)


def _make_confusion_table(label: str, analysis: Analysis) -> Table:
    """Show gold types in rows and predicted ones in columns, with no mention last in both."""
    confusion = analysis.confusion
    types = {*confusion, *(name for counts in confusion.values() for name in counts)} - {OUTSIDE}
    names = [*sorted(types), OUTSIDE]
    rows = tuple(
        Row((_name_type(gold), *(_count_confusions(confusion, gold, name) for name in names))) for gold in names
    )
    return Table(f"Gold type × predicted type, {label}", ("gold", *map(_name_type, names)), rows)


def _count_confusions(confusion: Mapping[str, Mapping[str, int]], gold: str, predicted: str) -> str:
    # Words that are rightly no mention are not counted.
    return "–" if gold == predicted == OUTSIDE else str(confusion.get(gold, {}).get(predicted, 0))


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
    return draw_reliability("What probabilities are worth", " ".join(texts), series)

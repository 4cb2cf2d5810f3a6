"""What a page says beyond the scores: kinds of errors, confusion of types, and what the probabilities are worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from ita_pipeline.ner.metrics.errors import OUTSIDE, Analysis, ErrorKind
from ita_pipeline.ner.metrics.scores import Score
from ita_pipeline.reports.blocks import Block, Figure, Row, Table
from ita_pipeline.reports.models import IT, T
from ita_pipeline.reports.plots import Points, reliability
from ita_pipeline.runs.run import ViewAnalysis

KINDS = {
    ErrorKind.RIGHT: "right",
    ErrorKind.TYPE: "right words, wrong type",
    ErrorKind.BOUNDARY: "right type, wrong words",
    ErrorKind.BOTH: "both wrong, but overlapping",
    ErrorKind.MISSED: "missed",
    ErrorKind.SPURIOUS: "spurious: no mention there",
}

Views = tuple[tuple[str, Analysis], tuple[str, Analysis]]


def errors_block(split: str, found: ViewAnalysis) -> Block:
    views: Views = ((T, found.text), (IT, found.text_and_image))
    lead = (
        f"On {split}. Seen are mentions whose words, whatever their case, are a mention in train too. ECE is the "
        "mean difference between the probability of a mention and how often such mentions are right."
    )
    tables = (kinds_table(views), parts_table(views), *(confusion_table(*view) for view in views))
    return Block("errors", "Errors", lead, (calibration_figure(views),), tables)


def kinds_table(views: Views) -> Table:
    rows = tuple(
        Row((name, *(str(found.errors.get(kind, 0)) for _, found in views))) for kind, name in KINDS.items()
    )
    return Table("Kinds of errors, in mentions", ("kind", T, IT), rows)


def parts_table(views: Views) -> Table:
    """F1 of mentions that training saw, of those it did not, and by their length."""
    lengths = sorted({length for _, found in views for length in found.by_length})

    def row(name: str, of: Callable[[Analysis], Score]) -> Row:
        scores = [of(found) for _, found in views]
        return Row((name, *(f"{100 * score.f1:.2f}" for score in scores), str(scores[0].support)))

    rows = [row("seen in train", lambda found: found.seen), row("unseen", lambda found: found.unseen)]
    rows += [row(words(length), by_length(length)) for length in lengths]
    return Table("F1 by novelty and length", ("mentions", T, IT, "gold"), tuple(rows))


def by_length(length: str) -> Callable[[Analysis], Score]:
    return lambda found: found.by_length.get(length, Score.of(0, 0, 0))


def words(length: str) -> str:
    return f"{length} word" if length == "1" else f"{length} words"


def confusion_table(view: str, found: Analysis) -> Table:
    """Gold types in rows, predicted ones in columns, no mention last in both."""
    names = ordered(found.confusion)

    def times(gold: str, name: str) -> str:
        # Nobody counts the words that rightly are no mention.
        return "–" if gold == name == OUTSIDE else str(found.confusion.get(gold, {}).get(name, 0))

    rows = tuple(Row((outside(gold), *(times(gold, name) for name in names))) for gold in names)
    return Table(f"Gold type × predicted type, {view}", ("gold", *map(outside, names)), rows)


def ordered(confusion: Mapping[str, Mapping[str, int]]) -> list[str]:
    names = {*confusion, *(name for row in confusion.values() for name in row)} - {OUTSIDE}
    return [*sorted(names), OUTSIDE]


def outside(name: str) -> str:
    return "no mention" if name == OUTSIDE else name


def calibration_figure(views: Views) -> Figure:
    series = [
        Points(
            name=f"{view}, ECE {100 * found.calibration.ece:.1f} %",
            across=tuple(part.confidence for part in found.calibration.bins),
            up=tuple(part.precision for part in found.calibration.bins),
            place=place,
        )
        for place, (view, found) in enumerate(views)
    ]
    said = " ".join(spoken(views))
    return reliability("What probabilities are worth", said, series)


def spoken(views: Sequence[tuple[str, Analysis]]) -> Iterator[str]:
    for view, found in views:
        parts = "; ".join(
            f"{part.mentions} mentions of probability {100 * part.confidence:.0f} %: "
            f"{100 * part.precision:.0f} % right"
            for part in found.calibration.bins
        )
        yield f"{view}, ECE {100 * found.calibration.ece:.1f} %: {parts or 'no mention'}."

"""The block of a run's page about the boxes of its mentions, beside floors that look at no picture."""

from __future__ import annotations

from collections.abc import Iterator

from ita_pipeline.reports.blocks import Block, Row, RunData, Table
from ita_pipeline.reports.formatting import format_percent
from ita_pipeline.reports.posts import IT, T
from ita_pipeline.runs.grounding import SplitGrounding, read_grounding


def make_grounding_block(data: RunData) -> Block | None:
    """Show how well mentions are grounded, if the run has a grounder."""
    grounding = read_grounding(data.run)
    if grounding is None or not grounding.splits:
        return None
    lead = (
        "GMNER is F1 of span, type and box: the box overlaps a gold box by more than half, or both say that the "
        "picture does not show the mention. EEG leaves the type out, MNER the box; ratio is GMNER by MNER. The "
        "other columns are measured on gold spans and types: the share with the right box or rightly none, and how "
        "well the mentions in the picture are separated from the others. The floors do not use the picture. All "
        "values but AUROC are percentages."
    )
    header = ("method", "MNER", "EEG", "GMNER", "ratio", "right", "in the picture", "AUROC")
    tables = tuple(
        Table(f"Boxes, {split}, {found.posts} posts with known boxes", header, tuple(_make_rows(found)))
        for split, found in sorted(grounding.splits.items(), reverse=True)  # test before dev
    )
    return Block("boxes", "Boxes of mentions", lead, tables=tables)


def _make_rows(found: SplitGrounding) -> Iterator[Row]:
    views = found.grounder.views
    methods = [(T, found.grounder, views.text), (IT, found.grounder, views.text_and_image)]
    methods += [(f"floor: {name}", floor, floor.views.text_and_image) for name, floor in found.floors.items()]
    for label, method, scores in methods:
        gold = method.groundability
        numbers = (scores.mner.f1, scores.eeg.f1, scores.gmner.f1, scores.ratio, gold.boxes, gold.accuracy)
        auroc = "" if gold.auroc is None else f"{gold.auroc:.3f}"
        yield Row((label, *map(format_percent, numbers), auroc), strong=label == IT)

"""The block of a run's page about the boxes of its mentions, beside floors that look at no picture."""

from __future__ import annotations

from ita_pipeline.reports.blocks import Block, Row, RunData, Table
from ita_pipeline.reports.posts import IT
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
        Table(f"Boxes, {split}, {found.posts} posts with known boxes", header, _make_rows(found))
        for split, found in sorted(grounding.splits.items(), reverse=True)  # test before dev
    )
    return Block("boxes", "Boxes of mentions", lead, tables=tables)


def _make_rows(found: SplitGrounding) -> tuple[Row, ...]:
    return tuple(Row((label, *cells), strong=label == IT) for label, cells in found.format_rows("floor: "))

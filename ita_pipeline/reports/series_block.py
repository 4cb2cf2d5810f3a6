"""The block about a run's series: means over seeds, and what each of the contexts is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ita_pipeline.core.errors import UserError
from ita_pipeline.corpus.contexts import CONTEXTS
from ita_pipeline.reports.blocks import Block, Row, RunData, Table
from ita_pipeline.reports.formatting import format_percent
from ita_pipeline.reports.plots import Figure, PlotSeries, draw_bars
from ita_pipeline.reports.posts import VIEWS
from ita_pipeline.runs.compare import EVERYTHING, SeriesRow, SeriesRun, name_contexts, series_run, summarize
from ita_pipeline.runs.lookup import finished_runs
from ita_pipeline.runs.run import Run, RunRecord

# Contexts that may come from a file.
IMPORTABLE = frozenset({"caption", "extra", "knowledge"})


def make_series_block(data: RunData) -> Block | None:
    """Show the runs that differ only in seed or contexts, if there are any beside this one."""
    runs = sorted(_find_related_runs(data), key=lambda run: (rank_contexts(run.contexts), run.seed))
    splits = [split for split in ("test", "dev") if all(split in run.f1 for run in runs)]
    if len(runs) < 2 or not splits:
        return None
    rows = summarize(runs).rows
    lead = (
        "These runs differ from this one only in their seed and contexts. The page shows those that existed when "
        "it was written. Values are mean F1 in percent ± the sample standard deviation over seeds, which the "
        "whiskers show too."
    )
    tables = (
        _make_means_table(rows, splits, name_contexts(data.record)),
        _make_runs_table(runs, splits, data.run),
    )
    return Block("series", "Seeds and contexts", lead, (_draw_means(rows, splits[0]),), tables)


def are_related(first: RunRecord, second: RunRecord) -> bool:
    """Return whether two runs differ only in their seed and in the contexts that are appended."""
    if _shared_inputs(first) != _shared_inputs(second):
        return False
    stages = first.stage_keys.keys() & second.stage_keys.keys()
    if any(first.stage_keys[name] != second.stage_keys[name] for name in stages):
        return False
    imported = IMPORTABLE & {*first.contexts.order} & {*second.contexts.order}
    return not imported or first.captions == second.captions


def rank_contexts(contexts: str) -> tuple[int, list[int]]:
    """Return the sort key of a contexts name: the text alone, then each context, then several, then all."""
    if contexts == EVERYTHING:
        return len(CONTEXTS), []
    names = [name for name in contexts.split("+") if name in CONTEXTS]
    return len(names), [CONTEXTS.index(name) for name in names]


def _find_related_runs(data: RunData) -> list[SeriesRun]:
    """Return the runs of the series, including this one, except those with an unreadable file."""
    runs: list[SeriesRun] = []
    for run in finished_runs(data.run.folder.parent):
        try:
            record = run.record()
            if are_related(data.record, record):
                runs.append(series_run(name_contexts(record), run, new=False))
        except UserError:
            continue
    return runs


def _shared_inputs(record: RunRecord) -> Mapping[str, Any]:
    return {
        "dataset": record.dataset,
        "sentences": record.components.get("sentences"),
        "trainer": record.components.get("trainer"),
        "encoder": record.encoder_identity,
        "preset": record.preset,
        "training": record.training.model_dump(exclude={"seed"}),
        "contexts": record.contexts.model_dump(exclude={"order"}),
    }


def _make_means_table(rows: Sequence[SeriesRow], splits: Sequence[str], own: str) -> Table:
    table_rows: list[Row] = []
    for row in rows:
        is_own = row.contexts == own
        means = (row.f1[split][view].format_percent() for split in splits for view in VIEWS.values())
        cells = (row.contexts, str(len(row.seeds)), *means)
        table_rows.append(Row(cells, strong=is_own, note="this run" if is_own else ""))
    header = ("contexts", "seeds", *_name_columns(splits))
    return Table("Effect of each context", header, tuple(table_rows))


def _make_runs_table(runs: Sequence[SeriesRun], splits: Sequence[str], own: Run) -> Table:
    rows: list[Row] = []
    for run in runs:
        is_own = run.run == str(own.folder)
        numbers = (format_percent(run.f1[split][view]) for split in splits for view in VIEWS.values())
        cells = (run.run.rpartition("/")[2], run.contexts, str(run.seed), *numbers)
        rows.append(Row(cells, strong=is_own, note="this run" if is_own else ""))
    header = ("run", "contexts", "seed", *_name_columns(splits))
    return Table(f"All {len(runs)} runs", header, tuple(rows), folded=True, words=2)


def _name_columns(splits: Sequence[str]) -> list[str]:
    return [f"{split} {label}" for split in splits for label in VIEWS]


def _draw_means(rows: Sequence[SeriesRow], split: str) -> Figure:
    series: list[PlotSeries] = []
    for style, (label, view) in enumerate(VIEWS.items()):
        means = [row.f1[split][view] for row in rows]
        values = tuple(100 * mean.mean for mean in means)
        errors = tuple(math.nan if mean.sd is None else 100 * mean.sd for mean in means)
        series.append(PlotSeries(label, values, style, errors))
    alt = f"{split} F1 in percent. {'; '.join(_describe_row(row, split) for row in rows)}."
    return draw_bars(f"{split} F1 by contexts", alt, [row.contexts for row in rows], series)


def _describe_row(row: SeriesRow, split: str) -> str:
    means = ", ".join(f"{label} {row.f1[split][view].format_percent()}" for label, view in VIEWS.items())
    return f"{row.contexts}, {len(row.seeds)} seed{'s' if len(row.seeds) > 1 else ''}: {means}"

"""What a page says of the series that a run belongs to: seeds, to tell luck from gain, and contexts, what each of
them is worth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ita_pipeline.core.errors import UserError
from ita_pipeline.corpus.contexts import CONTEXTS, ContextConfig
from ita_pipeline.extraction.presets import OPTIONAL_STAGES
from ita_pipeline.reports.blocks import Block, Figure, Row, Table
from ita_pipeline.reports.models import IT, T
from ita_pipeline.reports.plots import Series, bars
from ita_pipeline.runs.run import TEXT, TEXT_AND_IMAGE, Run, RunRecord, finished_runs
from ita_pipeline.runs.series import EVERYTHING, Mean, SeriesRow, SeriesRun, format_contexts, series_run, summarize

# Contexts that may come from a file made elsewhere.
IMPORTED = frozenset({"caption", "extra", "knowledge"})

VIEWS = {T: TEXT, IT: TEXT_AND_IMAGE}


def series_block(run: Run, record: RunRecord) -> Block | None:
    """Seeds and ablation as far as they are there, or nothing where a run stands alone."""
    runs = sorted(relatives(run, record), key=lambda one: (place(one.contexts), one.seed))
    if len(runs) < 2:
        return None
    series = summarize(runs)
    splits = [split for split in ("test", "dev") if all(split in one.f1 for one in runs)]
    if not splits:
        return None
    own = appended(record)
    lead = (
        "Runs beside this one that differ from it in nothing but their seed and what is appended to the posts, as "
        "many as were there when this page was written. Mean F1 in percent ± the sample standard deviation over "
        "seeds, which the whiskers show too."
    )
    tables = (means_table(series.rows, splits, own), runs_table(runs, splits, run))
    return Block("series", "Seeds and contexts", lead, (figure(series.rows, splits[0]),), tables)


def relatives(run: Run, record: RunRecord) -> list[SeriesRun]:
    """The runs of the series, this one among them. One whose files cannot be read is left out."""
    found: list[SeriesRun] = []
    for other in finished_runs(run.folder.parent):
        try:
            theirs = other.record()
            if akin(record, theirs):
                found.append(series_run(appended(theirs), other, new=False))
        except UserError:
            continue
    return found


def akin(one: RunRecord, other: RunRecord) -> bool:
    """Whether two runs were made of the same, but for their seed and what was appended."""
    if essence(one) != essence(other):
        return False
    both = one.stage_keys.keys() & other.stage_keys.keys()
    if any(one.stage_keys[name] != other.stage_keys[name] for name in both):
        return False
    imported = IMPORTED & {*one.contexts.order} & {*other.contexts.order}
    return not imported or one.captions == other.captions


def essence(record: RunRecord) -> Mapping[str, Any]:
    return {
        "dataset": record.dataset,
        "sentences": record.components.get("sentences"),
        "trainer": record.components.get("trainer"),
        "encoder": record.encoder_identity,
        "preset": record.preset,
        "training": record.training.model_dump(exclude={"seed"}),
        "contexts": record.contexts.model_dump(exclude={"order"}),
    }


def appended(record: RunRecord) -> str:
    """What is appended, by the name that a series has for it; never one name for what differs.

    A stage that is in no preset by itself counts where it was asked, and then all of its run are named one by one.
    Without a file of contexts made elsewhere, its context is empty where it was not.
    """
    order, usual = record.contexts.order, ContextConfig().order
    if any(name in record.stage_keys for name in OPTIONAL_STAGES):
        return format_contexts(order)
    if not record.captions:
        order, usual = (tuple(name for name in names if name not in OPTIONAL_STAGES) for names in (order, usual))
    return format_contexts(None if order == usual else order)


def place(contexts: str) -> tuple[int, list[int]]:
    """The text alone first, then each context, then several, then all."""
    if contexts == EVERYTHING:
        return len(CONTEXTS), []
    names = [name for name in contexts.split("+") if name in CONTEXTS]
    return len(names), [CONTEXTS.index(name) for name in names]


def means_table(rows: Sequence[SeriesRow], splits: Sequence[str], own: str) -> Table:
    header = ("contexts", "seeds", *(f"{split} {view}" for split in splits for view in VIEWS))
    made = [
        Row(
            (row.contexts, str(len(row.seeds)), *(shown(row.f1[s][v]) for s in splits for v in VIEWS.values())),
            strong=row.contexts == own,
            note="this run's" if row.contexts == own else "",
        )
        for row in rows
    ]
    return Table("What each context is worth", header, tuple(made))


def runs_table(runs: Sequence[SeriesRun], splits: Sequence[str], own: Run) -> Table:
    header = ("run", "contexts", "seed", *(f"{split} {view}" for split in splits for view in VIEWS))
    made: list[Row] = []
    for one in runs:
        mine = one.run == str(own.folder)
        numbers = [f"{100 * one.f1[split][view]:.2f}" for split in splits for view in VIEWS.values()]
        name = one.run.rpartition("/")[2]
        made.append(Row((name, one.contexts, str(one.seed), *numbers), mine, "this one" if mine else ""))
    return Table(f"All {len(runs)} runs", header, tuple(made), folded=True, words=2)


def figure(rows: Sequence[SeriesRow], split: str) -> Figure:
    series = [
        Series(
            view,
            tuple(100 * row.f1[split][key].mean for row in rows),
            number,
            tuple(whisker(row.f1[split][key]) for row in rows),
        )
        for number, (view, key) in enumerate(VIEWS.items())
    ]
    said = "; ".join(spoken(row, split) for row in rows)
    names = [row.contexts for row in rows]
    return bars(f"{split} F1 by what is appended", f"{split} F1 in percent. {said}.", "F1, %", names, series)


def whisker(value: Mean) -> float:
    return math.nan if value.sd is None else 100 * value.sd


def spoken(row: SeriesRow, split: str) -> str:
    numbers = ", ".join(f"{view} {shown(row.f1[split][key])}" for view, key in VIEWS.items())
    return f"{row.contexts}, {len(row.seeds)} seed{'s' if len(row.seeds) > 1 else ''}: {numbers}"


def shown(value: Mean) -> str:
    deviation = "" if value.sd is None else f" ± {100 * value.sd:.2f}"
    return f"{100 * value.mean:.2f}{deviation}"

"""Several runs of one dataset: seeds, to tell luck from gain, and contexts, to see what each of them is worth."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ita_pipeline.core.errors import UsageError, nearest
from ita_pipeline.corpus.contexts import CONTEXTS
from ita_pipeline.extraction.presets import list_plugin_stages
from ita_pipeline.runs.plan import TrainOptions
from ita_pipeline.runs.run import TEXT, TEXT_AND_IMAGE, Run
from stages.base import Frozen

ONLY_TEXT, EVERYTHING = "text", "all"


@dataclass(frozen=True, slots=True)
class Variant:
    """One run of a series; `contexts` names what is appended to the text."""

    contexts: str
    training: TrainOptions

    def __str__(self) -> str:
        seed = "" if self.training.seed is None else f", seed {self.training.seed}"
        return f"{self.contexts}{seed}"


class Mean(Frozen):
    """Mean over the seeds, and the sample standard deviation, which a single run has not."""

    mean: float
    sd: float | None


class SeriesRun(Frozen):
    """One run: its folder, whether it was trained just now, and F1 by split and view."""

    dataset: str
    contexts: str
    seed: int
    run: str
    new: bool
    f1: Mapping[str, Mapping[str, float]]


class SeriesRow(Frozen):
    """All seeds of the same contexts."""

    contexts: str
    seeds: tuple[int, ...]
    f1: Mapping[str, Mapping[str, Mean]]


class Series(Frozen):
    dataset: str
    runs: tuple[SeriesRun, ...]
    rows: tuple[SeriesRow, ...]

    def to_json(self) -> dict[str, Any]:
        return {"schema": "ita.series/1", **self.model_dump()}


def variants(training: TrainOptions, seeds: Sequence[int], views: Sequence[str]) -> list[Variant]:
    """Every one of these contexts with every one of these seeds; those of the options where none are given.

    Raises:
        UsageError: a name is none of text, all, a context, or contexts joined by plus signs.
    """
    options = {name: replace(training, contexts=contexts_of(name)) for name in views} or {
        name_of(training.contexts): training
    }
    return [
        Variant(name, with_contexts if seed is None else replace(with_contexts, seed=seed))
        for name, with_contexts in options.items()
        for seed in dict.fromkeys(seeds or (training.seed,))
    ]


def contexts_of(name: str) -> tuple[str, ...] | None:
    """The contexts that a name such as caption+ocr asks for; None means all that the preset has."""
    if name in (ONLY_TEXT, EVERYTHING):
        return () if name == ONLY_TEXT else None
    parts = tuple(name.split("+"))
    for part in parts:
        if part not in (*CONTEXTS, *list_plugin_stages()):
            known = [ONLY_TEXT, *CONTEXTS, *list_plugin_stages(), EVERYTHING]
            hint = nearest(part, known) or f"known are {', '.join(known)}, and such as caption+ocr"
            raise UsageError(f"there is no view {part}", hint)
    return parts


def name_of(contexts: Sequence[str] | None) -> str:
    return EVERYTHING if contexts is None else "+".join(contexts) or ONLY_TEXT


def series_run(contexts: str, run: Run, new: bool) -> SeriesRun:
    """A finished run as one of a series; `contexts` names what was appended."""
    f1 = {
        split: {TEXT: found.text.micro.f1, TEXT_AND_IMAGE: found.text_and_image.micro.f1}
        for split, found in run.scores().splits.items()
    }
    record = run.record()
    return SeriesRun(
        dataset=record.dataset,
        contexts=contexts,
        seed=record.training.seed,
        run=str(run.folder),
        new=new,
        f1=f1,
    )


def summarise(runs: Sequence[SeriesRun]) -> Series:
    """The runs, of which there is at least one, and a row for each of their contexts."""
    return Series(dataset=runs[0].dataset, runs=tuple(runs), rows=tuple(rows_of(runs)))


def rows_of(runs: Sequence[SeriesRun]) -> Iterator[SeriesRow]:
    for contexts in dict.fromkeys(run.contexts for run in runs):
        same = [run for run in runs if run.contexts == contexts]
        f1 = {
            split: {view: mean([run.f1[split][view] for run in same]) for view in views}
            for split, views in same[0].f1.items()
        }
        yield SeriesRow(contexts=contexts, seeds=tuple(run.seed for run in same), f1=f1)


def mean(values: Sequence[float]) -> Mean:
    return Mean(mean=statistics.fmean(values), sd=statistics.stdev(values) if len(values) > 1 else None)

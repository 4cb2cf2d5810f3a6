"""Comparison of runs: two runs on the same posts, with significance tests, and series with means and deviations.

A series trains on one dataset with several seeds or several contexts.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast, get_args

import numpy as np

from ita_pipeline.core.errors import UsageError, nearest
from ita_pipeline.corpus.contexts import CONTEXTS, ContextConfig
from ita_pipeline.corpus.formats.conll import read_conll
from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.extraction.presets import OPTIONAL_STAGES, list_plugin_stages
from ita_pipeline.grounding.metrics import are_known, count_triples
from ita_pipeline.ner.config import Objective
from ita_pipeline.ner.metrics.significance import SAMPLES, SEED, Difference, compare, compare_counts
from ita_pipeline.runs.grounding import read_grounded
from ita_pipeline.runs.plan import TrainOptions
from ita_pipeline.runs.run import TEXT, TEXT_AND_IMAGE, Run, RunRecord
from stages.base import Frozen

HINT = "compare runs of the same dataset; ita train makes them"

ONLY_TEXT, EVERYTHING = "text", "all"


class Comparison(Frozen):
    """The differences of run B from run A on one split, in both views.

    `grounded` are the differences in the F1 of span, type and box, if both runs have boxes.
    """

    a: str
    b: str
    split: str
    posts: int
    mentions: int
    seed: int
    views: Mapping[str, Difference]
    grounded: Mapping[str, Difference] = {}

    def to_json(self) -> dict[str, Any]:
        """Return the content of `ita compare --json`."""
        return {"schema": "ita.compare/1", **self.model_dump(exclude=None if self.grounded else {"grounded"})}


def compare_runs(a: Run, b: Run, split: str = "test", samples: int = SAMPLES, seed: int = SEED) -> Comparison:
    """Compare the predictions in the folders of two runs.

    Raises:
        MissingError: a run has no predictions of the split.
        UsageError: the runs have different posts or different gold mentions.
    """
    views: dict[str, Difference] = {}
    grounded: dict[str, Difference] = {}
    gold: list[tuple[Span, ...]] = []
    for view in (TEXT, TEXT_AND_IMAGE):
        posts_a, posts_b = (run.read_gold(split, view) for run in (a, b))
        _check_same_posts(posts_a, posts_b, a, b)
        predicted_a, predicted_b = (_spans(read_conll(run.predictions(split, view))) for run in (a, b))
        gold = _spans(posts_a)
        views[view] = compare(gold, predicted_a, predicted_b, samples, seed)
        if difference := _compare_boxes(a, b, split, view, samples, seed):
            grounded[view] = difference
    return Comparison(
        a=str(a.folder),
        b=str(b.folder),
        split=split,
        posts=len(gold),
        mentions=sum(map(len, gold)),
        seed=seed,
        views=views,
        grounded=grounded,
    )


def _compare_boxes(a: Run, b: Run, split: str, view: str, samples: int, seed: int) -> Difference | None:
    """Compare spans, types and boxes on the posts whose gold boxes are known, if both runs have the same ones."""
    first, second = (read_grounded(run, split, view) for run in (a, b))
    if first is None or second is None:
        return None
    boxes = [[[span.boxes for span in post.gold or ()] for post in gold] for gold, _ in (first, second)]
    known = [index for index, post in enumerate(first[0]) if are_known(post.gold)]
    if boxes[0] != boxes[1] or not known:
        return None
    counts = [
        np.array([count_triples(gold[index].gold or (), predicted[index]) for index in known], np.float64)
        for gold, predicted in (first, second)
    ]
    return compare_counts(counts[0], counts[1], samples, seed)


def _spans(posts: Sequence[Post]) -> list[tuple[Span, ...]]:
    return [post.gold or () for post in posts]


def _check_same_posts(posts_a: Sequence[Post], posts_b: Sequence[Post], a: Run, b: Run) -> None:
    """Raise `UsageError` at the first difference between the posts of two runs."""
    both = f"{a.folder} and {b.folder}"
    if not posts_a:
        raise UsageError(f"{a.folder} has no posts to compare on", HINT)
    if len(posts_a) != len(posts_b):
        raise UsageError(f"{both} were tested on different posts: {len(posts_a)} and {len(posts_b)}", HINT)
    for number, (left, right) in enumerate(zip(posts_a, posts_b, strict=True), 1):
        if left.words != right.words:
            raise UsageError(f"{both} were tested on different posts: the words of post {number} differ", HINT)
        if left.gold != right.gold:
            what = f"the gold mentions of post {number} differ: {_gold_mentions(left)} and {_gold_mentions(right)}"
            raise UsageError(f"{both} were tested on other labels: {what}", HINT)


def _gold_mentions(post: Post) -> str:
    return json.dumps([f"{' '.join(post.words[s.start : s.end])} {s.type}" for s in post.gold or ()])


class Mean(Frozen):
    """The mean over seeds and the sample standard deviation, which is None for a single run."""

    mean: float
    sd: float | None

    def format_percent(self) -> str:
        """Format the mean as a percentage, with the deviation if there is one."""
        return f"{100 * self.mean:.2f}" + ("" if self.sd is None else f" ± {100 * self.sd:.2f}")


class SeriesRun(Frozen):
    """A run of a series after training; `new` tells whether it was trained just now, `f1` is by split and view."""

    dataset: str
    contexts: str
    seed: int
    run: str
    new: bool
    objective: Objective = "aligned"
    train_size: int | None = None
    f1: Mapping[str, Mapping[str, float]]


class SeriesRow(Frozen):
    """The means over all seeds of the same contexts, objective and number of train posts (None for all)."""

    contexts: str
    seeds: tuple[int, ...]
    f1: Mapping[str, Mapping[str, Mean]]
    objective: Objective = "aligned"
    train_size: int | None = None


class RunSeries(Frozen):
    """The runs of a series and their means."""

    dataset: str
    runs: tuple[SeriesRun, ...]
    rows: tuple[SeriesRow, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the content of `ita train --json`."""
        return {"schema": "ita.series/1", **self.model_dump()}


@dataclass(frozen=True, slots=True)
class Variations:
    """What the runs of a series differ in: each combination is a run, and what is empty is as in its options.

    Each view is `text`, `all`, a context, or contexts joined by plus signs. The objective `aligned` is that of the
    experiment, `both` leaves the alignment term out, and `none` trains on I+T alone. `train_sizes` are numbers of
    train posts; None means all.
    """

    seeds: Sequence[int] = ()
    views: Sequence[str] = ()
    objectives: Sequence[str] = ()
    train_sizes: Sequence[int | None] = ()


def plan_series(training: TrainOptions, variations: Variations) -> list[TrainOptions]:
    """The options of each run of a series.

    Raises:
        UsageError: there is no such view or objective.
    """
    views = dict.fromkeys(map(_parse_contexts, variations.views)) if variations.views else [training.contexts]
    objectives = dict.fromkeys(map(_parse_objective, variations.objectives or (training.objective,)))
    return [
        replace(training, contexts=contexts, objective=objective, train_size=size, seed=seed)
        for contexts in views
        for objective in objectives
        for size in dict.fromkeys(variations.train_sizes or (training.train_size,))
        for seed in dict.fromkeys(variations.seeds or (training.seed,))
    ]


def _parse_objective(name: str) -> Objective:
    known = get_args(Objective)
    if name not in known:
        raise UsageError(f"there is no objective {name}", nearest(name, known) or f"known are {', '.join(known)}")
    return cast(Objective, name)


def _parse_contexts(name: str) -> tuple[str, ...] | None:
    """Parse a name such as caption+ocr; None means all contexts of the preset."""
    if name in (ONLY_TEXT, EVERYTHING):
        return () if name == ONLY_TEXT else None
    known = [*CONTEXTS, *list_plugin_stages()]
    parts = tuple(name.split("+"))
    for part in parts:
        if part not in known:
            names = [ONLY_TEXT, *known, EVERYTHING]
            hint = nearest(part, names) or f"known are {', '.join(names)}, and such as caption+ocr"
            raise UsageError(f"there is no view {part}", hint)
    return parts


def format_contexts(contexts: Sequence[str] | None) -> str:
    """Return the name of a selection of contexts."""
    return EVERYTHING if contexts is None else "+".join(contexts) or ONLY_TEXT


def name_contexts(record: RunRecord) -> str:
    """Return the name that a series gives the contexts of a run; different contexts have different names.

    An optional stage, which no preset has by itself, counts only where it ran; then every context is named.
    Without a file of imported contexts, its contexts are empty unless their stage ran.
    """
    order, default = record.contexts.order, ContextConfig().order
    if any(name in record.stage_keys for name in OPTIONAL_STAGES):
        return format_contexts(order)
    if not record.captions:
        order, default = _without_optional(order), _without_optional(default)
    return format_contexts(None if order == default else order)


def _without_optional(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in OPTIONAL_STAGES)


def describe_run(training: TrainOptions) -> str:
    """Return what identifies a run in its series."""
    objective = "" if training.objective == "aligned" else f", objective {training.objective}"
    seed = "" if training.seed is None else f", seed {training.seed}"
    size = "" if training.train_size is None else f", {training.train_size} train posts"
    return f"{format_contexts(training.contexts)}{objective}{size}{seed}"


def series_run(contexts: str, run: Run, new: bool, training: TrainOptions | None = None) -> SeriesRun:
    """Summarize a finished run; `contexts` names what was appended, and `training` are its options if known."""
    training = training or TrainOptions()
    record = run.record()
    return SeriesRun(
        dataset=record.dataset,
        contexts=contexts,
        seed=record.training.seed,
        run=str(run.folder),
        new=new,
        objective=training.objective,
        train_size=training.train_size,
        f1={
            split: {TEXT: scores.text.micro.f1, TEXT_AND_IMAGE: scores.text_and_image.micro.f1}
            for split, scores in run.scores().splits.items()
        },
    )


def summarize(runs: Sequence[SeriesRun]) -> RunSeries:
    """Add the means to the runs; at least one run is required."""
    rows: list[SeriesRow] = []
    for contexts, objective, size in dict.fromkeys(map(_row_of, runs)):
        same = [run for run in runs if _row_of(run) == (contexts, objective, size)]
        f1 = {
            split: {view: _mean([run.f1[split][view] for run in same]) for view in views}
            for split, views in same[0].f1.items()
        }
        seeds = tuple(run.seed for run in same)
        rows.append(SeriesRow(contexts=contexts, seeds=seeds, f1=f1, objective=objective, train_size=size))
    return RunSeries(dataset=runs[0].dataset, runs=tuple(runs), rows=tuple(rows))


def _row_of(run: SeriesRun) -> tuple[str, Objective, int | None]:
    return run.contexts, run.objective, run.train_size


def _mean(values: Sequence[float]) -> Mean:
    return Mean(mean=statistics.fmean(values), sd=statistics.stdev(values) if len(values) > 1 else None)

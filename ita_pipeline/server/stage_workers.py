"""Processes that run the stages of the demo and keep their models loaded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from ita_pipeline.cache.keys import sort_stages
from ita_pipeline.engines.executor import Job, Limits, StageJobs
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.extraction.contexts import Results
from ita_pipeline.sources.refs import ImageRef
from stages.base import Failure, FailureKind, Postponed, Stage, Value


class StageWorkers:
    """One process per stage, so that each keeps its model and a hostile image stops only its own process.

    Results are not written to the workspace's cache, because the image belongs to a visitor. Those of the last
    32 images stay in memory, for further texts about the same image.
    """

    def __init__(self, stages: Sequence[Stage[Any]], limits: Limits) -> None:
        self.stages = sort_stages(stages)
        self._executors = {stage.name: SubprocessExecutor(limits) for stage in stages}
        self._cache: OrderedDict[str, Results] = OrderedDict()

    def open(self) -> None:
        """Start every stage.

        Raises:
            StageError: a model or tool is missing.
        """
        for stage in self.stages:
            self._executors[stage.name].open(stage)

    def close(self) -> None:
        """Stop all processes."""
        for executor in self._executors.values():
            executor.close()

    def run(self, image: ImageRef) -> Results:
        """Run every stage on an image.

        Raises:
            StageError: a stage cannot work at all.
        """
        if image.key in self._cache:
            self._cache.move_to_end(image.key)
            return self._cache[image.key]
        results: dict[str, Value | Failure] = {}
        for stage in self.stages:
            results[stage.name] = self._run_stage(stage, image, results)
        # A failed stage may succeed next time.
        if not any(isinstance(result, Failure) for result in results.values()):
            self._cache[image.key] = results
            if len(self._cache) > 32:
                self._cache.popitem(last=False)
        return results

    def _run_stage(self, stage: Stage[Any], image: ImageRef, results: Results) -> Value | Failure:
        upstream: dict[str, Value] = {}
        for name in stage.reads:
            result = results[name]
            if isinstance(result, Failure):
                return Failure(kind=result.kind, reason=f"{name}: {result.reason}")
            upstream[name] = result
        result = self._executors[stage.name].run_task(StageJobs(stage, [Job(image, upstream)])).results[0]
        if isinstance(result, Postponed):
            return Failure(kind=FailureKind.TRANSIENT, reason=result.reason)
        return result

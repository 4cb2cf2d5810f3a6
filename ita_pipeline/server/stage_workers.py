"""Looks at pictures with the stages of a run, and keeps their models ready in between."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from ita_pipeline.cache.plan import in_order
from ita_pipeline.engines.executor import Job, Limits
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.extraction.contexts import Results
from ita_pipeline.sources.refs import ImageRef
from stages.base import Failure, FailureKind, Postponed, Stage, Value

REMEMBERED = 32


class Eyes:
    """One process a stage, so that each keeps its model and a hostile picture kills nobody else.

    Nothing of a picture is written to the workspace's cache: it is a visitor's. What the last few showed is
    remembered in memory, so that another text beside the same picture is answered at once.
    """

    def __init__(self, stages: Sequence[Stage[Any]], limits: Limits) -> None:
        self.stages = in_order(stages)
        self.executors = {stage.name: SubprocessExecutor(limits) for stage in stages}
        self.seen: OrderedDict[str, Results] = OrderedDict()

    def open(self) -> None:
        """Make every stage ready.

        Raises:
            StageError: a model or tool is missing.
        """
        for stage in self.stages:
            self.executors[stage.name].open(stage)

    def close(self) -> None:
        for executor in self.executors.values():
            executor.close()

    def look(self, image: ImageRef) -> Results:
        """What each stage says of a picture.

        Raises:
            StageError: a stage cannot work at all.
        """
        if image.key in self.seen:
            self.seen.move_to_end(image.key)
            return self.seen[image.key]
        found: dict[str, Value | Failure] = {}
        for stage in self.stages:
            found[stage.name] = self.ask(stage, image, found)
        # What failed may go well another time.
        if not any(isinstance(result, Failure) for result in found.values()):
            self.seen[image.key] = found
            if len(self.seen) > REMEMBERED:
                self.seen.popitem(last=False)
        return found

    def ask(self, stage: Stage[Any], image: ImageRef, found: Results) -> Value | Failure:
        upstream: dict[str, Value] = {}
        for name in stage.reads:
            result = found[name]
            if isinstance(result, Failure):
                return Failure(kind=result.kind, reason=f"{name}: {result.reason}")
            upstream[name] = result
        result = self.executors[stage.name].run_jobs(stage, [Job(image, upstream)])[0]
        if isinstance(result, Postponed):
            return Failure(kind=FailureKind.TRANSIENT, reason=result.reason)
        return result

"""Counts of fresh, stale and failed items for each stage, with the reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ita_pipeline.cache.plan import Plan, StagePlan
from ita_pipeline.runs.plan import RunState
from ita_pipeline.sources.refs import Unreadable


@dataclass(frozen=True, slots=True)
class StageStatus:
    """A row of the table. `seconds_forecast` is None if the stage was never measured."""

    stage: str
    key: str
    fresh: int
    stale: int
    failed: int
    reasons: Mapping[str, int]
    seconds_forecast: float | None
    failures: Mapping[str, int]
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """The status of every stage, of the training if there is one, and the unreadable files.

    `unfinished` are folders of trainings that can be resumed; they do not make anything stale.
    """

    stages: tuple[StageStatus, ...]
    unreadable: tuple[Unreadable, ...] = ()
    unfinished: tuple[Path, ...] = ()

    @property
    def stale(self) -> bool:
        """Whether any item is stale."""
        return any(row.stale for row in self.stages)

    @property
    def damaged(self) -> bool:
        """Whether any record is damaged."""
        return any(row.damaged for row in self.stages)

    @property
    def clean(self) -> bool:
        """Whether nothing is stale, damaged, unreadable or failed."""
        return not (self.stale or self.damaged or self.unreadable or any(row.failed for row in self.stages))

    def to_json(self) -> dict[str, Any]:
        """Return the content of `ita status --json`."""
        return {
            "schema": "ita.status/1",
            "stages": [asdict(row) for row in self.stages],
            "unreadable": len(self.unreadable),
            "unfinished": [str(folder) for folder in self.unfinished],
            "clean": self.clean,
        }


def status_of(plan: Plan, unreadable: tuple[Unreadable, ...] = (), training: RunState | None = None) -> Status:
    """Summarize a plan."""
    rows = [_stage_row(stage) for stage in plan.stages]
    if training is not None:
        reasons = {str(reason): 1 for reason in training.reasons}
        forecast = 0.0 if training.fresh else None
        fresh, stale = int(training.fresh), int(not training.fresh)
        rows.append(StageStatus("training", training.key, fresh, stale, 0, reasons, forecast, {}))
    return Status(tuple(rows), unreadable)


def _stage_row(plan: StagePlan) -> StageStatus:
    forecast = plan.forecast
    return StageStatus(
        stage=plan.stage.name,
        key=plan.key.hexdigest,
        fresh=plan.fresh,
        stale=len(plan.stale) + plan.waiting,
        failed=len(plan.failed),
        reasons=dict(plan.reasons.most_common()),
        seconds_forecast=None if forecast is None else round(forecast, 2),
        failures=dict(Counter(failed.failure.kind for failed in plan.failed)),
        damaged=len(plan.damage),
    )

"""What is fresh, stale and failed, and why: a plan in a form to be shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ita_pipeline.cache.plan import Plan, StagePlan
from ita_pipeline.runs.plan import RunState
from ita_pipeline.sources.refs import Unreadable


@dataclass(frozen=True, slots=True)
class StageStatus:
    """A row of the table. `seconds_forecast` is nothing where a stage was never measured."""

    stage: str
    key: str
    fresh: int
    stale: int
    failed: int
    reasons: Mapping[str, int]
    seconds_forecast: float | None
    failures: Mapping[str, int]
    damaged: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "key": self.key,
            "fresh": self.fresh,
            "stale": self.stale,
            "failed": self.failed,
            "reasons": dict(self.reasons),
            "seconds_forecast": self.seconds_forecast,
            "failures": dict(self.failures),
            "damaged": self.damaged,
        }


@dataclass(frozen=True, slots=True)
class Status:
    """Every stage, and the training where there is one, with the files that cannot be read.

    `unfinished` are folders of runs that were begun and can be taken up; they say nothing of what is stale.
    """

    stages: tuple[StageStatus, ...]
    unreadable: tuple[Unreadable, ...] = ()
    unfinished: tuple[Path, ...] = ()

    @property
    def stale(self) -> bool:
        return any(row.stale for row in self.stages)

    @property
    def damaged(self) -> bool:
        return any(row.damaged for row in self.stages)

    @property
    def clean(self) -> bool:
        return (
            not self.stale and not self.damaged and not self.unreadable and not any(r.failed for r in self.stages)
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": "ita.status/1",
            "stages": [row.to_json() for row in self.stages],
            "unreadable": len(self.unreadable),
            "unfinished": [str(folder) for folder in self.unfinished],
            "clean": self.clean,
        }


def status_of(plan: Plan, unreadable: tuple[Unreadable, ...] = (), training: RunState | None = None) -> Status:
    rows = [row_of(stage) for stage in plan.stages]
    if training is not None:
        rows.append(training_row(training))
    return Status(tuple(rows), unreadable)


def row_of(plan: StagePlan) -> StageStatus:
    failures: dict[str, int] = {}
    for failed in plan.failed:
        failures[failed.failure.kind] = failures.get(failed.failure.kind, 0) + 1
    forecast = plan.forecast
    return StageStatus(
        stage=plan.stage.name,
        key=plan.key.hexdigest,
        fresh=plan.fresh,
        stale=len(plan.stale) + plan.waiting,
        failed=len(plan.failed),
        reasons=dict(plan.reasons.most_common()),
        seconds_forecast=None if forecast is None else round(forecast, 2),
        failures=failures,
        damaged=len(plan.damage),
    )


def training_row(state: RunState) -> StageStatus:
    reasons = {str(reason): 1 for reason in state.reasons}
    forecast = 0.0 if state.fresh else None
    return StageStatus("training", state.key, int(state.fresh), int(not state.fresh), 0, reasons, forecast, {})

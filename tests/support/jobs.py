"""Jobs for executors, and their results."""

from __future__ import annotations

from ita_pipeline.engines.executor import Executor, Job, Limits, StageJobs
from ita_pipeline.engines.sandbox import SubprocessExecutor
from stages.base import Failure, Result
from tests.support.fakes import SizeConfig, SizeStage, draw_images
from tests.support.odd_stages import Hostile


def make_jobs(*names: str) -> list[Job]:
    return [Job(image) for image in draw_images(*names)]


def run_jobs(executor: Executor, stage: SizeStage, jobs: list[Job]) -> list[Result]:
    return executor.run_task(StageJobs(stage, jobs)).results


def run_hostile(names: list[str], limits: Limits | None = None) -> list[Result]:
    """Run the stage `Hostile` on one batch of images with these names in a process of its own."""
    with SubprocessExecutor(limits) as executor:
        return run_jobs(executor, Hostile(SizeConfig(batch=8)), make_jobs(*names))


def failures(results: list[Result]) -> dict[int, Failure]:
    """The failures by their positions."""
    return {number: result for number, result in enumerate(results) if isinstance(result, Failure)}

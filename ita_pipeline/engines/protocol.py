"""Messages between a subprocess executor and its worker process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ita_pipeline.engines.executor import Job
from ita_pipeline.sources.refs import ImageRef
from stages.base import Stage


@dataclass(frozen=True, slots=True)
class JobRequest:
    """Jobs for an open stage. The worker answers a list of requests with the results of all."""

    stage: str
    jobs: list[Job]


@dataclass(frozen=True, slots=True)
class PrefetchRequest:
    """Images that come next. The worker does not answer."""

    images: list[ImageRef]


# A stage by itself is to be opened.
Request = Stage[Any] | list[JobRequest] | PrefetchRequest

# The first line of an answer.
READY, RESULTS, BROKEN = b"ready", b"results", b"broken"

# A line that starts with this reports a postponed job.
POSTPONED = b"postponed "

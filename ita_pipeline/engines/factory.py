"""The choice of the engine that runs a plan."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from ita_pipeline.engines.base import Engine
from ita_pipeline.engines.executor import Limits
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.engines.ray.cluster import RayPool
from ita_pipeline.engines.sandbox import SubprocessExecutor


@contextmanager
def open_engine(ray: RayPool | None, limits: Limits) -> Generator[Engine]:
    """Open the Ray engine if a pool is given, else the local engine.

    Raises:
        MissingError: Ray is not installed.
    """
    with SubprocessExecutor(limits) as executor:
        if ray is None:
            yield LocalEngine(executor)
            return
        from ita_pipeline.engines.ray.engine import RayEngine

        yield RayEngine(ray, executor)

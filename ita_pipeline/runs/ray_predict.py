"""Taggers in actors of Ray: each loads the run's model once, finds mentions, and writes parts of its own."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ita_pipeline.cache.store import Store
from ita_pipeline.engines.ray.cluster import Node, RayPool, shares
from ita_pipeline.runs.part_files import Parts
from ita_pipeline.runs.predictions import Asked
from ita_pipeline.runs.predictor import Predictor
from ita_pipeline.runs.run import Run
from stages.base import StageError

IN_FLIGHT = 2


class PartWriter:
    """The actor. What goes wrong is an answer, for the driver to tell."""

    def __init__(self, run: Path, store: Path, min_confidence: float, parts: Parts) -> None:
        self.parts = parts
        self.trouble: Exception | None = None
        try:
            self.predictor = Predictor(Run(run), Store(store), min_confidence=min_confidence)
        except Exception as error:
            self.trouble = error

    def write(self, chunk: Sequence[Asked]) -> Exception | None:
        from ita_pipeline.runs.part_files import write_part

        if self.trouble is None:
            try:
                if not self.parts.folder.is_dir():
                    where = f"{self.parts.folder} is not there where an actor runs"
                    raise StageError(where, "--parts DIR on a file system that all machines share")
                write_part(self.predictor, self.parts, chunk)
            except Exception as error:
                return error
        return self.trouble


class Taggers:
    """Actors that are there while there is something to tag. A part that is lost with one of them is done again by
    Ray: it is either written whole or not at all.
    """

    def __init__(self, pool: RayPool, nodes: Sequence[Node], predictor: Predictor, parts: Parts) -> None:
        self.each = shares(pool, nodes)
        self.arguments = (
            predictor.run.folder.absolute(),
            predictor.store.root.absolute(),
            predictor.min_confidence,
            parts,
        )
        self.idle: list[Any] = []
        self.busy: dict[Any, Any] = {}

    def __enter__(self) -> Taggers:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.rest()
        self.kill()

    def write(self, chunk: Sequence[Asked]) -> None:
        """Hand over posts for a part; it waits where all actors have enough to do.

        Raises:
            StageError, OSError, UserError: what an actor said of an earlier part.
        """
        if not self.idle and not self.busy:
            self.start()
        if not self.idle:
            self.collect()
        actor = self.idle.pop(0)
        self.busy[actor.write.remote(list(chunk))] = actor

    def start(self) -> None:
        import ray

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind: Any = ray.remote(
                num_cpus=self.each.cores, num_gpus=self.each.gpus, max_restarts=-1, max_task_retries=-1
            )(PartWriter)
        actors = [kind.remote(*self.arguments) for _ in range(self.each.actors)]
        self.idle = actors * IN_FLIGHT

    def collect(self) -> None:
        import ray

        done, _ = ray.wait(list(self.busy), num_returns=1)
        for one in done:
            self.idle.append(self.busy.pop(one))
            trouble = ray.get(one)
            if trouble is not None:
                raise trouble

    def rest(self) -> None:
        """Finish what was handed over, and leave the cores to others."""
        while self.busy:
            self.collect()
        self.kill()

    def kill(self) -> None:
        import ray

        for actor in {id(actor): actor for actor in (*self.idle, *self.busy.values())}.values():
            ray.kill(actor)
        self.idle, self.busy = [], {}

"""Part writer that tags posts in Ray actors."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ita_pipeline.cache.store import Store
from ita_pipeline.core.iteration import batched
from ita_pipeline.engines.base import Engine
from ita_pipeline.engines.ray.cluster import Node, RayPool, divide_cluster
from ita_pipeline.runs.bulk_predict import POSTS_PER_PART, write_part
from ita_pipeline.runs.part_files import PartFolder
from ita_pipeline.runs.predictions import TaggingInput
from ita_pipeline.runs.predictor import Predictor
from ita_pipeline.runs.run import Run
from stages.base import StageError

PARTS_PER_ACTOR = 2


class PartActor:
    """The Ray actor: loads the run's model once. Errors are return values, for the driver to raise."""

    def __init__(self, run: Path, store: Path, min_confidence: float, parts: PartFolder) -> None:
        self.parts = parts
        self.error: Exception | None = None
        try:
            self.predictor = Predictor(Run(run), Store(store), min_confidence=min_confidence)
        except Exception as error:
            self.error = error

    def write(self, inputs: Sequence[TaggingInput]) -> Exception | None:
        """Tag posts, write their predictions as one part, and return the error if that fails."""
        if self.error is None:
            try:
                if not self.parts.folder.is_dir():
                    what = f"{self.parts.folder} is not there where an actor runs"
                    raise StageError(what, "--parts DIR on a file system that all machines share")
                write_part(self.predictor, self.parts, inputs)
            except Exception as error:
                return error
        return self.error


class RayPartWriter:
    """Tags posts in Ray actors, which exist only while there are posts to tag.

    If an actor is lost, Ray repeats its part, which is either written completely or not at all. Batches are large
    because the actors restart whenever the posts of a batch have stale images.
    """

    def __init__(
        self,
        pool: RayPool,
        nodes: Sequence[Node],
        predictor: Predictor,
        parts: PartFolder,
        engine: Engine,
        posts_per_part: int = POSTS_PER_PART,
    ) -> None:
        self.parts, self.engine = parts, engine
        self.posts_per_part, self.posts_per_batch = posts_per_part, 16 * posts_per_part
        self._share = divide_cluster(pool, nodes)
        self._arguments = (
            predictor.run.folder.absolute(),
            predictor.store.root.absolute(),
            predictor.min_confidence,
            parts,
        )
        self._actors: list[Any] = []
        self._pool: Any = None

    def __enter__(self) -> RayPartWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.release()
        self._kill()

    def write(self, inputs: Sequence[TaggingInput]) -> None:
        """Assign posts to actors, part by part; wait while all actors are busy.

        Raises:
            StageError, OSError, UserError: an earlier part failed in an actor.
        """
        for part in batched(inputs, self.posts_per_part):
            if not self._actors:
                self._start()
            if not self._pool.has_free():
                self._collect()
            self._pool.submit(lambda actor, inputs: actor.write.remote(inputs), part)

    def release(self) -> None:
        """Finish all parts and stop the actors."""
        while self._actors and self._pool.has_next():
            self._collect()
        self._kill()

    def _start(self) -> None:
        import ray
        from ray.util import ActorPool

        share = self._share
        with warnings.catch_warnings(action="ignore"):
            remote = ray.remote(num_cpus=share.cores, num_gpus=share.gpus, max_restarts=-1, max_task_retries=-1)
            actor: Any = remote(PartActor)
        self._actors = [actor.remote(*self._arguments) for _ in range(share.actors)]
        self._pool = ActorPool(self._actors * PARTS_PER_ACTOR)

    def _collect(self) -> None:
        error = self._pool.get_next_unordered()
        if error is not None:
            raise error

    def _kill(self) -> None:
        import ray

        for actor in self._actors:
            ray.kill(actor)
        self._actors = []

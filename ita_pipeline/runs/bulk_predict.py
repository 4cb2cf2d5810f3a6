"""Prediction for any number of posts, batch by batch in constant memory, without repeating finished posts.

Part writers tag the posts, in this process or in Ray actors.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ita_pipeline.cache.store import Store
from ita_pipeline.core.progress import Progress
from ita_pipeline.corpus.posts import Post
from ita_pipeline.engines.base import Engine
from ita_pipeline.engines.ray.cluster import ActorResources
from ita_pipeline.extraction.items import make_post_ref
from ita_pipeline.ner.config import RuntimeName
from ita_pipeline.runs.predictions import PartFolder, PredictedPosts, TaggingInput
from ita_pipeline.runs.predictor import Predictor
from ita_pipeline.runs.run import Run
from stages.base import StageError
from stages.batching import batched

logger = logging.getLogger(__name__)

POSTS_PER_PART = 1024

PARTS_PER_ACTOR = 2


@dataclass(frozen=True, slots=True)
class PredictionCounts:
    """Counts of posts.

    `now` were predicted in this run, `before` were skipped as duplicates or already predicted, and `failed` were
    predicted in this run with contexts missing.
    """

    now: int
    before: int
    failed: int


class PartWriter:
    """Tags posts in this process and writes the predictions to part files.

    `engine` runs the stages for the images of the posts, by default the predictor's own. Contexts are prepared for
    `posts_per_batch` posts at a time.
    """

    engine: Engine | None = None

    def __init__(self, predictor: Predictor, parts: PartFolder, posts_per_part: int = POSTS_PER_PART) -> None:
        self.predictor, self.parts = predictor, parts
        self.posts_per_part = self.posts_per_batch = posts_per_part

    def write(self, inputs: Sequence[TaggingInput]) -> None:
        """Tag posts and write their predictions, or start to do so."""
        for part in batched(inputs, self.posts_per_part):
            write_part(self.predictor, self.parts, part)

    def release(self) -> None:
        """Finish all writes and free what the taggers use until the next call of `write`.

        In this process the model stays in memory.
        """


def write_part(predictor: Predictor, parts: PartFolder, inputs: Sequence[TaggingInput]) -> None:
    """Tag posts and write their predictions as one part."""
    predictions = predictor.predict_inputs(inputs)
    parts.write(
        [
            {"number": item.number, "key": item.key, **prediction.to_json(), "failed": item.failed}
            for item, prediction in zip(inputs, predictions, strict=True)
        ]
    )


class PartActor:
    """The Ray actor: loads the run's model once. Errors are return values, for the driver to raise."""

    def __init__(
        self, run: Path, store: Path, min_confidence: float, runtime: RuntimeName, parts: PartFolder
    ) -> None:
        self.parts = parts
        self.error: Exception | None = None
        try:
            self.predictor = Predictor(Run(run), Store(store), min_confidence=min_confidence, runtime=runtime)
        except Exception as error:
            self.error = error

    def write(self, inputs: Sequence[TaggingInput]) -> Exception | None:
        """Tag posts, write their predictions as one part, and return the error if that fails."""
        if self.error is not None:
            return self.error
        try:
            if not self.parts.folder.is_dir():
                what = f"{self.parts.folder} is not there where an actor runs"
                raise StageError(what, "--parts DIR on a file system that all machines share")
            write_part(self.predictor, self.parts, inputs)
        except Exception as error:
            return error
        return None


class RayPartWriter(PartWriter):
    """Tags posts in Ray actors, which exist only while there are posts to tag.

    If an actor is lost, Ray repeats its part, which is either written completely or not at all. Batches are large
    because the actors restart whenever the posts of a batch have stale images.
    """

    def __init__(
        self,
        predictor: Predictor,
        parts: PartFolder,
        posts_per_part: int,
        engine: Engine,
        share: ActorResources,
    ) -> None:
        super().__init__(predictor, parts, posts_per_part)
        self.engine, self.share = engine, share
        self.posts_per_batch = 16 * posts_per_part
        self._actors: list[Any] = []
        self._pool: Any = None

    def __enter__(self) -> Self:
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

        share = self.share
        with warnings.catch_warnings(action="ignore"):
            remote = ray.remote(num_cpus=share.cores, num_gpus=share.gpus, max_restarts=-1, max_task_retries=-1)
            actor: Any = remote(PartActor)
        run, store = self.predictor.run.folder.absolute(), self.predictor.store.root.absolute()
        # ONNX Runtime does not use the GPUs that the actors were given.
        runtime = "torch" if share.gpus and self.predictor.runtime == "auto" else self.predictor.runtime
        arguments = (run, store, self.predictor.min_confidence, runtime, self.parts)
        self._actors = [actor.remote(*arguments) for _ in range(share.actors)]
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


def predict_into(
    writer: PartWriter,
    posts: Iterable[Post],
    progress: Progress,
    on_failure: Callable[[str, str], None] = lambda *_: None,
) -> PredictionCounts:
    """Predict the posts that have no prediction in the writer's folder yet.

    `on_failure` is called with the id of each post whose contexts are incomplete and the reason.

    Raises:
        CorruptCacheError: a part, or the cache, is damaged.
        OSError: a part cannot be written; earlier parts remain.
        StageError: a model or tool is missing.
        UserError: as `Predictor.predict_all`, or Ray does not respond.
    """
    predictor = writer.predictor
    predicted = skipped = failed = notes = 0
    with closing(PredictedPosts(writer.parts)) as finished:
        for batch in batched(enumerate(posts, 1), writer.posts_per_batch):
            plan = predictor.plan([post for _, post in batch])
            images = {image.path: image for image in plan.pictures.images}
            seen = {post: [images[file] for file in post.files if file in images] for _, post in batch}
            new = finished.add_new(
                TaggingInput(post, number=number, key=make_post_ref(post, seen[post], ()).key)
                for number, post in batch
            )
            skipped += len(batch) - len(new)
            if not new:
                continue
            new_posts = [item.post for item in new]
            if len(new) < len(batch):
                plan = predictor.plan(new_posts)
            if plan.plan.stale:
                writer.release()
            contexts = predictor.make_contexts(plan, progress, writer.engine)
            inputs = predictor.add_contexts(new, contexts)
            writer.write(inputs)
            for post, reason in [(item.post, item.failed) for item in inputs if item.failed]:
                failed += 1
                on_failure(post.id, reason)
            for note in predictor.notes[notes:]:
                logger.info(note)
            notes = len(predictor.notes)
            predicted += len(new)
    return PredictionCounts(predicted, skipped, failed)

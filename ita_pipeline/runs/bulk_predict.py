"""Prediction for any number of posts, batch by batch in constant memory, without repeating finished posts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Protocol

from ita_pipeline.core.iteration import batched
from ita_pipeline.core.progress import Progress
from ita_pipeline.corpus.posts import Post
from ita_pipeline.engines.base import Engine
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.extraction.posts import make_post_ref
from ita_pipeline.runs.part_files import PartFolder, PredictedPosts
from ita_pipeline.runs.predictions import TaggingInput
from ita_pipeline.runs.predictor import Predictor, failure_reasons

logger = logging.getLogger(__name__)

POSTS_PER_PART = 1024


@dataclass(frozen=True, slots=True)
class PredictionCounts:
    """Counts of posts.

    `now` were predicted in this run, `before` were skipped as duplicates or already predicted, and `failed` were
    predicted in this run with contexts missing.
    """

    now: int
    before: int
    failed: int


class PartWriter(Protocol):
    """Tags posts and writes the predictions to part files; `engine` runs the stages for their images.

    Contexts are prepared for `posts_per_batch` posts at a time.
    """

    parts: PartFolder
    engine: Engine
    posts_per_batch: int

    def write(self, inputs: Sequence[TaggingInput]) -> None:
        """Tag posts and write their predictions, or start to do so."""
        ...

    def release(self) -> None:
        """Finish all writes and free the resources of the taggers until the next call of `write`."""
        ...


class LocalPartWriter:
    """Tags posts in this process."""

    def __init__(self, predictor: Predictor, parts: PartFolder, posts_per_part: int = POSTS_PER_PART) -> None:
        self.predictor, self.parts = predictor, parts
        self.engine: Engine = LocalEngine(predictor.executor)
        self.posts_per_part = self.posts_per_batch = posts_per_part

    def write(self, inputs: Sequence[TaggingInput]) -> None:
        """Tag posts and write their predictions."""
        for part in batched(inputs, self.posts_per_part):
            write_part(self.predictor, self.parts, part)

    def release(self) -> None:
        """Do nothing: the model stays in memory."""


def write_part(predictor: Predictor, parts: PartFolder, inputs: Sequence[TaggingInput]) -> None:
    """Tag posts and write their predictions as one part."""
    predictions = predictor.predict_inputs(inputs)
    parts.write(
        [
            {"number": item.number, "key": item.key, **prediction.to_json(), "failed": item.failed}
            for item, prediction in zip(inputs, predictions, strict=True)
        ]
    )


def predict_into(
    writer: PartWriter,
    posts: Iterable[Post],
    predictor: Predictor,
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
    predicted = skipped = failed = notes = 0
    with closing(PredictedPosts(writer.parts)) as finished:
        for batch in batched(enumerate(posts, 1), writer.posts_per_batch):
            plan = predictor.plan([post for _, post in batch])
            images = {image.path: image for image in plan.pictures.images}
            new = finished.add_new(
                TaggingInput(post, number=number, key=make_post_ref(post, images.get(post.picture), ()).key)
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
            reasons = failure_reasons(new_posts, contexts)
            inputs = [
                replace(item, contexts=contexts.render(item.post), failed=reasons.get(item.post, ""))
                for item in new
            ]
            writer.write(inputs)
            for post, reason in [(item.post, item.failed) for item in inputs if item.failed]:
                failed += 1
                on_failure(post.id, reason)
            for note in predictor.notes[notes:]:
                logger.info(note)
            notes = len(predictor.notes)
            predicted += len(new)
    return PredictionCounts(predicted, skipped, failed)

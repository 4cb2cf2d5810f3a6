"""A trained run at work: it predicts, is scored on other posts, and is tried on a page."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ita_pipeline.cache.keys import stage_keys
from ita_pipeline.cache.store import Store
from ita_pipeline.cache.workspace import Workspace
from ita_pipeline.core.iteration import as_available
from ita_pipeline.core.progress import NoProgress, Progress
from ita_pipeline.corpus.datasets import load_dataset
from ita_pipeline.corpus.posts import Post
from ita_pipeline.engines.executor import Limits
from ita_pipeline.engines.factory import open_engine
from ita_pipeline.engines.ray.cluster import RayPool, connect, require_ray
from ita_pipeline.extraction.options import Options, decline
from ita_pipeline.extraction.session import CacheSession
from ita_pipeline.runs.bulk_predict import (
    POSTS_PER_PART,
    LocalPartWriter,
    PartWriter,
    PredictionCounts,
    predict_into,
)
from ita_pipeline.runs.evaluate import Evaluation, evaluate_run
from ita_pipeline.runs.part_files import PartFolder, PartFormat
from ita_pipeline.runs.predictions import Prediction
from ita_pipeline.runs.predictor import Predictor
from ita_pipeline.runs.run import find_run

logger = logging.getLogger(__name__)

GROUP = 64


def evaluate(
    run: str | Path,
    dataset: str,
    splits: Sequence[str] = ("test",),
    options: Options | None = None,
    progress: Progress | None = None,
    data: Path | None = None,
    captions: str = "auto",
) -> Evaluation:
    """The scores of a run, in both views, on labelled posts that it was not trained with.

    `captions` is a file of captions made elsewhere, "none", or "auto": the dataset's, where the run had such.

    Raises:
        MissingError: there is no such run.
        UserError: the dataset, or a file of it, is missing or wrong; or a split has no labelled posts.
        StageError: a model or tool that the run's stages need is missing.
    """
    options, progress = options or Options(), progress or NoProgress()
    found = load_dataset(dataset, data, Workspace(options.workspace).data)
    for note in found.notes:
        logger.info(note)
    with CacheSession(options) as sharing:
        predictor = predictor_of(run, sharing.store, options)
        evaluation = evaluate_run(predictor, found, splits, captions, progress)
    for note in predictor.notes:
        logger.info(note)
    return evaluation


def predict(
    run: str | Path,
    posts: Iterable[Post],
    options: Options | None = None,
    progress: Progress | None = None,
    min_confidence: float = 0.0,
) -> Iterator[Prediction]:
    """Mentions in posts, each with its picture where it has one. Labels are neither needed nor looked at.

    Mentions less probable than `min_confidence` are left out.

    Posts are answered in groups of those that are there already, at most 64: a slow pipe is answered post by
    post, a fast one in batches.

    Raises:
        MissingError: there is no such run.
        UsageError: `min_confidence` is no probability.
        StageError: a model or tool that the run's stages need is missing.
    """
    options, progress = options or Options(), progress or NoProgress()
    with CacheSession(options) as sharing:
        predictor = predictor_of(run, sharing.store, options, min_confidence)
        told = 0
        for group in as_available(posts, GROUP):
            yield from predictor.predict(group, progress)
            for note in predictor.notes[told:]:
                logger.info(note)
            told = len(predictor.notes)


def predict_parts(
    run: str | Path,
    posts: Iterable[Post],
    to: Path | str,
    options: Options | None = None,
    progress: Progress | None = None,
    min_confidence: float = 0.0,
    form: PartFormat = PartFormat.JSONL,
    failed: Callable[[str, str], None] | None = None,
) -> PredictionCounts:
    """Mentions in any number of posts, written bit by bit to a folder of part files, as JSON lines or Parquet.

    What the folder has an answer to already is not answered again. `failed` is told the id of a post that was
    answered without all that belongs to it, and why.

    Raises:
        MissingError: there is no such run, or Ray is asked for and does not answer.
        UsageError: the folder holds something else, or `min_confidence` is no probability.
        StageError: a model or tool that the run's stages need is missing; parts that are written stay.
        CorruptCacheError: a part is not what was written there.
    """
    options, progress = options or Options(), progress or NoProgress()
    if options.ray is not None:
        require_ray()
    with CacheSession(options) as sharing:
        predictor = predictor_of(run, sharing.store, options, min_confidence)
        parts = PartFolder.open(Path(to), predictor.record.key, min_confidence, form)
        if options.ray is not None:
            sharing.upload_at_end(stage_keys(predictor.stages).values())
        with open_part_writer(predictor, parts, options.ray) as writer:
            return predict_into(writer, posts, predictor, progress, failed or (lambda *_: None))


@contextmanager
def open_part_writer(
    predictor: Predictor,
    parts: PartFolder,
    ray: RayPool | None,
    posts_per_part: int = POSTS_PER_PART,
) -> Iterator[PartWriter]:
    """Open a part writer that works on this machine or, if `ray` is given, in Ray actors.

    Raises:
        MissingError, UsageError: Ray does not respond.
    """
    if ray is None:
        yield LocalPartWriter(predictor, parts, posts_per_part)
        return
    from ita_pipeline.runs.ray_predict import RayPartWriter

    with (
        open_engine(ray, predictor.limits) as engine,
        connect(ray) as nodes,
        RayPartWriter(ray, nodes, predictor, parts, engine, posts_per_part) as writer,
    ):
        yield writer


def predictor_of(run: str | Path, store: Store, options: Options, min_confidence: float = 0.0) -> Predictor:
    found = find_run(run, Workspace(options.workspace).runs)
    limits, confirm = options.limits, options.confirm
    return Predictor(found, store, limits, min_confidence, confirm, options.consent, options.changes)


def load(
    run: str | Path,
    workspace: Path = Path(),
    limits: Limits | None = None,
    min_confidence: float = 0.0,
    confirm: Callable[[str], bool] = decline,
    consent: bool = False,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
) -> Predictor:
    """A trained tagger, ready for posts; `limits` are what one picture may take, `min_confidence` the probability
    that a mention has at least, and the others as for `Predictor`.

    Raises:
        MissingError: there is no such run.
        UsageError: `min_confidence` is no probability.
        StageError: its model cannot be loaded.
    """
    place = Workspace(workspace)
    found = find_run(run, place.runs)
    return Predictor(found, place.store, limits, min_confidence, confirm, consent, changes)

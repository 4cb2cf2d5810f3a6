"""The Python API of `ita predict` and `ita evaluate`: apply a trained run to posts."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from ita_pipeline.cache.keys import stage_keys
from ita_pipeline.cache.store import Store, Workspace
from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.core.files import open_regular
from ita_pipeline.core.iteration import as_available
from ita_pipeline.core.progress import NoProgress, Progress, activity
from ita_pipeline.corpus.datasets import load_dataset
from ita_pipeline.corpus.formats import find_format, parse_posts
from ita_pipeline.corpus.formats.hf_datasets import posts_of_source as posts_of_source
from ita_pipeline.corpus.formats.jsonl import parse_lines
from ita_pipeline.corpus.posts import Post, require_posts
from ita_pipeline.engines.executor import Limits
from ita_pipeline.engines.factory import open_engine
from ita_pipeline.engines.ray.cluster import RayPool, connect, divide_cluster, require_ray
from ita_pipeline.extraction.options import Consent, Options
from ita_pipeline.extraction.session import CacheSession
from ita_pipeline.ner.config import RuntimeName
from ita_pipeline.reports.prediction_page import PredictionReport, report_predictions
from ita_pipeline.reports.writer import ReportOptions, ReportWriter
from ita_pipeline.runs.bulk_predict import (
    POSTS_PER_PART,
    PartWriter,
    PredictionCounts,
    RayPartWriter,
    predict_into,
)
from ita_pipeline.runs.evaluation import Evaluation, evaluate_run
from ita_pipeline.runs.explanation import Explanation
from ita_pipeline.runs.explanation import SwitchOff as SwitchOff
from ita_pipeline.runs.lookup import find_run
from ita_pipeline.runs.predictions import Mention as Mention
from ita_pipeline.runs.predictions import PartFolder, PartFormat, Prediction
from ita_pipeline.runs.predictions import save_predictions as save_predictions
from ita_pipeline.runs.predictor import Predictor
from ita_pipeline.runs.run import Run
from ita_pipeline.sources.classify import NOT_TEXT, TargetKind, classify, describe_file
from ita_pipeline.sources.hub_datasets import is_loadable

logger = logging.getLogger(__name__)

MAX_GROUP = 64

Answer = TypeVar("Answer")

MAX_BYTES_AT_ONCE = 1 << 26

_WITHOUT_POSTS = NOT_TEXT | {TargetKind.YAML_FILE, TargetKind.TEXT_TABLE}
"""Files that contain no posts in a form that `predict` reads. A list of words may be a CoNLL file without tags."""


def evaluate(  # noqa: PLR0913
    run: str | Path,
    dataset: str,
    splits: Sequence[str] = ("test",),
    options: Options | None = None,
    progress: Progress | None = None,
    data: Path | None = None,
    captions: str = "auto",
) -> Evaluation:
    """Score a run, in both views, on labeled posts that it was not trained on.

    `captions` is a file of existing captions, "none" or "auto". With "auto", the dataset's captions are used if the
    run was trained with a captions file.

    Raises:
        MissingError: the run does not exist.
        UserError: the dataset, or one of its files, is missing or invalid, or a split has no labeled posts.
        StageError: a model or tool that the run's stages need is missing.
    """
    options, progress = options or Options(), progress or NoProgress()
    loaded = load_dataset(dataset, data, Workspace(options.workspace).data)
    for note in loaded.notes:
        logger.info(note)
    with CacheSession(options) as session:
        trained = find_run(run, Workspace(options.workspace).runs)
        predictor = _load_predictor(trained, session.store, options)
        evaluation = evaluate_run(predictor, loaded, splits, captions, progress)
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
    """Find the mentions in posts, with or without pictures; labels are ignored.

    Mentions less probable than `min_confidence` are left out. Each batch contains the posts that have arrived, at
    most 64: a slow pipe gets its predictions post by post, a fast one in batches.

    Raises:
        MissingError: the run does not exist.
        UsageError: `min_confidence` is not a probability.
        StageError: a model or tool that the run's stages need is missing.
    """
    return _apply(run, posts, options, progress, min_confidence, Predictor.predict_all)


def explain(
    run: str | Path,
    posts: Iterable[Post],
    options: Options | None = None,
    progress: Progress | None = None,
    min_confidence: float = 0.0,
) -> Iterator[Explanation]:
    """Find the mentions in posts, and how their probabilities move without each part of the contexts.

    A part is a context, an object, a line of words in the picture, or a caption. Each is switched off alone, and
    the post is tagged again. Everything else is as in `predict`.

    Raises:
        MissingError: the run does not exist.
        UsageError: `min_confidence` is not a probability.
        StageError: a model or tool that the run's stages need is missing.
    """
    return _apply(run, posts, options, progress, min_confidence, Predictor.explain_all)


def predict_page(  # noqa: PLR0913
    run: str | Path,
    posts: Iterable[Post],
    html: Path | str,
    options: Options | None = None,
    progress: Progress | None = None,
    min_confidence: float = 0.0,
    page: ReportOptions | None = None,
) -> PredictionReport:
    """Find the mentions in posts in both views, and write an HTML page with them, least certain posts first.

    Labels are ignored. `page` chooses where thumbnails go, and whether the page explains the posts whose answer the
    contexts changed.

    Raises:
        MissingError: the run does not exist.
        UsageError: `html` is a folder, or `min_confidence` is not a probability.
        StageError: a model or tool that the run's stages need is missing.
    """
    options = options or Options()
    writer = ReportWriter(Path(html), page, progress, example="predictions.html")
    with CacheSession(options) as session:
        trained = find_run(run, Workspace(options.workspace).runs)
        listed = list(posts)
        return report_predictions(_load_predictor(trained, session.store, options, min_confidence), listed, writer)


def _apply(
    run: str | Path,
    posts: Iterable[Post],
    options: Options | None,
    progress: Progress | None,
    min_confidence: float,
    method: Callable[[Predictor, Sequence[Post], Progress], list[Answer]],
) -> Iterator[Answer]:
    """Apply a method of the predictor to posts as they arrive, group by group."""
    options, progress = options or Options(), progress or NoProgress()
    groups = as_available(require_posts(posts), MAX_GROUP)
    with CacheSession(options) as session:
        trained = find_run(run, Workspace(options.workspace).runs)
        # A mistake in the first posts is found before the model is loaded, which takes long.
        first = next(groups, [])
        predictor = _load_predictor(trained, session.store, options, min_confidence)
        logged = 0
        for group in chain([first], groups):
            yield from method(predictor, group, progress)
            for note in predictor.notes[logged:]:
                logger.info(note)
            logged = len(predictor.notes)


def predict_parts(  # noqa: PLR0913
    run: str | Path,
    posts: Iterable[Post],
    to: Path | str,
    options: Options | None = None,
    progress: Progress | None = None,
    min_confidence: float = 0.0,
    form: PartFormat = PartFormat.JSONL,
    failed: Callable[[str, str], None] | None = None,
) -> PredictionCounts:
    """Find the mentions in any number of posts, and write them to a folder of part files (JSON Lines or Parquet).

    Posts that already have predictions in the folder are skipped. `failed` is called with the id of each post whose
    contexts are incomplete, and the reason.

    Raises:
        MissingError: the run does not exist, or Ray does not respond.
        UsageError: the folder contains other files, or `min_confidence` is not a probability.
        StageError: a model or tool that the run's stages need is missing; written parts remain.
        CorruptCacheError: a part has changed since it was written.
    """
    options, progress = options or Options(), progress or NoProgress()
    if options.ray is not None:
        require_ray()
    with CacheSession(options) as session:
        trained = find_run(run, Workspace(options.workspace).runs)
        predictor = _load_predictor(trained, session.store, options, min_confidence)
        parts = PartFolder.open(Path(to), predictor.record.key, min_confidence, form)
        if options.ray is not None:
            session.upload_at_end(stage_keys(predictor.stages).values())
        with open_part_writer(predictor, parts, options.ray) as writer:
            return predict_into(writer, posts, progress, failed or (lambda *_: None))


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
        yield PartWriter(predictor, parts, posts_per_part)
        return
    with (
        open_engine(ray, predictor.limits) as engine,
        connect(ray) as nodes,
        RayPartWriter(predictor, parts, posts_per_part, engine, divide_cluster(ray, nodes)) as writer,
    ):
        yield writer


def _load_predictor(run: Run, store: Store, options: Options, min_confidence: float = 0.0) -> Predictor:
    with activity("loading the model"):
        return Predictor.of(run, store, options, min_confidence)


def load(  # noqa: PLR0913
    run: str | Path,
    workspace: Path = Path(),
    limits: Limits | None = None,
    min_confidence: float = 0.0,
    confirm: Callable[[str], bool] | None = None,
    consent: bool = False,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    runtime: RuntimeName = "auto",
) -> Predictor:
    """Load a trained tagger.

    `limits` are the resource limits for one picture, and `min_confidence` is the lowest probability of a mention.
    `changes` override the run's settings by stage, as far as they change no result. With `consent`, posts and
    pictures may be sent to other machines; without it, `confirm` is called with a question and returns whether the
    answer is yes. `runtime` computes the tagger: "onnx", "onnx-int8", "torch", or "auto".

    Raises:
        MissingError: the run does not exist.
        UsageError: `min_confidence` is not a probability.
        StageError: its model cannot be loaded.
    """
    folders = Workspace(workspace)
    trained = find_run(run, folders.runs)
    agreed = Consent(consent, confirm, changes or {})
    return Predictor(trained, folders.store, limits, min_confidence, agreed, changes, runtime)


def is_table(path: Path, text_column: str | None = None) -> bool:
    """Whether a file is a CSV, TSV or Parquet table, whose posts `posts_of_source` opens."""
    return path.is_file() and is_loadable(str(path), text_column)


def read_posts(path: Path, standard_input: BinaryIO, as_lines: bool = False) -> Iterator[Post]:
    """Read posts from a dataset's folder or a file in the format of its suffix, or with `as_lines` as JSON Lines.

    As JSON Lines, the path `-` is a pipe. Images are looked up beside the file, or in the current folder for one.
    A file of ordinary size is read at once, so that its errors are raised before a model is loaded.

    Raises:
        UserError: the file cannot be read or is malformed.
    """
    kind = classify(path)
    if not as_lines and (path.is_dir() or kind is TargetKind.DATASET_CARD):
        return iter(load_dataset(str(path), None, Path()).posts)
    if path.is_file() and kind in _WITHOUT_POSTS:
        what, hint = describe_file(path, kind)
        if kind is TargetKind.IMAGE:
            hint = f'ita predict RUN --text "…" --image {shlex.quote(str(path))}'
        raise UsageError(f"{path} is {what}, not a file of posts", hint)
    as_lines = as_lines or kind is TargetKind.POSTS_FILE
    posts = _open_posts(path, standard_input, as_lines)
    is_small = path.is_file() and path.stat().st_size <= MAX_BYTES_AT_ONCE
    return iter(list(posts)) if is_small else posts


def _open_posts(path: Path, standard_input: BinaryIO, as_lines: bool) -> Iterator[Post]:
    if not as_lines and find_format(path) != "jsonl":
        return (parsed.post for parsed in parse_posts(path))
    if str(path) == "-":
        return _parse_post_lines(standard_input, "standard input", Path())
    try:
        lines = open_regular(path) if path.is_file() else path.open("rb")  # a pipe is read as it comes
        return _parse_post_lines(lines, str(path), path.parent)
    except OSError as error:
        raise MissingError(f"{path} cannot be read: {error.strerror}", "give a file of posts, or -") from error


def _parse_post_lines(lines: BinaryIO, where: str, folder: Path) -> Iterator[Post]:
    try:
        with lines:
            for parsed in parse_lines(lines, where, folder, {}):
                yield parsed.post
    except OSError as error:
        raise MissingError(f"{where} cannot be read: {error.strerror}", "give a file of posts, or -") from error

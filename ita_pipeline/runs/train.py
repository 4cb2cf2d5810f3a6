"""One training run: its work folder, the training itself, and the finished run.

The work folder `runs/<dataset>/.<first 16 of the run key>/` holds checkpoints, the best weights so far and the log.
The name contains the key, so a training only resumes one with the same inputs. When the run is finished it is
renamed to its final folder, and the work folder is removed. One process at a time uses a work folder.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.progress import activity
from ita_pipeline.core.trust import without_personal
from ita_pipeline.corpus.tokenizer import TOKENIZATION
from ita_pipeline.grounding.config import GroundingConfig
from ita_pipeline.grounding.files import save_grounder
from ita_pipeline.ner.config import RuntimeName
from ita_pipeline.ner.encoders import load_encoder, max_row_length
from ita_pipeline.ner.metrics.errors import surface_forms
from ita_pipeline.ner.metrics.scores import EpochScore, best_epoch
from ita_pipeline.ner.prediction import predict_views
from ita_pipeline.ner.runtimes import GraphRecord, TorchRuntime
from ita_pipeline.ner.subtokens import SubTokenizer
from ita_pipeline.ner.training.checkpoints import Workdir, convert_save_errors
from ita_pipeline.ner.training.distributed import World
from ita_pipeline.ner.training.loggers import TENSORBOARD
from ita_pipeline.ner.views import EncodedPost, ViewEncoder, encode_posts
from ita_pipeline.ner.word_shapes import is_uncased
from ita_pipeline.runs.grounding import (
    RunGrounding,
    SplitGrounding,
    ground_split,
    train_grounder,
    write_grounding,
)
from ita_pipeline.runs.plan import RunInputs
from ita_pipeline.runs.results import write_split
from ita_pipeline.runs.run import (
    Run,
    RunAnalysis,
    RunRecord,
    RunScores,
    ViewAnalysis,
    ViewScores,
    run_at,
)
from stages.base import StageError
from stages.models.loading import load_weights

if TYPE_CHECKING:
    from ita_pipeline.ner.tagger import Tagger

logger = logging.getLogger(__name__)


def train_if_new(inputs: RunInputs, runs: Path) -> tuple[Run, bool]:
    """Return the run of these inputs and whether it had to be trained.

    A training that was killed resumes from its last checkpoint. If a launcher started several processes, they train
    together, and the first of them writes the run.

    Raises:
        UsageError: the run's folder exists but contains no complete run.
    """
    world, options = World.connect(), inputs.plan.options
    run = run_at(runs, inputs.plan.dataset.name, inputs.key)
    if world.broadcast(run.is_complete):
        return run, False
    # The first process writes to the work folder; the others only read there.
    with exclusive_workdir(run) if world.is_main else nullcontext(workdir_path(run)) as folder:
        # Another process may have finished the run while this one waited.
        if world.broadcast(run.is_complete):
            return run, False
        workdir = Workdir(folder, options.checkpoint_every, options.report_to)
        new_run = Run(folder / "run")
        if world.is_main:
            shutil.rmtree(new_run.folder, ignore_errors=True)
            new_run.folder.mkdir()
        trained = _train_tagger(inputs, workdir)
        if world.is_main:
            _write_run(new_run, inputs, workdir, trained)
            if (folder / TENSORBOARD).is_dir():
                (folder / TENSORBOARD).rename(new_run.folder / TENSORBOARD)
            new_run.folder.rename(run.folder)
    world.barrier()
    return run, True


@contextmanager
def exclusive_workdir(run: Run) -> Iterator[Path]:
    """Lock a run's work folder for this process; it remains unless the run is finished in the meantime.

    Waits while another process has the lock.

    Raises:
        UsageError: the run's final folder exists but contains no complete run.
    """
    if run.folder.exists() and not run.is_complete:
        raise UsageError(f"{run.folder} exists, but contains no finished run", "move it elsewhere")
    folder = workdir_path(run)
    with _locked(folder / "lock"):
        for other in unfinished_runs(run.folder.parent):
            if other != folder and not _is_in_use(other / "lock"):
                logger.info(f"{other} is unfinished and of other inputs; remove it if it is not wanted")
        yield folder
        if run.is_complete:
            shutil.rmtree(folder, ignore_errors=True)


def unfinished_runs(folder: Path) -> list[Path]:
    """Return the work folders of a dataset that have checkpoints."""
    return [checkpoints.parent for checkpoints in sorted(folder.glob(".*/checkpoints"))]


def workdir_path(run: Run) -> Path:
    """Return the path of a run's work folder."""
    return run.folder.parent / f".{run.folder.name}"


def _is_in_use(lock_file: Path) -> bool:
    """Whether another process holds this lock."""
    try:
        with FileLock(lock_file, blocking=False, fallback_to_soft=False):
            return False
    except Timeout:
        return True
    except OSError:
        return False


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that the system releases when the process ends, even if it is killed."""
    # A soft lock would outlive a process that is killed on another machine.
    lock = FileLock(path, fallback_to_soft=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        logger.info("another process is training this very run; waiting for it")
        while not lock.is_locked:
            # The folder is gone when the other process has finished the run.
            path.parent.mkdir(exist_ok=True)
            with suppress(FileNotFoundError):
                lock.acquire()
    except OSError:
        logger.info("this file system knows no locks: see to it that no other process trains the same run")
    try:
        yield
    finally:
        lock.release()


@dataclass(frozen=True, slots=True)
class TrainedTagger:
    """The results of a training in memory; the best weights are in the work folder."""

    tokenizer: Any
    pad: int
    examples: Mapping[str, Sequence[EncodedPost]]
    history: Sequence[EpochScore]
    device: str
    trimmed: int
    vanished: int


def _train_tagger(inputs: RunInputs, workdir: Workdir) -> TrainedTagger:
    from transformers import set_seed
    from transformers.utils import logging as transformers_logging

    from ita_pipeline.ner.tagger import new_tagger
    from ita_pipeline.ner.training.loop import train

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    training = inputs.plan.settings
    # The new layers are drawn at random.
    set_seed(training.seed)
    with activity("loading the encoder"):
        encoder, tokenizer = load_encoder(inputs.plan.encoder)
    max_length = min(training.max_length, max_row_length(encoder, tokenizer))
    word_shapes = is_uncased(tokenizer) if training.word_shapes is None else training.word_shapes
    tagger = new_tagger(encoder, inputs.types, training.word_dropout, max_length, training.objective, word_shapes)
    layout = ViewEncoder(SubTokenizer.of(tokenizer), max_length, word_shapes)
    examples = {name: encode_posts(posts, layout) for name, posts in inputs.splits.items()}
    trimmed, vanished = _count_losses(examples, layout.max_length)
    history = train(tagger, examples["train"], examples["dev"], training, layout.pad, workdir)
    return TrainedTagger(tokenizer, layout.pad, examples, history, str(tagger.device), trimmed, vanished)


def _write_run(run: Run, inputs: RunInputs, workdir: Workdir, trained: TrainedTagger) -> None:
    """Score the weights of the best epoch and write all files of the run."""
    from ita_pipeline.ner.tagger import Tagger

    plan, tokenizer, examples = inputs.plan, trained.tokenizer, trained.examples
    best = best_epoch(trained.history) + 1
    tagger = load_weights(Tagger, str(workdir.model(best)), "", trained.device)
    with convert_save_errors():
        tagger.save_pretrained(run.model)
    tokenizer.save_pretrained(run.model)
    shutil.copyfile(workdir.log, run.log)
    known = surface_forms(plan.dataset.splits["train"])
    with activity("training the grounder"):
        grounder = train_grounder(plan.dataset.splits["train"], inputs.evidence)
    scores: dict[str, ViewScores] = {}
    analyses: dict[str, ViewAnalysis] = {}
    grounding: dict[str, SplitGrounding] = {}
    for split in ("dev", "test"):
        with activity(f"scoring the {split} posts"):
            predictions = predict_views(TorchRuntime(tagger), examples[split], trained.pad)
            posts = [example.post for example in examples[split]]
            grounded, measured = ground_split(grounder, posts, predictions, inputs.evidence)
            if measured is not None:
                grounding[split] = measured
            scores[split], analyses[split] = write_split(run, split, examples[split], predictions, known, grounded)
    if grounder is not None:
        save_grounder(grounder, run.folder)
        write_grounding(run, RunGrounding(splits=grounding))
    record = RunRecord(
        key=inputs.key,
        components=inputs.components,
        dataset=plan.dataset.name,
        source=plan.dataset.source,
        folder=str(plan.dataset.folder).encode("utf-8", "backslashreplace").decode(),
        command=plan.options.command,
        preset=plan.preset.name,
        stages=without_personal(plan.preset.stages),
        stage_keys={name: key.hexdigest for name, key in inputs.contexts.keys.items()},
        contexts=inputs.contexts.config,
        captions=plan.contexts.captions,
        encoder=plan.encoder.name,
        encoder_identity=plan.encoder.identity,
        training=plan.settings,
        grounding=GroundingConfig() if plan.search is None else plan.search.config,
        types=inputs.types,
        posts={name: len(posts) for name, posts in plan.dataset.splits.items()},
        with_context=sum(example.context is not None for split in examples.values() for example in split),
        trimmed_subtokens=trained.trimmed,
        vanished_words=trained.vanished,
        word_shapes=tagger.config.word_shapes,
        best_epoch=best,
        processes=World.connect().size,
        tokenization=TOKENIZATION,
        graphs=_write_graphs(tagger, run),
    )
    run.write(record, trained.history, RunAnalysis(splits=analyses))
    run.finish(RunScores(splits=scores))


def _write_graphs(tagger: Tagger, run: Run) -> dict[RuntimeName, GraphRecord]:
    """Write the ONNX graph of a tagger beside its weights; if its encoder allows none, say so and do without."""
    from ita_pipeline.ner.graphs import write_graph

    try:
        with activity("writing the ONNX graph"):
            return {"onnx": write_graph(tagger.cpu(), run.model)}
    except StageError as error:
        logger.info(f"{error}; predictions will use torch")
        return {}


def _count_losses(examples: Mapping[str, Sequence[EncodedPost]], max_length: int) -> tuple[int, int]:
    """Count and report trimmed sub-tokens of contexts, and words that the tokenizer reduces to nothing."""
    views = [example for split in examples.values() for example in split]
    trimmed = sum(example.context.trimmed for example in views if example.context)
    vanished = sum(example.text.num_vanished for example in views)
    if trimmed:
        room = f"the room that a post leaves of {max_length} sub-tokens, at least half"
        logger.info(
            f"{trimmed} sub-tokens of contexts were cut, as contexts have {room}; no word of a post was cut"
        )
    if vanished:
        logger.info(f"{vanished} words vanish in tokenisation and are read as a zero vector")
    return trimmed, vanished

"""One training run: its inputs and, if they are new, the training itself."""

from __future__ import annotations

import functools
import logging
import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ita_pipeline.cache.keys import digest
from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.datasets import Dataset
from ita_pipeline.extraction.contexts import PostContexts
from ita_pipeline.extraction.presets import Preset
from ita_pipeline.ner.config import TrainingConfig
from ita_pipeline.ner.encoders import EncoderRef, load_encoder, max_row_length
from ita_pipeline.ner.metrics.errors import surface_forms
from ita_pipeline.ner.prediction import predict_views
from ita_pipeline.ner.training.checkpoints import convert_save_errors
from ita_pipeline.ner.training.distributed import World
from ita_pipeline.ner.training.history import EpochScore, best_epoch
from ita_pipeline.ner.training.loggers import TENSORBOARD
from ita_pipeline.ner.training.loop import train
from ita_pipeline.ner.training.workdir import Workdir
from ita_pipeline.ner.views import EncodedPost, ViewEncoder, encode_posts
from ita_pipeline.ner.word_shapes import is_uncased
from ita_pipeline.runs.results import write_split
from ita_pipeline.runs.run import RenderedPosts, Run, RunAnalysis, RunRecord, RunScores, run_at, run_components
from ita_pipeline.runs.workdir import exclusive_workdir, workdir_path
from stages.models.loading import load_weights

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunInputs:
    """Everything that determines a run, and so its key."""

    dataset: Dataset
    preset: Preset
    contexts: PostContexts
    training: TrainingConfig
    encoder: EncoderRef
    captions: str
    command: str

    @functools.cached_property
    def splits(self) -> Mapping[str, RenderedPosts]:
        """The posts of each split with their contexts, each rendered once."""
        return {
            name: [(post, self.contexts.render(post)) for post in posts]
            for name, posts in self.dataset.splits.items()
        }

    @functools.cached_property
    def types(self) -> tuple[str, ...]:
        """The entity types of the gold mentions."""
        return tuple(sorted({span.type for post in self.dataset.posts for span in post.gold or ()}))

    @functools.cached_property
    def components(self) -> dict[str, Any]:
        """The parts of the key, in clear."""
        return run_components(self.splits, self.training, self.encoder.identity, self.types)

    @property
    def key(self) -> str:
        """The run key."""
        return digest(self.components)


def check_trainable(dataset: Dataset) -> None:
    """Raise `UsageError` if a split is empty or one of its posts has no labels."""
    for name in ("train", "dev", "test"):
        hint = "give each post its mentions, an empty list where there are none"
        if not dataset.require_labels(name, hint):
            raise UsageError(f"dataset {dataset.name} has no {name} posts", "training needs train, dev and test")
    if not any(span for post in dataset.splits["train"] for span in post.gold or ()):
        raise UsageError(
            f"dataset {dataset.name} has no mention to learn from in train", f"ita data check {dataset.name}"
        )


def train_if_new(
    inputs: RunInputs, runs: Path, checkpoint_every: int = 0, report_to: tuple[str, ...] = ()
) -> tuple[Run, bool]:
    """Return the run of these inputs and whether it had to be trained.

    A training that was killed resumes from its last checkpoint. Checkpoints are made at the end of each epoch and,
    with `checkpoint_every`, after every so many updates. `report_to` names loggers, see `ner.training.loggers`.

    If a launcher started several processes, they train together, and the first of them writes the run.

    Raises:
        UsageError: the run's folder exists but contains no complete run.
    """
    world = World.connect()
    run = run_at(runs, inputs.dataset.name, inputs.key)
    if world.broadcast(run.is_complete):
        return run, False
    # The first process writes to the work folder; the others only read there.
    with exclusive_workdir(run) if world.is_main else nullcontext(workdir_path(run)) as folder:
        # Another process may have finished the run while this one waited.
        if world.broadcast(run.is_complete):
            return run, False
        workdir = Workdir(folder, checkpoint_every, report_to)
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


@dataclass(frozen=True, slots=True)
class TrainedTagger:
    """The results of a training in memory; the best weights are in the work folder."""

    tokenizer: Any
    examples: Mapping[str, Sequence[EncodedPost]]
    history: Sequence[EpochScore]
    device: str
    trimmed: int
    vanished: int
    word_shapes: bool


def _train_tagger(inputs: RunInputs, workdir: Workdir) -> TrainedTagger:
    from transformers import set_seed
    from transformers.utils import logging as transformers_logging

    from ita_pipeline.ner.tagger import new_tagger

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    # The new layers are drawn at random.
    set_seed(inputs.training.seed)
    training = inputs.training
    encoder, tokenizer = load_encoder(inputs.encoder)
    max_length = min(training.max_length, max_row_length(encoder, tokenizer))
    word_shapes = is_uncased(tokenizer) if training.word_shapes is None else training.word_shapes
    tagger = new_tagger(encoder, inputs.types, training.word_dropout, max_length, training.objective, word_shapes)
    layout = ViewEncoder(tokenizer, max_length, word_shapes)
    examples = {name: encode_posts(posts, layout) for name, posts in inputs.splits.items()}
    trimmed, vanished = _count_losses(examples)
    pad = tokenizer.pad_token_id
    history = train(tagger, examples["train"], examples["dev"], training, pad, workdir)
    return TrainedTagger(tokenizer, examples, history, str(tagger.device), trimmed, vanished, word_shapes)


def _write_run(run: Run, inputs: RunInputs, workdir: Workdir, trained: TrainedTagger) -> None:
    """Score the weights of the best epoch and write all files of the run."""
    from ita_pipeline.ner.tagger import Tagger

    tokenizer, examples, dataset = trained.tokenizer, trained.examples, inputs.dataset
    best = best_epoch(trained.history) + 1
    tagger = load_weights(Tagger, str(workdir.model(best)), "", trained.device)
    with convert_save_errors():
        tagger.save_pretrained(run.model)
    tokenizer.save_pretrained(run.model)
    shutil.copyfile(workdir.log, run.log)
    known = surface_forms(dataset.splits["train"])
    results = {
        split: write_split(
            run, split, examples[split], predict_views(tagger, examples[split], tokenizer.pad_token_id), known
        )
        for split in ("dev", "test")
    }
    record = RunRecord(
        key=inputs.key,
        components=inputs.components,
        dataset=dataset.name,
        source=dataset.source,
        folder=str(dataset.folder).encode("utf-8", "backslashreplace").decode(),
        command=inputs.command,
        preset=inputs.preset.name,
        stages=without_consent(inputs.preset.stages),
        stage_keys={name: key.hexdigest for name, key in inputs.contexts.keys.items()},
        contexts=inputs.contexts.config,
        captions=inputs.captions,
        encoder=inputs.encoder.name,
        encoder_identity=inputs.encoder.identity,
        training=inputs.training,
        types=inputs.types,
        posts={name: len(posts) for name, posts in dataset.splits.items()},
        with_context=sum(example.context is not None for split in examples.values() for example in split),
        trimmed_subtokens=trained.trimmed,
        vanished_words=trained.vanished,
        word_shapes=trained.word_shapes,
        best_epoch=best,
        processes=World.connect().size,
    )
    analysis = RunAnalysis(splits={name: result.analysis for name, result in results.items()})
    run.write(record, trained.history, analysis)
    run.finish(RunScores(splits={name: result.scores for name, result in results.items()}))


def without_consent(stages: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Remove the consent to send posts from stage settings: everyone who predicts with the run decides again."""
    return {
        stage: {name: value for name, value in settings.items() if name != "consent"}
        for stage, settings in stages.items()
    }


def _count_losses(examples: Mapping[str, Sequence[EncodedPost]]) -> tuple[int, int]:
    """Count and report trimmed sub-tokens of contexts, and words that the tokenizer reduces to nothing."""
    views = [example for split in examples.values() for example in split]
    trimmed = sum(example.context.trimmed for example in views if example.context)
    vanished = sum(example.text.num_vanished for example in views)
    if trimmed:
        logger.info(f"{trimmed} sub-tokens of contexts found no room and were cut; no word of a post was")
    if vanished:
        logger.info(f"{vanished} words vanish in tokenisation and are read as a zero vector")
    return trimmed, vanished

"""One training run: what it depends on, and if that is new, the run itself."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.datasets import Dataset
from ita_pipeline.corpus.posts import Post
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
from ita_pipeline.ner.training.loop import Hearers, Workdir, train
from ita_pipeline.ner.views import EncodedPost, ViewEncoder, encode_posts
from ita_pipeline.ner.word_shapes import is_uncased
from ita_pipeline.runs.results import write_split
from ita_pipeline.runs.run import Run, RunAnalysis, RunRecord, RunScores, run_at, run_components, run_key
from ita_pipeline.runs.workdir import making, unfinished
from stages.models.loading import load_weights

Split = Sequence[tuple[Post, tuple[str, ...]]]


class Talker(Protocol):
    def say(self, line: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """Everything that decides a run, and so its key."""

    dataset: Dataset
    preset: Preset
    contexts: PostContexts
    training: TrainingConfig
    encoder: EncoderRef
    captions: str
    command: str

    @property
    def splits(self) -> Mapping[str, Split]:
        return {
            name: [(post, self.contexts.of(post)) for post in posts] for name, posts in self.dataset.splits.items()
        }

    @property
    def components(self) -> dict[str, Any]:
        return run_components(self.splits, self.training, self.encoder.identity, self.types)

    @property
    def types(self) -> tuple[str, ...]:
        return tuple(sorted({span.type for post in self.dataset.posts for span in post.gold or ()}))


def check_trainable(dataset: Dataset) -> None:
    """Raises `UsageError` where a split is empty or a post of it is not labelled."""
    for name in ("train", "dev", "test"):
        posts = dataset.splits.get(name, ())
        if not posts:
            raise UsageError(f"dataset {dataset.name} has no {name} posts", "training needs train, dev and test")
        bare = next((post.id for post in posts if post.gold is None), None)
        if bare is not None:
            hint = "give each post its mentions, an empty list where there are none"
            raise UsageError(f"dataset {dataset.name}: post {bare} of {name} is not labelled", hint)
    if not any(span for post in dataset.splits["train"] for span in post.gold or ()):
        raise UsageError(
            f"dataset {dataset.name} has no mention to learn from in train", f"ita data check {dataset.name}"
        )


def train_if_new(
    wanted: Wanted, runs: Path, talker: Talker, checkpoint_every: int = 0, report_to: tuple[str, ...] = ()
) -> tuple[Run, bool]:
    """The run of these inputs, and whether it had to be trained.

    A training that was killed is taken up at its last checkpoint. Checkpoints are made at the end of each epoch,
    and also after each so many updates where `checkpoint_every` says so. `report_to` names reporters, see
    `ner.reporting`.

    Where a launcher started several processes, they train together, and the first of them makes the run.

    Raises:
        UsageError: something lies where the run shall be.
    """
    processes = World.connect()
    components = wanted.components
    key = run_key(components)
    run = run_at(runs, wanted.dataset.name, key)
    if processes.broadcast(run.complete):
        return run, False
    # What is in the making is the first process's; the others only read there.
    with making(run, talker.say) if processes.is_main else nullcontext(unfinished(run)) as desk:
        # Another process may have finished it while this one waited.
        if processes.broadcast(run.complete):
            return run, False
        own = Run(desk / "run")
        if processes.is_main:
            shutil.rmtree(own.folder, ignore_errors=True)
            own.folder.mkdir()
        trained = train_tagger(wanted, Workdir(desk, checkpoint_every, report_to), talker)
        if processes.is_main:
            write_run(own, key, components, wanted, Workdir(desk), trained)
            if (desk / TENSORBOARD).is_dir():
                (desk / TENSORBOARD).rename(own.folder / TENSORBOARD)
            own.folder.rename(run.folder)
    processes.barrier()
    return run, True


@dataclass(frozen=True, slots=True)
class TrainedTagger:
    """What a training leaves in memory; its best weights lie on the desk."""

    tokenizer: Any
    examples: Mapping[str, Sequence[EncodedPost]]
    history: Sequence[EpochScore]
    device: str
    trimmed: int
    vanished: int
    word_shapes: bool


def train_tagger(wanted: Wanted, desk: Workdir, talker: Talker) -> TrainedTagger:
    from ita_pipeline.ner.tagger import new_tagger

    splits, types = wanted.splits, wanted.types
    prepare(wanted.training.seed)
    encoder, tokenizer = load_encoder(wanted.encoder)
    training = wanted.training
    max_length = min(training.max_length, max_row_length(encoder, tokenizer))
    word_shapes = is_uncased(tokenizer) if training.word_shapes is None else training.word_shapes
    tagger = new_tagger(encoder, types, training.word_dropout, max_length, training.objective, word_shapes)
    layout = ViewEncoder(tokenizer, max_length, word_shapes)
    examples = {name: encode_posts(posts, layout) for name, posts in splits.items()}
    trimmed, vanished = count_losses(examples, talker)

    def tell(epoch: EpochScore) -> None:
        talker.say(
            f"epoch {epoch.epoch} of {training.epochs}: loss {epoch.loss:.2f}, "
            f"dev F1 T {100 * epoch.text_f1:.2f}, I+T {100 * epoch.context_f1:.2f}"
        )

    hearers, pad = Hearers(talker.say, tell), tokenizer.pad_token_id
    history = train(tagger, examples["train"], examples["dev"], training, pad, desk, hearers)
    return TrainedTagger(tokenizer, examples, history, str(tagger.device), trimmed, vanished, word_shapes)


def write_run(
    run: Run, key: str, components: Mapping[str, Any], wanted: Wanted, desk: Workdir, trained: TrainedTagger
) -> None:
    """Score the best epoch's weights, and write all that belongs to a run."""
    from ita_pipeline.ner.tagger import Tagger

    tokenizer, examples, history = trained.tokenizer, trained.examples, trained.history
    splits, types, pad = wanted.splits, wanted.types, tokenizer.pad_token_id
    best = best_epoch(history)
    with_context = sum(example.context is not None for found in examples.values() for example in found)
    tagger = load_weights(Tagger.from_pretrained, str(desk.model(best + 1)), "", trained.device)
    with convert_save_errors():
        tagger.save_pretrained(run.model)
    tokenizer.save_pretrained(run.model)
    shutil.copyfile(desk.log, run.log)
    known = surface_forms(post for post, _ in splits["train"])
    results = {
        split: write_split(run, split, examples[split], predict_views(tagger, examples[split], pad), known)
        for split in ("dev", "test")
    }
    record = RunRecord(
        key=key,
        components=components,
        dataset=wanted.dataset.name,
        source=wanted.dataset.source,
        folder=str(wanted.dataset.folder).encode("utf-8", "backslashreplace").decode(),
        command=wanted.command,
        preset=wanted.preset.name,
        stages=without_consent(wanted.preset.stages),
        stage_keys={name: found.hexdigest for name, found in wanted.contexts.keys.items()},
        contexts=wanted.contexts.config,
        captions=wanted.captions,
        encoder=wanted.encoder.name,
        encoder_identity=wanted.encoder.identity,
        training=wanted.training,
        types=types,
        posts={name: len(posts) for name, posts in splits.items()},
        with_context=with_context,
        trimmed_subtokens=trained.trimmed,
        vanished_words=trained.vanished,
        word_shapes=trained.word_shapes,
        best_epoch=best + 1,
        processes=World.connect().size,
    )
    run.write(record, history, RunAnalysis(splits={name: found.analysis for name, found in results.items()}))
    run.finish(RunScores(splits={name: found.scores for name, found in results.items()}))


def without_consent(stages: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Settings for whoever predicts with the run: to send posts anywhere is for that person to allow."""
    return {
        stage: {name: value for name, value in settings.items() if name != "consent"}
        for stage, settings in stages.items()
    }


def prepare(seed: int) -> None:
    """Quiet libraries, and a seed before the new layers are drawn."""
    from transformers import set_seed
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    set_seed(seed)


def count_losses(examples: Mapping[str, Sequence[EncodedPost]], talker: Talker) -> tuple[int, int]:
    """Sub-tokens of contexts that found no room, and words that tokenisation left nothing of; both are told."""
    every = [example for found in examples.values() for example in found]
    trimmed = sum(example.context.trimmed for example in every if example.context)
    vanished = sum(example.text.num_vanished for example in every)
    if trimmed:
        talker.say(f"{trimmed} sub-tokens of contexts found no room and were cut; no word of a post was")
    if vanished:
        talker.say(f"{vanished} words vanish in tokenisation and are read as a zero vector")
    return trimmed, vanished

"""One training run: what it depends on, and if that is new, the run itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ita_pipeline.corpus.datasets import Dataset
from ita_pipeline.corpus.posts import Post
from ita_pipeline.errors import UsageError
from ita_pipeline.making import making
from ita_pipeline.ner.analysis import surfaces
from ita_pipeline.ner.checkpoints import disk_errors
from ita_pipeline.ner.encoders import EncoderRef, load_encoder, longest_row
from ita_pipeline.ner.encoding import ViewEncoder
from ita_pipeline.ner.examples import Example, evaluate, lay_out
from ita_pipeline.ner.history import EpochScore, best_epoch
from ita_pipeline.ner.training import Desk, Hearers, TrainingConfig, train
from ita_pipeline.picture_contexts import PictureContexts
from ita_pipeline.presets import Preset
from ita_pipeline.run_results import write_split
from ita_pipeline.runs import Run, RunAnalysis, RunRecord, RunScores, run_at, run_components, run_key
from stages import hub

Split = Sequence[tuple[Post, tuple[str, ...]]]


class Talker(Protocol):
    def say(self, line: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """Everything that decides a run, and so its key."""

    dataset: Dataset
    preset: Preset
    contexts: PictureContexts
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
        raise UsageError(f"dataset {dataset.name} has no mention to learn from in train")


def train_if_new(wanted: Wanted, runs: Path, talker: Talker, checkpoint_every: int = 0) -> tuple[Run, bool]:
    """The run of these inputs, and whether it had to be trained.

    A training that was killed is taken up at its last checkpoint. Checkpoints are made at the end of each epoch,
    and also after each so many updates where `checkpoint_every` says so.

    Raises:
        UsageError: a launcher started several processes, or something lies where the run shall be.
    """
    check_alone()
    components = wanted.components
    key = run_key(components)
    run = run_at(runs, wanted.dataset.name, key)
    if run.complete:
        return run, False
    with making(run, talker.say) as desk:
        # Another process may have finished it while this one waited.
        if run.complete:
            return run, False
        own = Run(desk / "run")
        shutil.rmtree(own.folder, ignore_errors=True)
        own.folder.mkdir()
        train_run(own, key, components, wanted, Desk(desk, checkpoint_every), talker)
        own.folder.rename(run.folder)
    return run, True


def check_alone() -> None:
    """Raises `UsageError` in one of several processes of a launcher: each would train the whole run."""
    processes = os.environ.get("WORLD_SIZE", "1")
    if processes not in ("", "1"):
        raise UsageError(f"training runs in one process, not in {processes}", "start ita without a launcher")


def train_run(
    run: Run, key: str, components: Mapping[str, Any], wanted: Wanted, desk: Desk, talker: Talker
) -> None:
    from ita_pipeline.ner.tagger import Tagger, new_tagger

    splits, types = wanted.splits, wanted.types
    prepare(wanted.training.seed)
    encoder, tokenizer = load_encoder(wanted.encoder)
    training = wanted.training
    max_length = min(training.max_length, longest_row(encoder, tokenizer))
    tagger = new_tagger(encoder, types, training.word_dropout, max_length, training.objective)
    layout = ViewEncoder(tokenizer, max_length)
    examples = {name: lay_out(posts, layout) for name, posts in splits.items()}
    trimmed, vanished = count_losses(examples, talker)
    with_context = sum(example.context is not None for found in examples.values() for example in found)
    pad = tokenizer.pad_token_id

    def tell(epoch: EpochScore) -> None:
        talker.say(
            f"epoch {epoch.epoch} of {training.epochs}: loss {epoch.loss:.2f}, "
            f"dev F1 T {100 * epoch.text_f1:.2f}, I+T {100 * epoch.context_f1:.2f}"
        )

    history = train(tagger, examples["train"], examples["dev"], training, pad, desk, Hearers(talker.say, tell))
    best = best_epoch(history)
    tagger = hub.load_weights(Tagger.from_pretrained, str(desk.model(best + 1)), "", str(tagger.device))
    with disk_errors():
        tagger.save_pretrained(run.model)
    tokenizer.save_pretrained(run.model)
    shutil.copyfile(desk.log, run.log)
    known = surfaces(post for post, _ in splits["train"])
    results = {
        split: write_split(run, split, examples[split], evaluate(tagger, examples[split], pad), known)
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
        training=training,
        types=types,
        posts={name: len(posts) for name, posts in splits.items()},
        with_context=with_context,
        trimmed_subtokens=trimmed,
        vanished_words=vanished,
        best_epoch=best + 1,
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


def count_losses(examples: Mapping[str, Sequence[Example]], talker: Talker) -> tuple[int, int]:
    """Sub-tokens of contexts that found no room, and words that tokenisation left nothing of; both are told."""
    every = [example for found in examples.values() for example in found]
    trimmed = sum(example.context.trimmed for example in every if example.context)
    vanished = sum(example.text.vanished for example in every)
    if trimmed:
        talker.say(f"{trimmed} sub-tokens of contexts found no room and were cut; no word of a post was")
    if vanished:
        talker.say(f"{vanished} words vanish in tokenisation and are read as a zero vector")
    return trimmed, vanished

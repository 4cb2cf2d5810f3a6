"""One training run: what it depends on, and if that is new, the run itself."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ita_pipeline.cache.segments import host_name
from ita_pipeline.corpus.conll import write_conll
from ita_pipeline.corpus.datasets import Dataset
from ita_pipeline.corpus.posts import Post
from ita_pipeline.errors import UsageError
from ita_pipeline.ner.encoders import EncoderRef, load_encoder, longest_row
from ita_pipeline.ner.encoding import ViewEncoder
from ita_pipeline.ner.training import (
    EpochScore,
    Example,
    TrainingConfig,
    best_epoch,
    both_scores,
    evaluate,
    lay_out,
    train,
)
from ita_pipeline.picture_contexts import PictureContexts
from ita_pipeline.predictor import Prediction, as_mention
from ita_pipeline.presets import Preset
from ita_pipeline.runs import (
    TEXT,
    TEXT_AND_IMAGE,
    Run,
    RunRecord,
    RunScores,
    ViewScores,
    run_at,
    run_components,
    run_key,
)
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


def train_if_new(wanted: Wanted, runs: Path, talker: Talker) -> tuple[Run, bool]:
    """The run of these inputs, and whether it had to be trained."""
    components = wanted.components
    key = run_key(components)
    run = run_at(runs, wanted.dataset.name, key)
    if run.complete:
        return run, False
    run.folder.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(run.folder.parent)
    # Trained in a folder of its own and renamed when complete: no other process can be in the way.
    with tempfile.TemporaryDirectory(prefix=leftover_name(key), dir=run.folder.parent) as name:
        own = Run(Path(name) / "run")
        own.folder.mkdir()
        train_run(own, key, components, wanted, talker)
        try:
            own.folder.rename(run.folder)
        except OSError:
            if not run.complete:
                raise
            talker.say("another process has finished the same run meanwhile")
    return run, True


def leftover_name(key: str) -> str:
    return f".{key[:8]}-{host_name()}-{os.getpid()}-"


def remove_leftovers(folder: Path) -> None:
    """Remove what processes of this machine left that were killed while they trained."""
    for path in folder.glob(f".*-{host_name()}-*-*"):
        number = path.name.split("-")[2]
        if number.isdigit() and not alive(int(number)):
            shutil.rmtree(path, ignore_errors=True)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def train_run(run: Run, key: str, components: Mapping[str, Any], wanted: Wanted, talker: Talker) -> None:
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

    history = train(tagger, examples["train"], examples["dev"], training, pad, run.model, tell)
    tokenizer.save_pretrained(run.model)
    best = best_epoch(history)
    tagger = hub.load_weights(Tagger.from_pretrained, str(run.model), "", str(tagger.device))
    scores = {}
    for split in ("dev", "test"):
        outcome = evaluate(tagger, examples[split], pad)
        text, both = both_scores(examples[split], outcome)
        scores[split] = ViewScores(text=text, text_and_image=both)
        write_predictions(run, split, examples[split], {TEXT: outcome.text, TEXT_AND_IMAGE: outcome.context})
    record = RunRecord(
        key=key,
        components=components,
        dataset=wanted.dataset.name,
        source=wanted.dataset.source,
        folder=str(wanted.dataset.folder).encode("utf-8", "backslashreplace").decode(),
        command=wanted.command,
        preset=wanted.preset.name,
        stages=wanted.preset.stages,
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
    run.write(record, history)
    run.finish(RunScores(splits=scores))


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


def write_predictions(
    run: Run, split: str, examples: Sequence[Example], views: Mapping[str, Sequence[Sequence[Any]]]
) -> None:
    for view, found in views.items():
        file = run.predictions(split, view)
        file.parent.mkdir(exist_ok=True)
        pairs = [
            (example.post, [mention.span for mention in mentions])
            for example, mentions in zip(examples, found, strict=True)
        ]
        file.write_text(write_conll(pairs), "utf-8")
        lines = [
            Prediction(
                post=example.post,
                view=view if example.context is not None else TEXT,
                contexts=(),
                mentions=tuple(as_mention(example.post, mention) for mention in mentions),
            ).to_json()
            for example, mentions in zip(examples, found, strict=True)
            if example.post.words
        ]
        run.mentions(split, view).write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")

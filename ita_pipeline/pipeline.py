"""What chains what: each function here is a command of `ita`, and its Python twin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from ita_pipeline.corpus.contexts import CONTEXTS, ContextConfig
from ita_pipeline.corpus.datasets import Dataset, DatasetCard, load_dataset
from ita_pipeline.corpus.posts import Post
from ita_pipeline.engines.local import Progress, Silent
from ita_pipeline.errors import MissingError, UsageError, nearest
from ita_pipeline.extraction import Extraction, extract_pictures, pictures_in
from ita_pipeline.groups import gathered
from ita_pipeline.ner.encoders import find_encoder
from ita_pipeline.ner.training import TrainingConfig
from ita_pipeline.picture_contexts import PictureContexts, look_at_pictures
from ita_pipeline.predictor import Prediction, Predictor
from ita_pipeline.presets import AUTO, Choice, Preset, build_stages, choose, with_changes
from ita_pipeline.report.page import write_report
from ita_pipeline.runs import Run, find_run
from ita_pipeline.settings import (
    checked,
    configured,
    find_config,
    merged,
    parse_assignments,
    read_yaml,
)
from ita_pipeline.training_run import Wanted, check_trainable, train_if_new
from ita_pipeline.workspace import Workspace

GROUP = 64


class Listener(Progress, Protocol):
    """Who is told what happens: progress of the stages, and now and then a line."""

    def say(self, line: str) -> None: ...


class Mute(Silent):
    """Listens and tells nobody."""

    def say(self, line: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Options:
    """What every command that runs stages understands."""

    preset: str = AUTO
    stages: tuple[str, ...] = ()
    assignments: tuple[str, ...] = ()
    workspace: Path = Path()
    retry_failed: bool = False


def chosen(options: Options, also: Sequence[str] = ()) -> Choice:
    """The preset with `--set` applied; `also` names sections that somebody else will read.

    Raises:
        UsageError: `--set` names a stage that the preset has not.
    """
    choice = choose(options.preset)
    changes = parse_assignments(options.assignments)
    known = [*choice.preset.stages, "contexts", *also]
    for section in changes:
        if section not in known:
            hint = nearest(section, known) or f"known are {', '.join(known)}"
            raise UsageError(f"--set names {section}, which is no stage of preset {choice.preset.name}", hint)
    return replace(choice, preset=with_changes(choice.preset, changes))


def extract(folder: Path | str, options: Options | None = None, listener: Listener | None = None) -> Extraction:
    """Turn the pictures below a folder into captions, objects and words, doing only what is stale.

    Raises:
        UserError: the folder has no pictures, a setting is unknown, or the cache is damaged.
        StageError: a model or tool that a stage needs is missing; what was computed before is kept.
    """
    options, heard = options or Options(), listener or Mute()
    found = pictures_in(Path(folder))
    choice = chosen(options)
    heard.say(choice.why)
    stages = build_stages(choice.preset, options.stages)
    store = Workspace(options.workspace).store
    extraction = extract_pictures(found.pictures, stages, store, heard, options.retry_failed)
    return replace(extraction, others=found.others, unreadable=(*found.closed, *extraction.unreadable))


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What `train` understands beyond `Options`.

    `captions` is a file of captions made elsewhere, "auto" for the one that the dataset's card names, or "none".
    `contexts` are the contexts to append, all of them by default.
    """

    data: Path | None = None
    captions: str = "auto"
    contexts: tuple[str, ...] = CONTEXTS
    encoder: str | None = None
    experiment: str | None = None
    alignment: bool = True
    seed: int | None = None
    command: str = ""


@dataclass(frozen=True, slots=True)
class Trained:
    """A run, whether it was trained just now, and what was extracted for it."""

    run: Run
    new: bool
    extraction: Extraction


def train(
    dataset: str,
    options: Options | None = None,
    training: TrainOptions | None = None,
    listener: Listener | None = None,
) -> Trained:
    """Bring the pictures of a dataset up to date, train the tagger on it, score it and write its report.

    Does nothing that was done before: unchanged inputs give back the run that is there.

    Raises:
        UserError: the dataset, a file of it or a setting is missing or wrong.
        StageError: a model or tool is missing; what was computed before is kept.
    """
    options, training, heard = options or Options(), training or TrainOptions(), listener or Mute()
    workspace = Workspace(options.workspace)
    loaded = load_dataset(dataset, training.data, workspace.data)
    check_trainable(loaded)
    for note in loaded.notes:
        heard.say(note)
    choice = chosen(options, also=("training",))
    heard.say(choice.why)
    settings = training_settings(loaded.card, choice.preset, options, training)
    encoder = find_encoder(training.encoder or choice.preset.encoder)
    config = context_config(choice.preset, training.contexts)
    captions = caption_file(loaded, training.captions)
    wanted = [name for name in config.order if not (name == "caption" and captions)]
    stages = build_stages(choice.preset, wanted) if wanted else []
    contexts = look_at_pictures(
        loaded.posts, stages, config, workspace.store, heard, captions, options.retry_failed
    )
    tell_pictures(loaded, captions, contexts, heard)
    file = captions.name if captions else ""
    inputs = Wanted(loaded, choice.preset, contexts, settings, encoder, file, training.command)
    run, new = train_if_new(inputs, workspace.runs, heard)
    if new or not run.report.is_file():
        write_report(run, loaded, contexts)
    return Trained(run, new, contexts.extraction)


def training_settings(
    card: DatasetCard, preset: Preset, options: Options, training: TrainOptions
) -> TrainingConfig:
    """The experiment of the dataset that suits the preset, with `--set training.…`, seed and alignment applied."""
    known = configured("experiments")
    default = next(
        name for name in (f"{card.experiment}-{preset.recipe}", f"default-{preset.recipe}") if name in known
    )
    file = find_config("experiments", training.experiment or default)
    changes = parse_assignments(options.assignments).get("training", {})
    if training.seed is not None:
        changes = merged(changes, {"seed": training.seed})
    config = checked(TrainingConfig, merged(read_yaml(file), changes), f"experiment {file.stem}")
    if training.alignment:
        return config
    return config.model_copy(update={"objective": config.objective.without_alignment()})


def context_config(preset: Preset, names: Sequence[str]) -> ContextConfig:
    for name in names:
        if name not in CONTEXTS:
            hint = nearest(name, CONTEXTS) or f"known are {', '.join(CONTEXTS)}, all, none"
            raise UsageError(f"there is no context {name}", hint)
    order = tuple(name for name in preset.contexts.order if name in names)
    return preset.contexts.model_copy(update={"order": order})


def caption_file(dataset: Dataset, wish: str) -> Path | None:
    """The file of captions made elsewhere: given, or looked for where the dataset lies, or none."""
    if wish == "none":
        return None
    if wish == "auto":
        return dataset.captions
    for path in (Path(wish).expanduser(), dataset.folder / wish):
        if path.is_file():
            return path
    raise MissingError(f"there is no caption file {wish}", "give a file, auto, or none: --captions FILE")


def tell_pictures(dataset: Dataset, captions: Path | None, contexts: PictureContexts, listener: Listener) -> None:
    posts = dataset.posts
    named = sum(post.image_id is not None for post in posts)
    there = sum(post.picture is not None for post in posts)
    if named and there < named:
        listener.say(f"{there} of {named} pictures are there; posts without one are read without its contexts")
    if captions is None or "caption" not in contexts.config.order:
        return
    captioned = sum(post.image_id in contexts.by_id for post in posts)
    told = f"captions for {captioned} of {named} pictures imported from {captions.name}"
    if not captioned:
        raise UsageError(f"{told}: its ids are not those of the dataset", "--captions none leaves the file out")
    listener.say(f"{told} (--captions none leaves them out)")


def predict(
    run: str | Path, posts: Iterable[Post], options: Options | None = None, listener: Listener | None = None
) -> Iterator[Prediction]:
    """Mentions in posts, each with its picture where it has one. Labels are neither needed nor looked at.

    Posts are answered in groups of those that are there already, at most 64: a slow pipe is answered post by
    post, a fast one in batches.

    Raises:
        MissingError: there is no such run.
        StageError: a model or tool that the run's stages need is missing.
    """
    options, heard = options or Options(), listener or Mute()
    predictor = load(run, options.workspace)
    told = 0
    for group in gathered(posts, GROUP):
        yield from predictor.predict(group, heard)
        for note in predictor.notes[told:]:
            heard.say(note)
        told = len(predictor.notes)


def load(run: str | Path, workspace: Path = Path()) -> Predictor:
    """A trained tagger, ready for posts.

    Raises:
        MissingError: there is no such run.
        StageError: its model cannot be loaded.
    """
    place = Workspace(workspace)
    return Predictor(find_run(run, place.runs), place.store)

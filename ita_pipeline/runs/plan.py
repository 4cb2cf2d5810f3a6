"""What a training depends on, put together from options; and whether that was trained already."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ita_pipeline.cache.plan import Wishes
from ita_pipeline.cache.reasons import Cause, Reason, brief, pairs
from ita_pipeline.cache.store import Store
from ita_pipeline.core.config import config_files, find_config, merge_settings, parse_config, read_yaml
from ita_pipeline.core.errors import MissingError, UsageError, nearest
from ita_pipeline.corpus.contexts import CONTEXTS, ContextConfig
from ita_pipeline.corpus.datasets import Dataset, DatasetCard
from ita_pipeline.engines.executor import Limits
from ita_pipeline.extraction.contexts import ContextPlan, PostContexts, plan_contexts, read_contexts
from ita_pipeline.extraction.presets import OPTIONAL, Preset, context_stages
from ita_pipeline.ner.config import TrainingConfig
from ita_pipeline.ner.encoders import EncoderRef, find_encoder
from ita_pipeline.runs.run import Run, last_run, run_at, run_key
from ita_pipeline.runs.train import Wanted, check_trainable


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What `train` understands beyond `Options`.

    `captions` is a file of captions made elsewhere, "auto" for the one that the dataset's card names, or "none".
    `contexts` are the contexts to append, by default all that the preset does. Beside the checkpoint at the end of
    each epoch, `checkpoint_every` makes one after each so many updates. `report_to` names reporters of
    `transformers`, such as tensorboard.
    """

    data: Path | None = None
    captions: str = "auto"
    contexts: tuple[str, ...] | None = None
    encoder: str | None = None
    experiment: str | None = None
    alignment: bool = True
    seed: int | None = None
    command: str = ""
    checkpoint_every: int = 0
    report_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunState:
    """Whether a training is to be done. `key` is empty while it depends on stages that are stale."""

    key: str
    run: Run | None
    reasons: tuple[Reason, ...]

    @property
    def fresh(self) -> bool:
        return not self.reasons


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """All that a training needs, and what has to be done for it first."""

    dataset: Dataset
    preset: Preset
    settings: TrainingConfig
    encoder: EncoderRef
    captions: Path | None
    contexts: ContextPlan
    command: str

    def wanted(self, contexts: PostContexts) -> Wanted:
        file = self.captions.name if self.captions else ""
        return Wanted(self.dataset, self.preset, contexts, self.settings, self.encoder, file, self.command)

    def state(self, store: Store, runs: Path) -> RunState:
        """Whether the run that these inputs give is there, and if not, what differs from the last one."""
        stale = [part for part in self.contexts.plan.stages if part.stale or part.waiting]
        if stale:
            names = ", ".join(part.stage.name for part in stale)
            return RunState("", None, (Reason(Cause.UNKNOWN, names),))
        components = self.wanted(read_contexts(self.contexts, store)).components
        key = run_key(components)
        run = run_at(runs, self.dataset.name, key)
        if run.complete:
            return RunState(key, run, ())
        last = last_run(runs, self.dataset.name)
        if last is None:
            return RunState(key, None, (Reason(Cause.NEVER),))
        changed = [as_reason(*pair) for pair in pairs(last.record().components, components)]
        return RunState(key, None, tuple(changed))


def as_reason(name: str, was: object, now: object) -> Reason:
    group, _, rest = name.partition(".")
    if group in ("sentences", "contexts"):
        return Reason(Cause.TEXTS, f"{group} of {rest}")
    return Reason(Cause.SETTING, rest or group, brief(was), brief(now))


def plan_training(
    dataset: Dataset,
    preset: Preset,
    changes: dict[str, dict[str, object]],
    training: TrainOptions,
    store: Store,
    wishes: Wishes,
    limits: Limits,
    say: Callable[[str], None],
) -> TrainingPlan:
    """Put together what `train` asks for. `changes` is what `--set` asked for, by section.

    Raises:
        UserError: the dataset, a file of it or a setting is missing or wrong.
        StageError: a model or tool is missing.
    """
    check_trainable(dataset)
    settings = training_settings(dataset.card, preset, changes.get("training", {}), training)
    encoder = find_encoder(training.encoder or preset.encoder)
    config = context_config(preset, training.contexts)
    captions = caption_file(dataset, training.captions)
    stages = context_stages(preset, config)
    contexts = plan_contexts(dataset.posts, stages, config, store, captions, wishes, limits, **source_of(dataset))
    check_known(preset, training.contexts, contexts)
    tell_pictures(dataset, captions, contexts, say)
    return TrainingPlan(dataset, preset, settings, encoder, captions, contexts, training.command)


def default_experiment(wanted: str, preset: Preset) -> str:
    """The name of the experiment that a dataset's card wants, in the settings that suit the preset.

    Raises:
        UsageError: the preset's recipe is none of ours.
    """
    known = config_files("experiments")
    for name in (f"{wanted}-{preset.recipe}", f"default-{preset.recipe}"):
        if name in known:
            return name
    recipes = sorted(name.removeprefix("default-") for name in known if re.fullmatch(r"default-[a-z]+", name))
    hint = nearest(preset.recipe, recipes) or f"known are {', '.join(recipes)}; or name one: --experiment NAME"
    raise UsageError(f"preset {preset.name}: there is no recipe {preset.recipe}", hint)


def training_settings(
    card: DatasetCard, preset: Preset, changes: Mapping[str, object], training: TrainOptions
) -> TrainingConfig:
    """The experiment of the dataset that suits the preset, with `--set training.…` and seed applied.

    Without alignment it is the experiment of the same name that ends in `-no-alignment`, where there is one.
    """
    known = config_files("experiments")
    name = training.experiment or default_experiment(card.experiment, preset)
    variant = f"{name}-no-alignment"
    file = find_config("experiments", variant if variant in known and not training.alignment else name)
    values = read_yaml(file)
    if not training.alignment:
        objective = parse_config(TrainingConfig, values, f"experiment {file.stem}").objective.without_alignment()
        values["objective"] = objective.model_dump()
    if training.seed is not None:
        changes = merge_settings(changes, {"seed": training.seed})
    return parse_config(TrainingConfig, merge_settings(values, changes), f"experiment {file.stem}")


def context_config(preset: Preset, names: Sequence[str] | None) -> ContextConfig:
    """The preset's contexts, or those of these names: in the preset's order, and then any that it does not have.

    Raises:
        UsageError: a name is no context and no stage of the preset.
    """
    if names is None:
        return preset.contexts
    known = list(dict.fromkeys([*CONTEXTS, *preset.stages]))
    for name in names:
        if name not in known:
            hint = nearest(name, known) or f"known are {', '.join(known)}, all, none"
            raise UsageError(f"there is no context {name}", hint)
    ordered = [name for name in preset.contexts.order if name in names]
    return preset.contexts.model_copy(update={"order": tuple(dict.fromkeys([*ordered, *names]))})


def source_of(dataset: Dataset) -> dict[str, Any]:
    """Where examples may come from, the posts for training alone, and what the posts are remembered by."""
    return {"train": dataset.splits.get("train", ()), "origin": str(dataset.folder.absolute())}


def check_known(preset: Preset, asked: Sequence[str] | None, contexts: ContextPlan) -> None:
    """Raises `UsageError` where a context was asked for by its name that nobody can find."""
    if asked is None or set(asked) == set(CONTEXTS):
        return
    for name in set(asked) & set(OPTIONAL):
        if name not in preset.stages and name not in contexts.parts:
            hint = f"--set {name}.endpoint=… --set {name}.model=…, or a file that has it: --captions FILE"
            raise UsageError(f"preset {preset.name} has no stage {name}, and no file has it ready-made", hint)


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


def tell_pictures(
    dataset: Dataset, captions: Path | None, contexts: ContextPlan, say: Callable[[str], None]
) -> None:
    posts = dataset.posts
    named = sum(post.image_id is not None for post in posts)
    there = sum(post.picture is not None for post in posts)
    if named and there < named:
        say(f"{there} of {named} pictures are there; posts without one are read without its contexts")
    if captions is None or not contexts.parts:
        return
    known = set(contexts.captioned)
    count = sum(post.image_id in known for post in posts)
    what = " and ".join({"caption": "captions", "extra": "texts"}.get(name, name) for name in contexts.parts)
    told = f"{what} for {count} of {named} pictures imported from {captions.name}"
    if not known:
        raise UsageError(f"{told}: its ids are not those of the dataset", "--captions none leaves the file out")
    say(f"{told} (--captions none leaves them out)")

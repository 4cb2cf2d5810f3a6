"""Plan of a training: its inputs, put together from options, and what makes it stale."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ita_pipeline.cache.keys import digest
from ita_pipeline.cache.reasons import Cause, Reason, abbreviate, find_differences
from ita_pipeline.cache.store import Store
from ita_pipeline.core.config import config_files, merge_settings, parse_config, read_yaml
from ita_pipeline.core.config_layers import find_named_config
from ita_pipeline.core.errors import MissingError, UsageError, nearest
from ita_pipeline.core.progress import Notes
from ita_pipeline.core.text import format_count
from ita_pipeline.corpus import checks
from ita_pipeline.corpus.contexts import CONTEXTS, ContextConfig
from ita_pipeline.corpus.datasets import Dataset, DatasetCard
from ita_pipeline.corpus.posts import PostWithContexts
from ita_pipeline.extraction.contexts import ContextPlan, PostContexts, plan_contexts, read_contexts
from ita_pipeline.extraction.items import PostSource
from ita_pipeline.extraction.options import Options
from ita_pipeline.extraction.presets import OPTIONAL_STAGES, Preset, build_context_stages
from ita_pipeline.extraction.status import StageStatus
from ita_pipeline.ner.config import Objective, TrainingConfig
from ita_pipeline.ner.encoders import EncoderRef, find_encoder
from ita_pipeline.runs.grounding import grounding_components
from ita_pipeline.runs.lookup import last_run
from ita_pipeline.runs.queries import EvidenceReader, MentionSearch, plan_search
from ita_pipeline.runs.run import run_at, run_components

COMPONENT_CAUSES: Mapping[str, Cause] = {
    "sentences": Cause.TEXTS,
    "contexts": Cause.TEXTS,
    "trainer": Cause.SETTING,
    "training": Cause.SETTING,
    "encoder": Cause.SETTING,
    "types": Cause.SETTING,
    "grounding": Cause.TEXTS,
}
"""What makes a training stale: the components of the run key, see `run_components`, and the cause of a change.

Two more causes are in `TrainingPlan.status`: `UNKNOWN` while a stage is stale, as its contexts are part of the key,
and `NEVER` if the dataset has no finished run.
"""


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """The options of `train` beyond `Options`.

    `captions` is a file of captions made elsewhere, "auto" for the one that the dataset's card names, or "none".
    `contexts` are the contexts to append, by default all of the preset. `objective` is "aligned" as in the
    experiment, "both" for both likelihoods without alignment, or "none" for I+T alone. `train_size` trains on
    that many of the train posts, see `Dataset.with_train_posts`. `checkpoint_every` makes a checkpoint after every
    so many updates, in addition to those at the end of each epoch. `report_to` names loggers of `transformers`,
    such as tensorboard.
    """

    data: Path | None = None
    captions: str = "auto"
    contexts: tuple[str, ...] | None = None
    encoder: str | None = None
    experiment: str | None = None
    objective: Objective = "aligned"
    train_size: int | None = None
    seed: int | None = None
    command: str = ""
    checkpoint_every: int = 0
    report_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """The inputs of a training, and what has to be done before it."""

    dataset: Dataset
    preset: Preset
    settings: TrainingConfig
    encoder: EncoderRef
    contexts: ContextPlan
    options: TrainOptions
    search: MentionSearch | None = None

    def status(self, store: Store, runs: Path) -> StageStatus:
        """Compare the inputs with those of the finished runs; reasons refer to the most recent one.

        The key is empty while the training depends on stale stages.
        """
        stale = [part.stage.name for part in self.contexts.plan.stages if part.stale or part.waiting]
        if stale:
            return _training_status("", Reason(Cause.UNKNOWN, ", ".join(stale)))
        inputs = RunInputs(self, read_contexts(self.contexts, store))
        if run_at(runs, self.dataset.name, inputs.key).is_complete:
            return _training_status(inputs.key)
        last = last_run(runs, self.dataset.name)
        if last is None:
            return _training_status(inputs.key, Reason(Cause.NEVER))
        changes = find_differences(last.record().components, inputs.components)
        return _training_status(inputs.key, *(_reason(*change) for change in changes))


def _training_status(key: str, *reasons: Reason) -> StageStatus:
    """Return the status of a training, which is stale if there is a reason for it."""
    is_stale = bool(reasons)
    counts = {str(reason): 1 for reason in reasons}
    return StageStatus("training", key, int(not is_stale), int(is_stale), 0, counts, None if is_stale else 0.0, {})


def _reason(name: str, before: object, after: object) -> Reason:
    component, _, rest = name.partition(".")
    cause = COMPONENT_CAUSES.get(component, Cause.SETTING)
    if cause is Cause.TEXTS:
        return Reason(cause, f"{component} of {rest}")
    return Reason(cause, rest or component, abbreviate(before), abbreviate(after))


@dataclass(frozen=True)
class RunInputs:
    """Everything that determines a run, and so its key: the plan, and the contexts once they are finished."""

    plan: TrainingPlan
    contexts: PostContexts

    @functools.cached_property
    def splits(self) -> Mapping[str, list[PostWithContexts]]:
        """The posts of each split with their contexts, each rendered once."""
        return {
            name: [(post, self.contexts.render(post)) for post in posts]
            for name, posts in self.plan.dataset.splits.items()
        }

    @functools.cached_property
    def types(self) -> tuple[str, ...]:
        """The entity types of the gold mentions."""
        return tuple(sorted({span.type for post in self.plan.dataset.posts for span in post.gold or ()}))

    @functools.cached_property
    def components(self) -> dict[str, Any]:
        """The parts of the key, in clear."""
        components = run_components(self.splits, self.plan.settings, self.plan.encoder.identity, self.types)
        return components | grounding_components(self.plan.dataset.splits, self.evidence)

    @property
    def evidence(self) -> EvidenceReader:
        """What a grounder reads of the posts' pictures."""
        return EvidenceReader(self.contexts, self.plan.search)

    @property
    def key(self) -> str:
        """The run key."""
        return digest(self.components)


def refuse_untrainable(dataset: Dataset) -> None:
    """Raise `UsageError` for the first finding of `checks.check_trainable`."""
    for finding in checks.check_trainable(dataset.splits):
        problem = f"dataset {dataset.name} cannot be trained on: {finding.where}: {finding.what}"
        raise UsageError(problem, f"{finding.kind.advice} All problems: ita data check {dataset.source}")


def plan_training(
    dataset: Dataset, preset: Preset, options: Options, training: TrainOptions, store: Store, notes: Notes
) -> TrainingPlan:
    """Put together the inputs of a training.

    Raises:
        UserError: the dataset, one of its files or a setting is missing or wrong.
        StageError: a model or tool is missing.
    """
    if training.train_size is not None:
        dataset = dataset.with_train_posts(training.train_size)
    refuse_untrainable(dataset)
    settings = training_settings(dataset.card, preset, options.changes.get("training", {}), training)
    encoder = find_encoder(training.encoder or preset.encoder)
    contexts = plan_dataset_contexts(dataset, preset, options, training, store)
    _check_contexts_exist(preset, training.contexts, contexts)
    _report_images(dataset, contexts, notes)
    search = plan_search(dataset, options.changes.get("grounding", {}), preset, store, options.limits)
    return TrainingPlan(dataset, preset, settings, encoder, contexts, training, search)


def plan_dataset_contexts(
    dataset: Dataset, preset: Preset, options: Options, training: TrainOptions, store: Store
) -> ContextPlan:
    """Plan the contexts of all posts of a dataset.

    Raises:
        UserError: a context or the caption file does not exist.
        StageError: a model or tool is missing.
    """
    config = _context_config(preset, training.contexts)
    captions = caption_file(dataset, training.captions)
    source = PostSource.from_dataset(dataset)
    stages = build_context_stages(preset, config)
    return plan_contexts(source, stages, config, store, captions, options.plan_options, options.limits)


def default_experiment(experiment: str, preset: Preset) -> str:
    """Return the full name of the experiment in a dataset's card, in the variant for the preset.

    Raises:
        UsageError: the preset's recipe does not exist.
    """
    known = config_files("experiments")
    for name in (f"{experiment}-{preset.recipe}", f"default-{preset.recipe}"):
        if name in known:
            return name
    recipes = sorted(name.removeprefix("default-") for name in known if re.fullmatch(r"default-[a-z]+", name))
    hint = nearest(preset.recipe, recipes) or f"known are {', '.join(recipes)}; or name one: --experiment NAME"
    raise UsageError(f"preset {preset.name}: there is no recipe {preset.recipe}", hint)


def training_settings(
    card: DatasetCard, preset: Preset, changes: Mapping[str, object], training: TrainOptions
) -> TrainingConfig:
    """Read the dataset's experiment for the preset and apply the objective, `--set training.…` and the seed.

    For I+T alone, the experiment of the same name with the suffix `-no-alignment` is used, if it exists.
    """
    known = config_files("experiments")
    name = training.experiment or default_experiment(card.experiment, preset)
    variant = f"{name}-no-alignment"
    file = find_named_config("experiment", variant if variant in known and training.objective == "none" else name)
    values = read_yaml(file)
    if training.objective != "aligned":
        objective = parse_config(TrainingConfig, values, f"experiment {file.stem}", "training").objective
        is_alone = training.objective == "none"
        changed = objective.without_alignment() if is_alone else objective.with_both_likelihoods()
        values["objective"] = changed.model_dump()
    if training.seed is not None:
        changes = merge_settings(changes, {"seed": training.seed})
    return parse_config(TrainingConfig, merge_settings(values, changes), f"experiment {file.stem}", "training")


def _context_config(preset: Preset, names: Sequence[str] | None) -> ContextConfig:
    """Return the preset's contexts, or those with these names: in the preset's order, then any others.

    Raises:
        UsageError: a name is neither a context nor a stage of the preset.
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


def _check_contexts_exist(preset: Preset, names: Sequence[str] | None, contexts: ContextPlan) -> None:
    """Raise `UsageError` if a context that was named explicitly has neither a stage nor an imported file."""
    if names is None or set(names) == set(CONTEXTS):
        return
    for name in set(names) & set(OPTIONAL_STAGES):
        if name not in preset.stages and name not in contexts.parts:
            hint = f"--set {name}.endpoint=… --set {name}.model=…, or a file that has it: --captions FILE"
            raise UsageError(f"preset {preset.name} has no stage {name}, and no caption file contains it", hint)


def caption_file(dataset: Dataset, captions: str) -> Path | None:
    """Find the file of captions made elsewhere; `captions` is a path, "auto" for the dataset's own, or "none".

    Raises:
        MissingError: the file does not exist.
    """
    if captions == "none":
        return None
    if captions == "auto":
        return dataset.captions
    for path in (Path(captions).expanduser(), dataset.folder / captions):
        if path.is_file():
            return path
    raise MissingError(f"there is no caption file {captions}", "give a file, auto, or none: --captions FILE")


def _report_images(dataset: Dataset, contexts: ContextPlan, notes: Notes) -> None:
    """Report how many images and imported captions the posts have.

    Raises:
        UsageError: no imported caption belongs to a post.
    """
    posts = dataset.posts
    pictures = [picture for post in posts for picture in post.pictures]
    named = len(pictures)
    existing = sum(picture.file is not None for picture in pictures)
    if named and existing < named:
        found = f"{existing} of {format_count(named, 'picture')} found"
        notes.add(f"{found}; posts without one are read without its contexts")
    if not contexts.parts:
        return
    count = sum(picture.name in contexts.captioned for picture in pictures)
    kinds = " and ".join({"caption": "captions", "extra": "texts"}.get(name, name) for name in contexts.parts)
    message = f"{kinds} for {count} of {format_count(named, 'picture')} imported from {contexts.captions}"
    if not count:
        raise UsageError(f"{message}: its ids are not those of the dataset", "--captions none leaves the file out")
    notes.add(f"{message} (--captions none leaves them out)")

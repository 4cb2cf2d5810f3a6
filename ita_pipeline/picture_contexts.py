"""The contexts of a dataset's posts: stages brought up to date for its pictures, results rendered as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.plan import Plan, Wishes, make_plan
from ita_pipeline.cache.store import Store
from ita_pipeline.corpus.contexts import ContextConfig, render
from ita_pipeline.corpus.posts import Post
from ita_pipeline.engines import local
from ita_pipeline.engines.jobs import Hands, InProcess, Limits
from ita_pipeline.engines.local import Progress
from ita_pipeline.extraction import Extraction, PicturePlan, carry_out, plan_pictures
from ita_pipeline.images import ImageRef
from stages.base import Failure, Item, Stage, Value
from stages.external import ExternalConfig, ExternalStage, ExternalValue

Results = Mapping[str, Value | Failure]


@dataclass(frozen=True, slots=True)
class PictureContexts:
    """What is known of the pictures of some posts, by file and, for imported contexts, by picture id."""

    config: ContextConfig
    extraction: Extraction
    keys: Mapping[str, StageKey] = field(default_factory=dict)
    by_file: Mapping[Path, Results] = field(default_factory=dict)
    by_id: Mapping[str, Results] = field(default_factory=dict)

    def of(self, post: Post) -> tuple[str, ...]:
        """The rendered contexts of a post's picture; imported ones take the place of computed ones."""
        computed = self.by_file.get(post.picture, {}) if post.picture else {}
        imported = self.by_id.get(post.image_id, {}) if post.image_id else {}
        return render({**computed, **imported}, self.config)


@dataclass(frozen=True, slots=True)
class ContextPlan:
    """What has to be done before the contexts of some posts can be rendered.

    `imported` are contexts made elsewhere, which go through the cache like any other stage; `captioned` are the
    picture ids that they speak of, and `parts` the kinds of contexts that they take the place of.
    """

    config: ContextConfig
    stages: tuple[Stage[Any], ...]
    pictures: PicturePlan
    imported: Plan = field(default_factory=lambda: Plan(()))
    captioned: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

    @property
    def plan(self) -> Plan:
        """Everything in one: the stages that look at pictures, and the import."""
        return Plan((*self.pictures.plan.stages, *self.imported.stages))


def plan_contexts(
    posts: Sequence[Post],
    stages: Sequence[Stage[Any]],
    config: ContextConfig,
    store: Store,
    captions: Path | None = None,
    wishes: Wishes | None = None,
    limits: Limits | None = None,
) -> ContextPlan:
    """What is stale for the pictures of these posts, and for contexts made elsewhere.

    Raises:
        StageError: a model, a tool or the caption file is missing.
    """
    external = ExternalStage(ExternalConfig(file=str(captions))) if captions is not None else None
    parts = tuple(name for name in config.order if external is not None and name in external.parts)
    left = still_needed(stages, {str(name) for name in config.order if name not in parts})
    paths = list(dict.fromkeys(post.picture for post in posts if post.picture is not None))
    if paths and left:
        pictures = plan_pictures(paths, left, store, wishes, limits)
    else:
        pictures = PicturePlan((), (), (), Plan(()))
    if external is None or not parts:
        return ContextPlan(config, tuple(left), pictures)
    known = external.entries
    ids = tuple(dict.fromkeys(post.image_id for post in posts if post.image_id and post.image_id in known))
    imported = make_plan([external], [ImageRef(name, Path(name)) for name in ids], store)
    return ContextPlan(config, tuple(left), pictures, imported, ids, parts)


def still_needed(stages: Sequence[Stage[Any]], names: set[str]) -> list[Stage[Any]]:
    """The stages of these names, and those that they read."""
    while more := {read for stage in stages if stage.name in names for read in stage.reads} - names:
        names = names | more
    return [stage for stage in stages if stage.name in names]


def make_contexts(todo: ContextPlan, store: Store, hands: Hands, progress: Progress) -> PictureContexts:
    """Do what a plan says, and read what came of it.

    Raises:
        StageError: a stage cannot work at all; what was computed before is kept.
    """
    extraction = carry_out(todo.pictures, store, hands, progress)
    local.run(todo.imported, store, InProcess(), progress)
    return replace(read_contexts(todo, store), extraction=extraction)


def read_contexts(todo: ContextPlan, store: Store) -> PictureContexts:
    """The contexts as far as the store knows them now."""
    images = todo.pictures.images
    keys = dict(todo.pictures.plan.keys)
    wanted = list(dict.fromkeys(image.key for image in images))
    records = {
        stage.name: store.results(stage, keys[stage.name], wanted) for stage in todo.stages if stage.name in keys
    }
    by_file = {
        image.path: {name: found[image.key].result for name, found in records.items() if image.key in found}
        for image in images
    }
    by_id: dict[str, Results] = {}
    for part in todo.imported.stages:
        keys["external"] = part.key
        found = store.results(part.stage, part.key, list(todo.captioned))
        by_id = {name: parts_of(record.result, todo.parts) for name, record in found.items()}
    return PictureContexts(todo.config, Extraction((), (), (), ()), keys, by_file, by_id)


def read_imported(todo: ContextPlan) -> dict[str, Results]:
    """What the file of contexts made elsewhere says now, by picture id; the store is not asked."""
    found: dict[str, Results] = {}
    for part in todo.imported.stages:
        items = [Item(name, name, no_pixels) for name in todo.captioned]
        results = part.stage.run(items)
        found |= {name: parts_of(r, todo.parts) for name, r in zip(todo.captioned, results, strict=True)}
    return found


def parts_of(result: Value | Failure, wanted: Sequence[str]) -> Results:
    if not isinstance(result, ExternalValue):
        return {}
    return {name: value for name, value in result.parts.items() if name in wanted}


def no_pixels() -> Any:
    raise AssertionError("contexts made elsewhere are looked up, not seen")

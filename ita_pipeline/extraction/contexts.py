"""The contexts of a dataset's posts: stages brought up to date for its pictures, results rendered as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.plan import Plan, PlanOptions, make_plan
from ita_pipeline.cache.store import Store
from ita_pipeline.core.progress import Progress
from ita_pipeline.corpus.contexts import ContextConfig, render
from ita_pipeline.corpus.posts import Post
from ita_pipeline.engines.base import Engine
from ita_pipeline.engines.executor import InProcessExecutor, Limits
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.extraction.pictures import Extraction, ExtractionPlan, execute_plan, plan_images
from ita_pipeline.extraction.posts import PostSource, select_post_stages
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef, PostRef
from stages.base import Failure, Item, Result, Stage, Subject, Value
from stages.external import ExternalConfig, ExternalStage, ExternalValue

Results = Mapping[str, Value | Failure]


@dataclass(frozen=True, slots=True)
class PostContexts:
    """What is known of posts, and of their pictures: by file and, for imported contexts, by picture id."""

    config: ContextConfig
    extraction: Extraction
    keys: Mapping[str, StageKey] = field(default_factory=dict)
    by_file: Mapping[Path, Results] = field(default_factory=dict)
    by_id: Mapping[str, Results] = field(default_factory=dict)
    by_post: Mapping[Post, Results] = field(default_factory=dict)
    posts: Mapping[Post, PostRef] = field(default_factory=dict)

    def results(self, post: Post) -> Results:
        """Return the results for a post and its picture; imported contexts replace computed ones."""
        computed = self.by_file.get(post.picture, {}) if post.picture else {}
        imported = self.by_id.get(post.image_id, {}) if post.image_id else {}
        return {**computed, **self.by_post.get(post, {}), **imported}

    def of(self, post: Post) -> tuple[str, ...]:
        """Render the contexts of a post."""
        return render(self.results(post), self.config)


@dataclass(frozen=True, slots=True)
class ContextPlan:
    """What has to be done before the contexts of some posts can be rendered.

    `imported` are contexts made elsewhere, which go through the cache like any other stage; `captioned` are the
    picture ids that they speak of, and `parts` the kinds of contexts that they take the place of.
    """

    config: ContextConfig
    stages: tuple[Stage[Any], ...]
    pictures: ExtractionPlan
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
    wishes: PlanOptions | None = None,
    limits: Limits | None = None,
    train: Sequence[Post] = (),
    origin: str = "",
) -> ContextPlan:
    """What is stale for these posts and their pictures, and for contexts made elsewhere.

    `train` and `origin` are those of `PostSource`.

    Raises:
        StageError: a model, a tool or the caption file is missing.
    """
    external = ExternalStage(ExternalConfig(file=str(captions))) if captions is not None else None
    parts = tuple(name for name in config.order if external is not None and name in external.parts)
    left = filter_stages(stages, {str(name) for name in config.order if name not in parts})
    paths = list(dict.fromkeys(post.picture for post in posts if post.picture is not None))
    source = PostSource(tuple(posts), tuple(train), origin) if select_post_stages(left) and posts else None
    if left and (paths or source):
        pictures = plan_images([LocalFile(path) for path in paths], left, store, wishes, limits, source)
    else:
        pictures = ExtractionPlan((), (), (), Plan(()))
    if external is None or not parts:
        return ContextPlan(config, tuple(left), pictures)
    known = external.entries
    ids = tuple(dict.fromkeys(post.image_id for post in posts if post.image_id and post.image_id in known))
    imported = make_plan([external], [ImageRef(name, LocalFile(Path(name))) for name in ids], store)
    return ContextPlan(config, tuple(left), pictures, imported, ids, parts)


def filter_stages(stages: Sequence[Stage[Any]], names: set[str]) -> list[Stage[Any]]:
    """The stages of these names, and those that they read."""
    while more := {read for stage in stages if stage.name in names for read in stage.reads} - names:
        names = names | more
    return [stage for stage in stages if stage.name in names]


def make_contexts(todo: ContextPlan, store: Store, engine: Engine, progress: Progress) -> PostContexts:
    """Do what a plan says, and read what came of it.

    Raises:
        StageError: a stage cannot work at all; what was computed before is kept.
    """
    extraction = execute_plan(todo.pictures, store, engine, progress)
    LocalEngine(InProcessExecutor()).run(todo.imported, store, progress)
    return replace(read_contexts(todo, store), extraction=extraction)


def read_contexts(todo: ContextPlan, store: Store) -> PostContexts:
    """The contexts as far as the store knows them now."""
    images = todo.pictures.images
    keys = dict(todo.pictures.plan.keys)
    wanted = list(dict.fromkeys(image.key for image in images))
    records = {
        stage.name: store.results(stage, keys[stage.name], wanted)
        for stage in todo.stages
        if stage.name in keys and stage.subject is Subject.PICTURE
    }
    by_file = {
        image.path: {name: found[image.key].result for name, found in records.items() if image.key in found}
        for image in images
        if image.path is not None
    }
    readers = [stage for stage in select_post_stages(todo.stages) if stage.name in keys]
    own = [item.key for item in todo.pictures.posts.values()]
    said = {stage.name: store.results(stage, keys[stage.name], own) for stage in readers}
    by_post = {
        post: {name: found[item.key].result for name, found in said.items() if item.key in found}
        for post, item in todo.pictures.posts.items()
    }
    by_id: dict[str, Results] = {}
    for part in todo.imported.stages:
        keys["external"] = part.key
        found = store.results(part.stage, part.key, list(todo.captioned))
        by_id = {name: parts_of(record.result, todo.parts) for name, record in found.items()}
    return PostContexts(todo.config, Extraction((), (), (), ()), keys, by_file, by_id, by_post, todo.pictures.posts)


def read_imported(todo: ContextPlan) -> dict[str, Results]:
    """What the file of contexts made elsewhere says now, by picture id; the store is not asked."""
    found: dict[str, Results] = {}
    for part in todo.imported.stages:
        items = [Item(name, name, no_pixels) for name in todo.captioned]
        results = part.stage.run(items)
        found |= {name: parts_of(r, todo.parts) for name, r in zip(todo.captioned, results, strict=True)}
    return found


def parts_of(result: Result, wanted: Sequence[str]) -> Results:
    if not isinstance(result, ExternalValue):
        return {}
    return {name: value for name, value in result.parts.items() if name in wanted}


def no_pixels() -> Any:
    raise AssertionError("contexts made elsewhere are looked up, not seen")

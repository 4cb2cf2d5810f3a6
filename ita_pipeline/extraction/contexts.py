"""The contexts of posts: plan and run the stages for their images, and render the results as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.plan import Plan, PlanOptions, make_plan
from ita_pipeline.cache.store import Store
from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.progress import Progress
from ita_pipeline.core.text import clean_path
from ita_pipeline.corpus.contexts import ContextConfig, ContextPiece, join_pieces, list_pieces
from ita_pipeline.corpus.posts import Post
from ita_pipeline.engines.base import Engine
from ita_pipeline.engines.executor import InProcessExecutor, Limits
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.extraction.items import (
    Extraction,
    ExtractionPlan,
    PostSource,
    execute_plan,
    identify_images,
    plan_images,
    select_post_stages,
)
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef, PostRef
from stages.base import Failure, Item, Result, Stage, Value
from stages.external import ExternalConfig, ExternalStage, ExternalValue
from stages.objects.schema import ObjectsValue
from stages.picture_names import match_names

# The results of stages by name.
Results = Mapping[str, Value | Failure]


@dataclass(frozen=True, slots=True)
class PostContexts:
    """The results for posts and their images: by image file, by post and, for imported contexts, by image name."""

    config: ContextConfig
    extraction: Extraction
    keys: Mapping[str, StageKey] = field(default_factory=dict)
    by_file: Mapping[Path, Results] = field(default_factory=dict)
    by_name: Mapping[str, Results] = field(default_factory=dict)
    by_post: Mapping[Post, Results] = field(default_factory=dict)
    posts: Mapping[Post, PostRef] = field(default_factory=dict)

    def results(self, post: Post) -> list[Results]:
        """The results for each image of a post, the first with those for the post; imported ones come first.

        A post without an image has the results for the post alone.
        """
        results: list[Results] = []
        of_post = self.by_post.get(post, {})
        for picture in post.pictures:
            computed = self.by_file.get(picture.file, {}) if picture.file else {}
            results.append({**computed, **(of_post if not results else {}), **self.by_name.get(picture.name, {})})
        return results or [of_post]

    def render(self, post: Post) -> tuple[str, ...]:
        """The contexts of a post as texts."""
        return join_pieces(self.pieces(post), self.config)

    def pieces(self, post: Post) -> tuple[ContextPiece, ...]:
        """The pieces that the contexts of a post are joined from."""
        first, *others = self.results(post)
        return list_pieces(first, self.config, *others)

    def select_objects(self, post: Post) -> tuple[ObjectsValue | None, ...]:
        """The objects of each image that are certain enough for a context, None where none were looked for."""
        values = [results.get("objects") for results in self.results(post)]
        return tuple(self._certain(value) if isinstance(value, ObjectsValue) else None for value in values)

    def _certain(self, value: ObjectsValue) -> ObjectsValue:
        objects = tuple(item for item in value.objects if item.score >= self.config.object_score)
        return value.model_copy(update={"objects": objects})

    def failure_reasons(self, posts: Sequence[Post]) -> dict[Post, str]:
        """Why contexts of these posts are missing; a problem with the image comes first."""
        extraction = self.extraction
        files = {file.path: file.reason for file in extraction.unreadable}
        keys: dict[str, str] = {}
        for failed in extraction.failed:
            if isinstance(failed.item, ImageRef):
                files.setdefault(failed.item.path, failed.failure.reason)
            else:
                keys[failed.item.key] = failed.failure.reason
        postponed = "; ".join(extraction.notes) or "a stage left it for another time"
        reasons: dict[Post, str] = {}
        for post in posts:
            item = self.posts.get(post)
            unread = [f"{clean_path(file)}: {files[file]}" for file in post.files if file in files]
            if unread:
                reasons[post] = f"its picture was not read: {unread[0]}"
            elif item is not None and item.key in keys:
                reasons[post] = f"its contexts are incomplete: {keys[item.key]}"
            elif item is not None and extraction.waiting and not self.by_post.get(post):
                reasons[post] = f"its contexts are incomplete: {postponed}"
        return reasons


@dataclass(frozen=True, slots=True)
class ContextPlan:
    """The plan for the contexts of some posts.

    `captions` is the name of a file of imported contexts, if any, and `imported` the plan of the stage that reads
    it; `captioned` maps the images' names to those in that file, and `parts` are the kinds of contexts that it
    replaces.
    """

    config: ContextConfig
    pictures: ExtractionPlan
    captions: str = ""
    imported: Plan = field(default_factory=lambda: Plan(()))
    captioned: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[str, ...] = ()

    @property
    def plan(self) -> Plan:
        """The plan of all stages, including the import."""
        return Plan((*self.pictures.plan.stages, *self.imported.stages))


def plan_contexts(  # noqa: PLR0913
    source: PostSource,
    stages: Sequence[Stage[Any]],
    config: ContextConfig,
    store: Store,
    captions: Path | None = None,
    options: PlanOptions | None = None,
    limits: Limits | None = None,
) -> ContextPlan:
    """Plan the stages for posts and their images, and the import of contexts from the file `captions`.

    Raises:
        StageError: a model, a tool or the caption file is missing.
        UsageError: a name in the caption file stands for two images.
    """
    external = ExternalStage(ExternalConfig(file=str(captions))) if captions is not None else None
    parts = tuple(name for name in config.order if external is not None and name in external.parts)
    needed = _filter_stages(stages, {str(name) for name in config.order if name not in parts})
    paths = list(dict.fromkeys(file for post in source.posts for file in post.files))
    read_posts = source if select_post_stages(needed) and source.posts else None
    if needed and (paths or read_posts):
        identified = identify_images([LocalFile(path) for path in paths], store, limits)
        pictures = plan_images(identified, needed, store, options, read_posts)
    else:
        pictures = ExtractionPlan((), (), (), Plan(()))
    file = captions.name if captions is not None else ""
    if external is None or not parts:
        return ContextPlan(config, pictures, file)
    names = (picture.name for post in source.posts for picture in post.pictures)
    try:
        captioned = match_names(names, external.entries)
    except ValueError as error:
        hint = "write the pictures' paths as in the dataset, or leave the file out: --captions none"
        raise UsageError(f"{captions}: {error}", hint) from error
    keys = dict.fromkeys(captioned.values())
    imported = make_plan([external], [ImageRef(key, LocalFile(Path(key))) for key in keys], store)
    return ContextPlan(config, pictures, file, imported, captioned, parts)


def _filter_stages(stages: Sequence[Stage[Any]], names: set[str]) -> list[Stage[Any]]:
    """The stages of these names, and those that they read."""
    while missing := {read for stage in stages if stage.name in names for read in stage.reads} - names:
        names = names | missing
    return [stage for stage in stages if stage.name in names]


def make_contexts(plan: ContextPlan, store: Store, engine: Engine, progress: Progress) -> PostContexts:
    """Run a plan and read the results.

    Raises:
        StageError: a stage cannot work at all; earlier results are kept.
    """
    extraction = execute_plan(plan.pictures, store, engine, progress)
    LocalEngine(InProcessExecutor()).run(plan.imported, store, progress)
    return replace(read_contexts(plan, store), extraction=extraction)


def read_contexts(plan: ContextPlan, store: Store) -> PostContexts:
    """Read the results that the store contains now."""
    keys = dict(plan.pictures.plan.keys)
    item_keys = [*(image.key for image in plan.pictures.images), *(ref.key for ref in plan.pictures.posts.values())]
    by_key: dict[str, dict[str, Value | Failure]] = {key: {} for key in item_keys}
    for part in plan.pictures.plan.stages:
        for item_key, record in store.results(part.stage, part.key, list(by_key)).items():
            by_key[item_key][part.stage.name] = record.result
    by_file = {image.path: by_key[image.key] for image in plan.pictures.images if image.path is not None}
    by_post = {post: by_key[ref.key] for post, ref in plan.pictures.posts.items()}
    by_name: dict[str, Results] = {}
    for stage_plan in plan.imported.stages:
        keys["external"] = stage_plan.key
        records = store.results(stage_plan.stage, stage_plan.key, list(dict.fromkeys(plan.captioned.values())))
        by_name = {
            name: select_parts(records[key].result, plan.parts)
            for name, key in plan.captioned.items()
            if key in records
        }
    return PostContexts(
        plan.config, Extraction((), (), (), ()), keys, by_file, by_name, by_post, plan.pictures.posts
    )


def read_imported(plan: ContextPlan) -> dict[str, Results]:
    """Read imported contexts from their file instead of the store, by image name."""
    imported: dict[str, Results] = {}
    for stage_plan in plan.imported.stages:
        results = stage_plan.stage.run([Item(key, key, None) for key in plan.captioned.values()])
        for name, result in zip(plan.captioned, results, strict=True):
            imported[name] = select_parts(result, plan.parts)
    return imported


def select_parts(result: Result, names: Sequence[str]) -> Results:
    """The parts of imported contexts that have these names."""
    if not isinstance(result, ExternalValue):
        return {}
    return {name: value for name, value in result.parts.items() if name in names}

"""The contexts of a dataset's posts: stages brought up to date for its pictures, results rendered as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.plan import make_plan
from ita_pipeline.cache.store import Store
from ita_pipeline.corpus.contexts import ContextConfig, render
from ita_pipeline.corpus.posts import Post
from ita_pipeline.engines import local
from ita_pipeline.engines.local import Progress
from ita_pipeline.extraction import Extraction, extract_pictures
from ita_pipeline.images import ImageRef, open_picture
from stages.base import Failure, Stage, Value
from stages.external import ExternalConfig, ExternalStage

Results = Mapping[str, Value | Failure]


@dataclass(frozen=True, slots=True)
class PictureContexts:
    """What is known of the pictures of some posts, by file and, for imported captions, by picture id."""

    config: ContextConfig
    extraction: Extraction
    keys: Mapping[str, StageKey] = field(default_factory=dict)
    by_file: Mapping[Path, Results] = field(default_factory=dict)
    by_id: Mapping[str, Results] = field(default_factory=dict)

    def of(self, post: Post) -> tuple[str, ...]:
        """The rendered contexts of a post's picture; imported captions take the place of computed ones."""
        computed = self.by_file.get(post.picture, {}) if post.picture else {}
        imported = self.by_id.get(post.image_id, {}) if post.image_id else {}
        return render({**computed, **imported}, self.config)


def look_at_pictures(
    posts: Sequence[Post],
    stages: Sequence[Stage[Any]],
    config: ContextConfig,
    store: Store,
    progress: Progress,
    captions: Path | None = None,
    retry: bool = False,
) -> PictureContexts:
    """Run what is stale for the pictures of these posts, and import captions made elsewhere.

    Raises:
        StageError: a model, a tool or the caption file is missing.
    """
    paths = list(dict.fromkeys(post.picture for post in posts if post.picture is not None))
    if paths and stages:
        extraction = extract_pictures(paths, stages, store, progress, retry)
    else:
        extraction = Extraction((), (), (), ())
    keys = {outcome.key.stage: outcome.key for outcome in extraction.stages}
    records = {stage.name: store.results(stage, keys[stage.name]) for stage in stages if stage.name in keys}
    by_file = {
        image.path: {name: found[image.key].result for name, found in records.items() if image.key in found}
        for image in extraction.images
    }
    by_id: dict[str, Results] = {}
    if captions is not None and "caption" in config.order:
        key, by_id = import_captions(posts, captions, store, progress)
        keys["external"] = key
    return PictureContexts(config, extraction, keys, by_file, by_id)


def import_captions(
    posts: Sequence[Post], file: Path, store: Store, progress: Progress
) -> tuple[StageKey, dict[str, Results]]:
    """Captions by picture id, through the cache like any other stage; ids that the file has not stay out."""
    stage = ExternalStage(ExternalConfig(file=str(file)))
    known = stage.captions
    ids = dict.fromkeys(post.image_id for post in posts if post.image_id in known)
    plan = make_plan([stage], [ImageRef(name, Path(name)) for name in ids if name], store)
    local.run(plan, store, open_picture, progress)
    key = plan.keys[stage.name]
    return key, {name: {"caption": record.result} for name, record in store.results(stage, key).items()}

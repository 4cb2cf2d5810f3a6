"""Lookup of pictures and posts in the cache; no stage runs, so no model or tool needs to be installed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.records import Record
from ita_pipeline.cache.store import Store
from ita_pipeline.core.errors import CorruptCacheError, UserError
from ita_pipeline.core.progress import Notes
from ita_pipeline.corpus.contexts import CONTEXTS, ContextConfig
from ita_pipeline.corpus.posts import Post
from ita_pipeline.extraction.contexts import PostContexts, Results, select_parts
from ita_pipeline.extraction.items import Extraction, decode_post_ref
from ita_pipeline.extraction.presets import EXTERNAL, build_stage
from ita_pipeline.runs.run import RunRecord
from ita_pipeline.sources.base import ImageSource
from ita_pipeline.sources.identify import identify
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef, PostRef
from stages.base import Failure, Stage, StageError, Subject, Value
from stages.picture_names import match_names


@dataclass(frozen=True, slots=True)
class CacheLookup:
    """Pictures by path: their keys, their results in `contexts`, and why some are `unreadable`."""

    contexts: PostContexts
    images: Mapping[Path, ImageRef]
    unreadable: Mapping[Path, str]

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that process pictures."""
        return tuple(name for name in self.contexts.keys if name != EXTERNAL)

    def image(self, post: Post) -> ImageRef | None:
        """Return the readable picture of a post, or None."""
        return self.images.get(post.picture) if post.picture else None


@dataclass(frozen=True, slots=True)
class CacheReader:
    """Reads results from the cache; adds remarks to `notes`.

    With `keys` it reads the results under these keys; without, those under the last used key of each stage that
    has any of the pictures.
    """

    store: Store
    config: ContextConfig
    notes: Notes
    keys: Mapping[str, StageKey] | None = None

    @classmethod
    def for_run(cls, record: RunRecord, store: Store, notes: Notes) -> Self:
        """Return a reader of the results that a run was trained with, as far as the cache still has them."""
        keys = {name: store.find_key(name, hexdigest) for name, hexdigest in record.stage_keys.items()}
        missing = [name for name, key in keys.items() if key is None]
        if missing:
            notes.add(f"the cache lacks results that the run was trained with: {', '.join(missing)}")
        return cls(store, record.contexts, notes, {name: key for name, key in keys.items() if key is not None})

    def look_up(
        self, sources: Mapping[Path, ImageSource], posts: Sequence[Post] = (), dataset: Sequence[Post] = ()
    ) -> CacheLookup:
        """Look up pictures, and for these posts the results on them and the contexts imported for their pictures.

        The paths in `sources` are only names if a picture is not a local file. `dataset` are all posts of the
        dataset, among which the names of pictures are unique or not.

        Raises:
            CorruptCacheError: a record is damaged.
        """
        images: dict[Path, ImageRef] = {}
        unreadable: dict[Path, str] = {}
        for path, image in zip(sources, identify(list(sources.values()), self.store.manifest), strict=True):
            if isinstance(image, ImageRef):
                images[path] = image
            else:
                unreadable[path] = image.reason
        image_keys = list(dict.fromkeys(image.key for image in images.values()))
        keys: dict[str, StageKey] = {}
        by_file: dict[Path, dict[str, Value | Failure]] = {path: {} for path in images}
        by_name: dict[str, Results] = {}
        names = {picture.name for post in (*posts, *dataset) for picture in post.pictures}
        of_posts: dict[str, Mapping[str, Record]] = {}
        for stage, key, records in self._read_records(image_keys, names):
            keys[stage.name] = key
            if stage.name == EXTERNAL:
                by_name = {name: select_parts(record.result, CONTEXTS) for name, record in records.items()}
            elif stage.subject is Subject.POST:
                of_posts[stage.name] = records
            else:
                for path, image in images.items():
                    if image.key in records:
                        by_file[path][stage.name] = records[image.key].result
        by_post = self._read_post_results(posts, of_posts, images)
        contexts = PostContexts(self.config, Extraction((), (), (), ()), keys, by_file, by_name, by_post)
        return CacheLookup(contexts, images, unreadable)

    def _read_records(
        self, images: Sequence[str], names: Iterable[str]
    ) -> Iterator[tuple[Stage[Any], StageKey, Mapping[str, Record]]]:
        """Yield each stage with its key and its records, by image key, post key or picture name."""
        used = set[str]()
        keys = [stored.key for stored in self.store.list_keys()] if self.keys is None else self.keys.values()
        for key in keys:
            stage = None if key.stage in used else self._build_stage(key.stage)
            if stage is None:
                continue
            reads_images = stage.subject is not Subject.POST and key.stage != EXTERNAL
            try:
                records = self.store.results(stage, key, images if reads_images else None)
                if key.stage == EXTERNAL:
                    records = {name: records[known] for name, known in match_names(names, records).items()}
            except CorruptCacheError:
                if key.components.get("version") == stage.version:
                    raise
                self.notes.add(f"results of another version of the stage {key.stage} are left out")
                continue
            except ValueError as error:
                self.notes.add(f"imported contexts are left out: {error}")
                continue
            if records or self.keys is not None:
                used.add(key.stage)
                yield stage, key, records

    def _read_post_results(
        self, posts: Sequence[Post], known: Mapping[str, Mapping[str, Record]], images: Mapping[Path, ImageRef]
    ) -> dict[Post, Results]:
        """Match posts with records by text and, if several have the same text, by picture."""
        keys = [key for records in known.values() for key in records]
        by_text: dict[str, list[PostRef]] = {}
        for key, noted in (self.store.manifest.find_posts(keys) if known else {}).items():
            ref = decode_post_ref(key, noted.post)
            by_text.setdefault(ref.text, []).append(ref)
        results: dict[Post, Results] = {}
        for post in posts:
            image = images.get(post.picture) if post.picture else None
            same_text = by_text.get(post.text, [])
            same_picture = [ref for ref in same_text if image and ref.image and ref.image.key == image.key]
            matches = same_picture or [ref for ref in same_text if ref.image is None]
            results[post] = {
                name: records[ref.key].result
                for name, records in known.items()
                for ref in matches
                if ref.key in records
            }
        return results

    def _build_stage(self, name: str) -> Stage[Any] | None:
        """Return a stage that can decode its records; it never runs."""
        try:
            return build_stage(name, {})
        except (UserError, StageError) as error:
            self.notes.add(f"results of the stage {name} are left out: {error}")
            return None


def picture_sources(posts: Iterable[Post]) -> dict[Path, LocalFile]:
    """Return the picture files of posts."""
    return {file: LocalFile(file) for post in posts for file in post.files}

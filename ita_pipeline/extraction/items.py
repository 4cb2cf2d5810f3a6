"""The images and posts of an extraction: identify them, plan the stages for them, and run the plan.

The key of an image is a digest of its bytes. The key of a post is a digest of all that a stage can read of it, but
never of its gold labels.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from ita_pipeline.cache.keys import digest
from ita_pipeline.cache.manifest import PostNote
from ita_pipeline.cache.plan import FailedItem, Plan, PlanOptions, make_plan
from ita_pipeline.cache.store import Store
from ita_pipeline.core.progress import NoProgress, Progress
from ita_pipeline.corpus.datasets import Dataset
from ita_pipeline.corpus.posts import Post
from ita_pipeline.engines.base import Engine, Interrupted, StageOutcome
from ita_pipeline.engines.executor import MEGABYTE, Limits
from ita_pipeline.extraction.few_shot import encode_texts, select_examples
from ita_pipeline.extraction.options import Shard
from ita_pipeline.extraction.session import SharingOutcome
from ita_pipeline.sources.base import ImageSource
from ita_pipeline.sources.identify import DownloadCache, identify
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef, ItemRef, PostRef, Unreadable
from stages.base import Example, Failure, FailureKind, Stage, Subject


@dataclass(frozen=True, slots=True)
class PostSource:
    """Posts, and the training posts that few-shot examples may be taken from.

    `origin` is where the posts come from: a post whose text has changed is recognized by its origin and id.
    Without an origin, posts are not recognized. `only` selects one post by its id, the first if several share it.
    `language` is that of the dataset's card.
    """

    posts: tuple[Post, ...]
    train: tuple[Post, ...] = ()
    origin: str = ""
    only: str | None = None
    language: str = ""

    @classmethod
    def from_dataset(cls, dataset: Dataset) -> PostSource:
        """All posts of a dataset, with those of the split `train` as training posts."""
        train, origin = dataset.splits.get("train", ()), str(dataset.folder.absolute())
        return cls(dataset.posts, train, origin, language=dataset.card.language)


def select_post_stages(stages: Sequence[Stage[Any]]) -> list[Stage[Any]]:
    """The stages that process posts, not images."""
    return [stage for stage in stages if stage.subject is Subject.POST]


@dataclass(frozen=True, slots=True)
class Extraction:
    """The result of an extraction. `others` are files without an image extension; `sharing` is the outcome for the
    shared cache, if one is set.
    """

    images: tuple[ImageRef, ...]
    others: tuple[PurePath, ...]
    unreadable: tuple[Unreadable, ...]
    stages: tuple[StageOutcome, ...]
    posts: tuple[PostRef, ...] = ()
    sharing: SharingOutcome = field(default_factory=SharingOutcome)

    @property
    def failed(self) -> tuple[FailedItem, ...]:
        """Each image, for each of its files, and each post on which a stage failed, with the first failure."""
        first: dict[str, Failure] = {}
        for stage in self.stages:
            for failed in stage.failed:
                first.setdefault(failed.item.key, failed.failure)
        images = sorted(self.images, key=lambda image: image.label)
        items: list[ItemRef] = [*images, *self.posts]
        return tuple(FailedItem(item, first[item.key]) for item in items if item.key in first)

    @property
    def notes(self) -> tuple[str, ...]:
        """Why stages stopped early, in their own words."""
        return tuple(f"{stage.key.stage}: {stage.note}" for stage in self.stages if stage.note)

    @property
    def waiting(self) -> int:
        """The number of images or posts not processed because of a limit or a budget."""
        return max((stage.waiting for stage in self.stages), default=0)

    @property
    def clean(self) -> bool:
        """Whether nothing failed."""
        return not self.failed and not self.unreadable and self.sharing.clean


@dataclass(frozen=True, slots=True)
class ExtractionPlan:
    """The images and posts of an extraction, and which of them each stage has to process and why."""

    images: tuple[ImageRef, ...]
    others: tuple[PurePath, ...]
    unreadable: tuple[Unreadable, ...]
    plan: Plan
    posts: Mapping[Post, PostRef] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Whether there is nothing to do and nothing failed."""
        return self.plan.clean and not self.unreadable


def identify_images(
    sources: Sequence[ImageSource],
    store: Store,
    limits: Limits | None = None,
    download_cache: DownloadCache | None = None,
    progress: Progress | None = None,
) -> list[ImageRef | Unreadable]:
    """The key of each image, in order; images that were fetched are kept in `download_cache`.

    Raises:
        Interrupted: `progress` asked to stop while images were fetched.
    """
    max_bytes = (limits or Limits()).megabytes * MEGABYTE
    display = progress or NoProgress()
    started = False

    def advance(count: int) -> None:
        nonlocal started
        if not started:
            started = True
            display.start("fetch", sum(source.is_remote for source in sources))
        display.advance("fetch", count)
        if display.stop_requested:
            raise Interrupted

    try:
        return list(identify(sources, store.manifest, max_bytes, download_cache, advance))
    finally:
        if started:
            display.finish()


def plan_images(
    identified: Sequence[ImageRef | Unreadable],
    stages: Sequence[Stage[Any]],
    store: Store,
    options: PlanOptions | None = None,
    source: PostSource | None = None,
    shard: Shard | None = None,
) -> ExtractionPlan:
    """Plan the stages for images, and for posts if there are any; without posts, their stages are left out.

    With a `shard`, only its images and posts are planned. The shard of a post is that of its image, if it has one.

    Raises:
        StageError: a model or tool is missing.
        CorruptCacheError: the cache was damaged.
    """
    images = tuple(image for image in identified if isinstance(image, ImageRef))
    unreadable = tuple(image for image in identified if isinstance(image, Unreadable))
    post_stages = select_post_stages(stages)
    posts: dict[Post, PostRef] = {}
    if source is None:
        stages = [stage for stage in stages if stage not in post_stages]
    elif post_stages:
        posts = make_post_refs(source, images, post_stages, store)
    if shard is not None:
        folder = os.getcwd()  # noqa: PTH109
        images = tuple(image for image in images if shard.contains(image.key))
        unreadable = tuple(each for each in unreadable if shard.contains_address(each.source.address(folder)))
        posts = {post: ref for post, ref in posts.items() if shard.contains((ref.image or ref).key)}
    if source is not None and post_stages and source.only is not None:
        paths = {file for post in posts for file in post.files}
        images = tuple(image for image in images if image.path in paths)
    plan = make_plan(stages, images, store, options, list(posts.values()))
    return ExtractionPlan(images, (), unreadable, plan, posts)


def execute_plan(plan: ExtractionPlan, store: Store, engine: Engine, progress: Progress) -> Extraction:
    """Run a plan.

    Raises:
        StageError: a model or tool is missing; earlier results are kept.
        CorruptCacheError: the cache was damaged.
        Interrupted: `progress` asked the run to stop.
    """
    outcomes = engine.run(plan.plan, store, progress)
    _forget_transient(outcomes, store)
    return Extraction(plan.images, plan.others, plan.unreadable, outcomes, tuple(plan.posts.values()))


def _forget_transient(outcomes: Sequence[StageOutcome], store: Store) -> None:
    """Let the files of transient failures be hashed again: one that was read may not be the one that is known."""
    failed = [failed for outcome in outcomes for failed in outcome.failed]
    images = [each.item.image for each in failed if each.failure.kind is FailureKind.TRANSIENT]
    folder = os.getcwd()  # noqa: PTH109
    store.manifest.forget(image.source.address(folder) for image in images if image is not None)


def make_post_refs(
    source: PostSource, images: Sequence[ImageRef], stages: Sequence[Stage[Any]], store: Store
) -> dict[Post, PostRef]:
    """A reference with a key for each post, with an image and examples only if one of the stages reads them.

    Raises:
        StageError: the encoder that measures the similarity of posts is missing.
    """
    need_images = any(stage.sees_picture for stage in stages)
    shots = max((stage.shots for stage in stages), default=0)
    by_path = {image.path: image for image in images}
    examples: dict[str, tuple[Example, ...]] = {}
    if shots:
        encode = functools.partial(encode_texts, stages[0].similarity, store.root)
        texts, language = [post.text for post in source.posts], getattr(stages[0].config, "language", "")
        examples = select_examples(texts, source.train, shots, encode, language)
    refs: dict[Post, PostRef] = {}
    for post in source.posts:
        seen = [by_path[file] for file in post.files if file in by_path] if need_images else []
        refs[post] = make_post_ref(post, seen, examples.get(post.text, ()))
    refs = _add_changes(refs, source.origin, store)
    if source.only is None:
        return refs
    return dict([(post, ref) for post, ref in refs.items() if post.id == source.only][:1])


def make_post_ref(post: Post, images: Sequence[ImageRef], examples: tuple[Example, ...]) -> PostRef:
    """A reference to a post, whose key is a digest of the text, the images and the examples.

    A stage that sees pictures sees all of them; what it reads of other stages is about the first.
    """
    image = images[0] if images else None
    parts = {"text": hashlib.sha256(post.text.encode("utf-8", "surrogatepass")).hexdigest()}
    if image is not None:
        parts["picture"] = image.key
    if len(images) > 1:
        parts["pictures"] = digest([other.key for other in images])
    if examples:
        parts["examples"] = digest([[example.text, example.answer] for example in examples])
    return PostRef(digest(parts), post.id, post.text, image, examples, parts, more=tuple(images[1:]))


def _add_changes(refs: Mapping[Post, PostRef], origin: str, store: Store) -> dict[Post, PostRef]:
    """Add to each post how it differs from the last post of the same place, and note it as the last one."""
    counts: Counter[str] = Counter()
    places: dict[Post, str] = {}
    for post, ref in refs.items():
        counts[post.id] += 1
        places[post] = f"{origin}\n{post.id}\n{counts[post.id]}" if origin else ref.key
    last_notes = store.manifest.find_posts_at(list(places.values()))
    updated: dict[Post, PostRef] = {}
    notes: list[PostNote] = []
    for post, ref in refs.items():
        last = last_notes.get(places[post])
        updated[post] = ref if last is None else _compare_with_last(ref, last)
        note = PostNote(places[post], ref.key, _encode(ref), updated[post].before, updated[post].changed)
        if note != last:
            notes.append(note)
    store.manifest.note_posts(notes)
    return updated


def _compare_with_last(ref: PostRef, last: PostNote) -> PostRef:
    if last.key == ref.key:
        return replace(ref, before=last.before, changed=last.changed)
    last_parts = json.loads(last.post)["parts"]
    changed = [name for name in {*last_parts, *ref.parts} if last_parts.get(name) != ref.parts.get(name)]
    return replace(ref, before=last.key, changed=tuple(sorted(changed)))


def _encode(ref: PostRef) -> str:
    content = {
        "id": ref.id,
        "text": ref.text,
        "picture": str(ref.image.path.absolute()) if ref.image and ref.image.path else None,
        "examples": [[example.text, example.answer] for example in ref.examples],
        "parts": dict(ref.parts),
    }
    if ref.more:
        content["more"] = [[image.key, str(image.path.absolute()) if image.path else ""] for image in ref.more]
    return json.dumps(content)


def decode_post_ref(key: str, text: str) -> PostRef:
    """A post from its note in the manifest. The image's file may no longer exist."""
    content = json.loads(text)
    parts = content["parts"]
    image = ImageRef(parts["picture"], LocalFile(Path(content["picture"]))) if content["picture"] else None
    examples = tuple(Example(*pair) for pair in content["examples"])
    more = tuple(ImageRef(image_key, LocalFile(Path(path))) for image_key, path in content.get("more", []))
    return PostRef(key, content["id"], content["text"], image, examples, parts, more=more)

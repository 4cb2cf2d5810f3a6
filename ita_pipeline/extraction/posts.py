"""Posts for the planner: each gets a key of all that a stage can read of it, but never of its gold labels."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ita_pipeline.cache.keys import digest
from ita_pipeline.cache.manifest import PostNote
from ita_pipeline.cache.store import Store
from ita_pipeline.corpus.datasets import Dataset
from ita_pipeline.corpus.posts import Post
from ita_pipeline.extraction.few_shot import ExampleSelector
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef, PostRef
from stages.base import Example, Stage, Subject


@dataclass(frozen=True, slots=True)
class PostSource:
    """Posts, and the training posts that few-shot examples may be taken from.

    `origin` is where the posts come from: a post whose text has changed is recognized by its origin and id.
    Without an origin, posts are not recognized. `only` selects one post by its id, the first if several share it.
    """

    posts: tuple[Post, ...]
    train: tuple[Post, ...] = ()
    origin: str = ""
    only: str | None = None

    @classmethod
    def from_dataset(cls, dataset: Dataset) -> PostSource:
        """All posts of a dataset, with those of the split `train` as training posts."""
        return cls(dataset.posts, dataset.splits.get("train", ()), str(dataset.folder.absolute()))


def select_post_stages(stages: Sequence[Stage[Any]]) -> list[Stage[Any]]:
    """The stages that process posts, not images."""
    return [stage for stage in stages if stage.subject is Subject.POST]


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
        selector = ExampleSelector(source.train, stages[0].similarity, store.root)
        examples = selector.select([post.text for post in source.posts], shots)
    refs: dict[Post, PostRef] = {}
    for post in source.posts:
        image = by_path.get(post.picture) if need_images and post.picture is not None else None
        refs[post] = make_post_ref(post, image, examples.get(post.text, ()))
    refs = _add_changes(refs, source.origin, store)
    if source.only is None:
        return refs
    return dict([(post, ref) for post, ref in refs.items() if post.id == source.only][:1])


def make_post_ref(post: Post, image: ImageRef | None, examples: tuple[Example, ...]) -> PostRef:
    """A reference to a post, whose key is a digest of the text, the image and the examples."""
    parts = {"text": hashlib.sha256(post.text.encode("utf-8", "surrogatepass")).hexdigest()}
    if image is not None:
        parts["picture"] = image.key
    if examples:
        parts["examples"] = digest([[example.text, example.answer] for example in examples])
    return PostRef(digest(parts), post.id, post.text, image, examples, parts)


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
    return json.dumps(content)


def decode_post_ref(key: str, text: str) -> PostRef:
    """A post from its note in the manifest. The image's file may no longer exist."""
    content = json.loads(text)
    parts = content["parts"]
    image = ImageRef(parts["picture"], LocalFile(Path(content["picture"]))) if content["picture"] else None
    examples = tuple(Example(*pair) for pair in content["examples"])
    return PostRef(key, content["id"], content["text"], image, examples, parts)

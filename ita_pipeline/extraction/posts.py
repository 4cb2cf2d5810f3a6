"""Posts as the planner knows them: by a key of all that a stage gets to see of each, gold labels never among it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ita_pipeline.cache.keys import digest
from ita_pipeline.cache.manifest import Noted
from ita_pipeline.cache.store import Store
from ita_pipeline.corpus.posts import Post
from ita_pipeline.extraction.few_shot import ExampleSelector
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef, PostRef
from stages.base import Example, Stage, Subject


@dataclass(frozen=True, slots=True)
class PostSource:
    """Posts to look at; `train` are those that examples may be taken from, and no others.

    `origin` says where they are from, so that a post is known again whose text has changed; without it they are
    not remembered. With `only` a single one is wanted, by its id, the first where several have it.
    """

    posts: tuple[Post, ...]
    train: tuple[Post, ...] = ()
    origin: str = ""
    only: str | None = None


def of_posts(stages: Sequence[Stage[Any]]) -> list[Stage[Any]]:
    return [stage for stage in stages if stage.subject is Subject.POST]


def make_post_refs(
    source: PostSource, images: Sequence[ImageRef], stages: Sequence[Stage[Any]], store: Store
) -> dict[Post, PostRef]:
    """Each post with its key; of pictures and examples only as much as these stages want.

    Raises:
        StageError: the encoder that says which posts are alike is missing.
    """
    pictured = any(stage.sees_picture for stage in stages)
    shots = max((stage.shots for stage in stages), default=0)
    by_path = {image.path: image for image in images}
    chooser = ExampleSelector(source.train, stages[0].similarity, store.root) if shots else None
    examples = chooser.choose([post.text for post in source.posts], shots) if chooser else {}
    found: dict[Post, PostRef] = {}
    for post in source.posts:
        image = by_path.get(post.picture) if pictured and post.picture is not None else None
        found[post] = as_item(post, image, examples.get(post.text, ()))
    items = remembered(found, source.origin, store)
    if source.only is None:
        return items
    return dict([(post, item) for post, item in items.items() if post.id == source.only][:1])


def as_item(post: Post, image: ImageRef | None, examples: tuple[Example, ...]) -> PostRef:
    parts = {"text": hashlib.sha256(post.text.encode("utf-8", "surrogatepass")).hexdigest()}
    if image is not None:
        parts["picture"] = image.key
    if examples:
        parts["examples"] = digest([[one.text, one.answer] for one in examples])
    return PostRef(digest(parts), post.id, post.text, image, examples, parts)


def remembered(items: Mapping[Post, PostRef], origin: str, store: Store) -> dict[Post, PostRef]:
    """The posts with what stood in their places before; and from now on they are what stands there."""
    times: dict[str, int] = {}
    places: dict[Post, str] = {}
    for post in items:
        times[post.id] = times.get(post.id, 0) + 1
        places[post] = f"{origin}\n{post.id}\n{times[post.id]}" if origin else items[post].key
    known = store.manifest.noted(list(places.values()))
    found: dict[Post, PostRef] = {}
    notes: list[Noted] = []
    for post, item in items.items():
        before = known.get(places[post])
        if before is None:
            found[post] = item
        elif before.key == item.key:
            found[post] = replace(item, before=before.before, changed=before.changed)
        else:
            was = json.loads(before.post)["parts"]
            changed = tuple(sorted(name for name in {*was, *item.parts} if was.get(name) != item.parts.get(name)))
            found[post] = replace(item, before=before.key, changed=changed)
        note = Noted(places[post], item.key, as_json(item), found[post].before, found[post].changed)
        if note != before:
            notes.append(note)
    store.manifest.note(notes)
    return found


def as_json(item: PostRef) -> str:
    content = {
        "id": item.id,
        "text": item.text,
        "picture": str(item.image.path.absolute()) if item.image and item.image.path else None,
        "examples": [[one.text, one.answer] for one in item.examples],
        "parts": dict(item.parts),
    }
    return json.dumps(content)


def from_json(key: str, text: str) -> PostRef:
    """A post as it was noted; its picture may have gone since."""
    content = json.loads(text)
    parts = content["parts"]
    image = ImageRef(parts["picture"], LocalFile(Path(content["picture"]))) if content["picture"] else None
    examples = tuple(Example(*pair) for pair in content["examples"])
    return PostRef(key, content["id"], content["text"], image, examples, parts)

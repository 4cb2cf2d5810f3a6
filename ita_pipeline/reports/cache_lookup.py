"""What the cache knows of pictures, without running anything: no model and no tool has to be there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ita_pipeline.cache.inventory import list_keys
from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.records import Record
from ita_pipeline.cache.store import Store
from ita_pipeline.core.errors import CorruptCacheError, UserError
from ita_pipeline.core.notes import Notes
from ita_pipeline.corpus.contexts import CONTEXTS, ContextConfig
from ita_pipeline.corpus.posts import Post
from ita_pipeline.extraction.contexts import PostContexts, Results, parts_of
from ita_pipeline.extraction.pictures import Extraction
from ita_pipeline.extraction.posts import decode_post_ref
from ita_pipeline.extraction.presets import build_stage
from ita_pipeline.reports.gallery import Seen
from ita_pipeline.sources.base import ImageSource
from ita_pipeline.sources.identify import identify
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef, PostRef
from stages.base import Stage, StageError, Subject

EXTERNAL = "external"

Found = Mapping[str, tuple[StageKey, Mapping[str, Record]]]


def look_up(
    paths: Iterable[Path],
    ids: Sequence[str],
    config: ContextConfig,
    store: Store,
    keys: Mapping[str, StageKey] | None,
    notes: Notes,
    posts: Sequence[Post] = (),
    places: Mapping[Path, ImageSource] | None = None,
) -> Seen:
    """What stages said of these pictures and posts, and files of captions of pictures with these ids.

    `places` says where pictures lie that are no files here; their paths are then only names. With `keys` it is
    what they said under those; without, under the key that each used last and that knows any of these pictures.

    Raises:
        CorruptCacheError: a record was damaged after it had been written.
    """
    images: dict[Path, ImageRef] = {}
    unreadable: dict[Path, str] = {}
    there = list(dict.fromkeys(paths))
    elsewhere = places or {}
    where = [elsewhere.get(path) or LocalFile(path) for path in there]
    for path, found in zip(there, identify(where, store.manifest), strict=True):
        if isinstance(found, ImageRef):
            images[path] = found
        else:
            unreadable[path] = found.reason
    wanted = list(dict.fromkeys(image.key for image in images.values()))
    known = find_records(wanted, ids, store, keys, notes)
    imported = known[EXTERNAL][1] if EXTERNAL in known else {}
    of_posts = {name: records for name, (_, records) in known.items() if is_of_posts(name, notes)}
    computed = {name: r for name, (_, r) in known.items() if name != EXTERNAL and name not in of_posts}
    by_file: dict[Path, Results] = {
        path: {name: records[image.key].result for name, records in computed.items() if image.key in records}
        for path, image in images.items()
    }
    by_id: dict[str, Results] = {name: parts_of(record.result, CONTEXTS) for name, record in imported.items()}
    used = {name: key for name, (key, _) in known.items()}
    by_post = said_of(posts, of_posts, images, store)
    contexts = PostContexts(config, Extraction((), (), (), ()), used, by_file, by_id, by_post)
    return Seen(contexts, images, unreadable)


def said_of(
    posts: Sequence[Post],
    found: Mapping[str, Mapping[str, Record]],
    images: Mapping[Path, ImageRef],
    store: Store,
) -> dict[Post, Results]:
    """What was said of posts by their text and, where several have it, by their picture."""
    noted = store.manifest.find_posts([key for records in found.values() for key in records]) if found else {}
    items = [decode_post_ref(key, note.post) for key, note in noted.items()]
    by_text: dict[str, list[PostRef]] = {}
    for item in items:
        by_text.setdefault(item.text, []).append(item)
    said: dict[Post, Results] = {}
    for post in posts:
        image = images.get(post.picture) if post.picture else None
        same = by_text.get(post.text, [])
        own = [
            item for item in same if image is not None and item.image is not None and item.image.key == image.key
        ]
        keys = [item.key for item in own or [item for item in same if item.image is None]]
        said[post] = {n: records[key].result for n, records in found.items() for key in keys if key in records}
    return said


def is_of_posts(name: str, notes: Notes) -> bool:
    stage = reader_of(name, notes)
    return stage is not None and stage.subject is Subject.POST


def find_records(
    images: Sequence[str], ids: Sequence[str], store: Store, keys: Mapping[str, StageKey] | None, notes: Notes
) -> Found:
    found: dict[str, tuple[StageKey, Mapping[str, Record]]] = {}
    for key in [holding.key for holding in list_keys(store)] if keys is None else keys.values():
        stage = None if key.stage in found else reader_of(key.stage, notes)
        if stage is None:
            continue
        try:
            wanted = list(ids) if key.stage == EXTERNAL else list(images)
            records = store.results(stage, key, None if stage.subject is Subject.POST else wanted)
        except CorruptCacheError:
            if key.components.get("version") == stage.version:
                raise
            notes.add(f"what the stage {key.stage} said is of another version of it, and is left out")
            continue
        if records or keys is not None:
            found[key.stage] = (key, records)
    return found


def reader_of(name: str, notes: Notes) -> Stage[Any] | None:
    """A stage that can read its own records; it will never run."""
    try:
        return build_stage(name, {})
    except (UserError, StageError) as error:
        notes.add(f"what the stage {name} said is left out: {error}")
        return None


def keys_of(stage_keys: Mapping[str, str], store: Store, notes: Notes) -> dict[str, StageKey]:
    """The keys that a run was trained with, as far as the cache still has them."""
    found = {name: store.find_key(name, hexdigest) for name, hexdigest in stage_keys.items()}
    gone = [name for name, key in found.items() if key is None]
    if gone:
        notes.add(f"the cache here does not have what the run read of {', '.join(gone)}")
    return {name: key for name, key in found.items() if key is not None}

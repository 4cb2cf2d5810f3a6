"""What the cache knows of pictures, without running anything: no model and no tool has to be there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.maintenance import holdings
from ita_pipeline.cache.segments import Record
from ita_pipeline.cache.store import Store
from ita_pipeline.corpus.contexts import CONTEXTS, ContextConfig
from ita_pipeline.errors import CorruptCacheError, UserError
from ita_pipeline.extraction import Extraction
from ita_pipeline.images import ImageRef, identify
from ita_pipeline.picture_contexts import PictureContexts, Results, parts_of
from ita_pipeline.presets import build
from ita_pipeline.report.gallery import Seen
from stages.base import Stage, StageError

EXTERNAL = "external"
Found = Mapping[str, tuple[StageKey, Mapping[str, Record]]]
Say = Callable[[str], None]


def look_up(
    paths: Iterable[Path],
    ids: Sequence[str],
    config: ContextConfig,
    store: Store,
    keys: Mapping[str, StageKey] | None,
    say: Say,
) -> Seen:
    """What stages said of these pictures, and files of captions of pictures with these ids.

    With `keys` it is what they said under those; without, under the key that each used last and that knows any of
    these pictures.

    Raises:
        CorruptCacheError: a record was damaged after it had been written.
    """
    images: dict[Path, ImageRef] = {}
    unreadable: dict[Path, str] = {}
    for found in identify(list(dict.fromkeys(paths)), store.manifest):
        if isinstance(found, ImageRef):
            images[found.path] = found
        else:
            unreadable[found.path] = found.reason
    wanted = list(dict.fromkeys(image.key for image in images.values()))
    known = find_records(wanted, ids, store, keys, say)
    imported = known[EXTERNAL][1] if EXTERNAL in known else {}
    computed = {name: records for name, (_, records) in known.items() if name != EXTERNAL}
    by_file: dict[Path, Results] = {
        path: {name: records[image.key].result for name, records in computed.items() if image.key in records}
        for path, image in images.items()
    }
    by_id: dict[str, Results] = {name: parts_of(record.result, CONTEXTS) for name, record in imported.items()}
    used = {name: key for name, (key, _) in known.items()}
    return Seen(PictureContexts(config, Extraction((), (), (), ()), used, by_file, by_id), images, unreadable)


def find_records(
    images: Sequence[str], ids: Sequence[str], store: Store, keys: Mapping[str, StageKey] | None, say: Say
) -> Found:
    found: dict[str, tuple[StageKey, Mapping[str, Record]]] = {}
    for key in [holding.key for holding in holdings(store)] if keys is None else keys.values():
        stage = None if key.stage in found else reader_of(key.stage, say)
        if stage is None:
            continue
        try:
            records = store.results(stage, key, list(ids) if key.stage == EXTERNAL else list(images))
        except CorruptCacheError:
            if key.components.get("version") == stage.version:
                raise
            say(f"what the stage {key.stage} said is of another version of it, and is left out")
            continue
        if records or keys is not None:
            found[key.stage] = (key, records)
    return found


def reader_of(name: str, say: Say) -> Stage[Any] | None:
    """A stage that can read its own records; it will never run."""
    try:
        return build(name, {})
    except (UserError, StageError) as error:
        say(f"what the stage {name} said is left out: {error}")
        return None


def keys_of(stage_keys: Mapping[str, str], store: Store, say: Say) -> dict[str, StageKey]:
    """The keys that a run was trained with, as far as the cache still has them."""
    found = {name: store.described(name, hexdigest) for name, hexdigest in stage_keys.items()}
    gone = [name for name, key in found.items() if key is None]
    if gone:
        say(f"the cache here does not have what the run read of {', '.join(gone)}")
    return {name: key for name, key in found.items() if key is not None}

"""The Python API of `ita cache`: show, verify, clean up, share and export cached records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ita_pipeline.api.extract import build_chosen_stages
from ita_pipeline.cache import cleanup, compaction
from ita_pipeline.cache.cleanup import Removal
from ita_pipeline.cache.compaction import Compacted
from ita_pipeline.cache.index import Damage as Damage
from ita_pipeline.cache.keys import KEY_FILE, StageKey, read_key, stage_keys
from ita_pipeline.cache.shared.store import SharedCache
from ita_pipeline.cache.shared.sync import KeyTransfer, Transfer, open_mirror, pull_all, push
from ita_pipeline.cache.store import KeyUsage, Store, Workspace
from ita_pipeline.cache.validate import Verification, verify_segments
from ita_pipeline.core.config_layers import merge_options, read_layers
from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.core.progress import NoProgress, Progress, activity
from ita_pipeline.core.text import clean_path
from ita_pipeline.core.trust import place_of
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.extraction.options import Consent, Options
from ita_pipeline.extraction.presets import load_installed_stages
from ita_pipeline.extraction.recompute import Agreement, Recomputation
from ita_pipeline.extraction.recompute import recompute as recompute_images
from ita_pipeline.extraction.session import format_damage

if TYPE_CHECKING:
    from ita_pipeline.cache.parquet import ExportedFile


def list_keys(shared: SharedCache | None = None, workspace: Path = Path()) -> list[KeyUsage]:
    """Return the keys in a workspace's cache, or in a shared one, with the number and size of their records.

    Raises:
        UserError: the shared cache does not exist, does not respond or cannot be read.
    """
    with _open_cache(shared, workspace) as cache:
        return cache.list_keys()


def verify(shared: SharedCache | None = None, workspace: Path = Path()) -> Verification:
    """Compare every record of a workspace's cache, or of a shared one, with its checksum.

    Raises:
        UserError: as for `list_keys`.
    """
    if shared is None:
        with activity("verifying the records"):
            return verify_segments(Workspace(workspace).store.list_segments())
    with shared.as_user_errors(), activity("verifying the records"):
        return verify_segments(shared.fetch_segments(_work_folder(workspace)))


def compact(
    shared: SharedCache | None = None, workspace: Path = Path(), drop_damaged: bool = False
) -> Iterator[tuple[str, Compacted]]:
    """Merge the small segments of each key, drop replaced records, and yield each folder that changed.

    Raises:
        UserError: as for `list_keys`, or the shared cache cannot be written to.
    """
    if shared is None:
        for compacted in compaction.compact(Workspace(workspace).store, drop_damaged):
            yield str(compacted.folder), compacted
        return
    with shared.as_user_errors():
        yield from compaction.compact_shared(shared, _work_folder(workspace), drop_damaged)


def plan_cleanup(
    shared: SharedCache | None = None,
    workspace: Path = Path(),
    keep: int | None = None,
    max_bytes: int | None = None,
) -> Removal:
    """Choose the keys to remove so that `keep` keys of each stage, or at most `max_bytes`, remain.

    Raises:
        UserError: as for `list_keys`.
    """
    with _open_cache(shared, workspace) as cache:
        return cleanup.plan_cleanup(cache, keep, max_bytes)


def remove_keys(removal: Removal, shared: SharedCache | None = None, workspace: Path = Path()) -> list[KeyUsage]:
    """Remove the keys that `plan_cleanup` chose, except those in use, and return the removed keys.

    Raises:
        UserError: as for `compact`.
    """
    with _open_cache(shared, workspace) as cache:
        return list(cleanup.remove(cache, removal))


@contextmanager
def _open_cache(shared: SharedCache | None, workspace: Path) -> Iterator[Store | SharedCache]:
    """Yield the shared cache, with its errors turned into those that users can fix, or the store of a workspace."""
    if shared is None:
        yield Workspace(workspace).store
        return
    with shared.as_user_errors():
        yield shared


def _work_folder(workspace: Path) -> Path:
    """Create the folder for temporary copies of shared objects, and return it."""
    folder = Workspace(workspace).store.root
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def usage_to_json(usage: KeyUsage, current: set[str]) -> dict[str, Any]:
    """Return the entry of a key in `ita cache ls --json`; `current` are the digests of the current keys."""
    return {
        "stage": usage.key.stage,
        "key": usage.key.hexdigest,
        "current": usage.key.hexdigest in current,
        "components": usage.key.components,
        "values": usage.values,
        "failures": usage.failures,
        "segments": usage.segments,
        "bytes": usage.size,
        "last_used": datetime.fromtimestamp(usage.used).astimezone().isoformat(timespec="seconds"),
    }


def damaged_lines(moved: Transfer) -> list[str]:
    """Describe the damaged records that a transfer skipped."""
    return [format_damage(*damage) for damage in moved.damaged]


def verification_to_json(checked: Verification, recomputations: Sequence[Recomputation]) -> dict[str, Any]:
    """Return the content of `ita cache verify --json`."""
    damaged = [
        {"segment": clean_path(damage.segment), "line": damage.line, "image": damage.image}
        for damage in checked.damage
    ]
    recomputed = [
        {
            "stage": recomputation.key.stage,
            "key": recomputation.key.hexdigest,
            **{kind.value: recomputation.count(kind) for kind in Agreement},
            "lost": recomputation.lost,
            "differing": [clean_path(path) for path in recomputation.different],
        }
        for recomputation in recomputations
    ]
    return {
        "schema": "ita.verify/1",
        "segments": checked.segments,
        "lines": checked.lines,
        "damaged": damaged,
        "torn": checked.torn,
        "recomputed": recomputed,
    }


def current_keys(options: Options | None = None) -> dict[str, StageKey]:
    """Return the key that each stage would use now.

    Raises:
        UserError: a setting is unknown.
        StageError: a model or tool that a stage needs is missing.
    """
    return stage_keys(build_chosen_stages(options or Options()))


def recompute(
    count: int, options: Options | None = None, seed: int = 0, progress: Progress | None = None
) -> Sequence[Recomputation]:
    """Recompute `count` random cached pictures of each stage and compare the results, without writing to the cache.

    Raises:
        UserError: a setting is unknown, or the cache is damaged.
        StageError: a model or tool that a stage needs is missing.
    """
    options = options or Options()
    stages = build_chosen_stages(options)
    consent = Consent.of(options)
    for stage in stages:
        consent.require(stage, f"up to {count}")
    store = Workspace(options.workspace).store
    with SubprocessExecutor(options.limits) as executor:
        return list(recompute_images(stages, store, executor, progress or NoProgress(), count, seed))


def shared_cache(url: str = "", is_new: bool = False) -> SharedCache:
    """Open the shared cache at this URL, or else the one that `ita.yaml` or the environment sets.

    Unless it `is_new`, a shared cache in a folder must exist.

    Raises:
        UsageError: no shared cache is set, or only by an `ita.yaml` that names a place which the user does not
            trust, or its file system is unknown.
        MissingError: the folder does not exist, or a package that the file system needs is not installed.
    """
    layers = [] if url else read_layers()
    address = url or merge_options(layers).get("shared", "")
    for layer in layers:
        if not address and "shared" in layer.withheld:
            raise UsageError(*layer.withheld["shared"])
    if not address:
        hint = "give its URL, such as s3://bucket/ita-cache, or set it with shared: URL in ita.yaml, or ITA_SHARED"
        raise UsageError("no shared cache is set", hint)
    shared = SharedCache(address)
    folder = Path(place_of(shared.url)) if shared.url.startswith("file:") else None
    if folder is not None and not is_new and not folder.is_dir():
        raise MissingError(f"there is no shared cache {folder}", f"ita cache push {folder} creates one")
    return shared


def push_cache(url: str = "", workspace: Path = Path(), stages: Sequence[str] = ()) -> Iterator[KeyTransfer]:
    """Upload the records that a shared cache does not have, key by key.

    Raises:
        UserError: the shared cache does not exist, does not respond or cannot be written to.
    """
    shared, store = shared_cache(url, is_new=True), Workspace(workspace).store
    with shared.as_user_errors():
        for folder in store.list_folders():
            key = read_key(folder / KEY_FILE)
            if key is not None and (not stages or key.stage in stages):
                transfer = push(store, shared, key)
                if transfer.is_crowded:
                    compaction.merge_small_objects(shared, key, store.root)
                yield KeyTransfer(key, transfer)


def pull_cache(url: str = "", workspace: Path = Path(), stages: Sequence[str] = ()) -> Iterator[KeyTransfer]:
    """Download the records that a workspace's cache does not have, key by key; damaged records are skipped.

    Raises:
        UserError: the shared cache does not exist, does not respond or cannot be read.
    """
    shared, store = shared_cache(url), Workspace(workspace).store
    with shared.as_user_errors():
        yield from pull_all(store, shared, load_installed_stages(), stages)


def export_parquet(
    folder: Path | str, shared: SharedCache | None = None, workspace: Path = Path(), stages: Sequence[str] = ()
) -> tuple[list[ExportedFile], list[tuple[StageKey, str]]]:
    """Write all records of a workspace's cache, or of a shared one, to one Parquet file per stage.

    Returns the files, and the skipped keys, each with the reason.

    Raises:
        UserError: as for `pull_cache`, a file exists already, or there is nothing to export.
        CorruptCacheError: a record is damaged.
    """
    from ita_pipeline.cache import parquet

    store, installed = Workspace(workspace).store, load_installed_stages()
    if shared is None:
        return parquet.export(store, Path(folder), installed, stages)
    with shared.as_user_errors(), open_mirror(shared, store.root, installed, stages) as mirror:
        return parquet.export(mirror, Path(folder), installed, stages)

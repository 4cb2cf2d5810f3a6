"""Cache maintenance that needs the installed stages: current keys, recomputation, and transfer and export."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ita_pipeline.cache.export import parquet
from ita_pipeline.cache.export.parquet import ExportedFile
from ita_pipeline.cache.keys import StageKey, stage_keys
from ita_pipeline.cache.shared.maintenance import PulledKey, merge_small_segments, open_mirror, pull_all
from ita_pipeline.cache.shared.store import SharedCache
from ita_pipeline.cache.shared.sync import Transfer, push
from ita_pipeline.cache.store import Store, read_key
from ita_pipeline.cache.workspace import Workspace
from ita_pipeline.core.config_layers import merge_options, read_layers
from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.progress import NoProgress, Progress
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.extraction.consent import require_consent
from ita_pipeline.extraction.options import Options, resolve_preset
from ita_pipeline.extraction.presets import build_stages, load_installed_stages
from ita_pipeline.extraction.recompute import Recomputation
from ita_pipeline.extraction.recompute import recompute as do_again

logger = logging.getLogger(__name__)


def current_keys(options: Options | None = None) -> dict[str, StageKey]:
    """Compute the key under which `extract` would now store the results of each stage.

    Raises:
        UserError: a setting is unknown.
        StageError: a model or tool that a stage needs is missing.
    """
    options = options or Options()
    choice = resolve_preset(options)
    logger.info(choice.why)
    return stage_keys(build_stages(choice.preset, options.stages))


def recompute(
    count: int, options: Options | None = None, seed: int = 0, progress: Progress | None = None
) -> Sequence[Recomputation]:
    """Process `count` random cached pictures of each stage again, and compare the results.

    Nothing is written: this measures how far a stage gives the same for the same picture on this machine.

    Raises:
        UserError: a setting is unknown, or the cache is damaged.
        StageError: a model or tool that a stage needs is missing.
    """
    options = options or Options()
    choice = resolve_preset(options)
    logger.info(choice.why)
    stages = build_stages(choice.preset, options.stages)
    for stage in stages:
        require_consent(stage, f"up to {count}", options.consent, options.confirm)
    with SubprocessExecutor(options.limits) as executor:
        return list(
            do_again(stages, Workspace(options.workspace).store, executor, progress or NoProgress(), count, seed)
        )


def shared_cache(url: str = "") -> SharedCache:
    """Open the shared cache at an address, or the one that `ita.yaml` or the environment sets.

    Raises:
        UsageError: none is set, or there is no such file system.
        MissingError: a library that its file system needs is not installed.
    """
    address = url or merge_options(read_layers()).get("shared", "")
    if not address:
        hint = "give its URL, as s3://bucket/ita-cache, or set it: shared: URL in ita.yaml, or ITA_SHARED"
        raise UsageError("no shared cache is set", hint)
    return SharedCache(address)


def push_cache(
    url: str = "", workspace: Path = Path(), stages: Sequence[str] = ()
) -> Iterator[tuple[StageKey, Transfer]]:
    """Put the segments of a workspace that a shared cache lacks, key by key.

    Raises:
        UserError: the shared cache is not there, does not answer, or may not be written.
    """
    shared, store = shared_cache(url), Workspace(workspace).store
    with shared.as_user_errors():
        for file in store.key_files():
            key = read_key(file)
            if key is not None and (not stages or key.stage in stages):
                transfer = push(store, shared, key)
                if transfer.is_crowded:
                    merge_small_segments(shared, key, store.root)
                yield key, transfer


def pull_cache(url: str = "", workspace: Path = Path(), stages: Sequence[str] = ()) -> Iterator[PulledKey]:
    """Fetch the segments of a shared cache that a workspace lacks, key by key, except damaged ones.

    Raises:
        UserError: the shared cache is not there, does not answer, or may not be read.
    """
    shared, store = shared_cache(url), Workspace(workspace).store
    with shared.as_user_errors():
        yield from pull_all(store, shared, load_installed_stages(), stages)


@contextmanager
def _open_store(shared: SharedCache | None, workspace: Path, stages: Sequence[str]) -> Iterator[Store]:
    """Open the store of a workspace, or a temporary one with the records of a shared cache."""
    store = Workspace(workspace).store
    if shared is None:
        yield store
        return
    with shared.as_user_errors(), open_mirror(shared, store.root, load_installed_stages(), stages) as mirror:
        yield mirror


def export_parquet(
    folder: Path | str, shared: SharedCache | None = None, workspace: Path = Path(), stages: Sequence[str] = ()
) -> tuple[list[ExportedFile], list[tuple[StageKey, str]]]:
    """Write all records of a workspace's cache, or of a shared one, to Parquet files, one per stage.

    Returns:
        The files, and the keys that were left out, each with the reason.

    Raises:
        UserError: as `pull_cache`; or a file exists, or there is nothing to export.
        CorruptCacheError: a record is damaged.
    """
    with _open_store(shared, workspace, stages) as store:
        return parquet.export(store, Path(folder), load_installed_stages(), stages)

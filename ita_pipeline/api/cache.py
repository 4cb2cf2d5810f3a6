"""What looking after the cache must know of stages: which keys are wanted now, what their values look like."""

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
from ita_pipeline.cache.store import KEY_FILE, Store, read_key
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
    """The key of each stage that `extract` would work under now.

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
    """Do `count` pictures of each stage again, chosen at random from those that are cached, and compare.

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
    """A shared cache by its address, or the one that `ita.yaml` or the environment sets.

    Raises:
        UsageError: none is set, or there is no such file system.
        MissingError: what its file system takes is not installed.
    """
    found = url or merge_options(read_layers()).get("shared", "")
    if not found:
        hint = "give its URL, as s3://bucket/ita-cache, or set it: shared: URL in ita.yaml, or ITA_SHARED"
        raise UsageError("no shared cache is set", hint)
    return SharedCache(found)


def push_cache(
    url: str = "", workspace: Path = Path(), stages: Sequence[str] = ()
) -> Iterator[tuple[StageKey, Transfer]]:
    """Put what of a workspace's cache is not in a shared one, key by key.

    Raises:
        UserError: it is not there, does not answer, or may not be written.
    """
    shared, store = shared_cache(url), Workspace(workspace).store
    with shared.as_user_errors():
        for file in sorted((store.root / "cache").glob(f"*/*/{KEY_FILE}")):
            key = read_key(file)
            if key is not None and (not stages or key.stage in stages):
                moved = push(store, shared, key)
                if moved.is_crowded:
                    merge_small_segments(shared, key, store.root)
                yield key, moved


def pull_cache(url: str = "", workspace: Path = Path(), stages: Sequence[str] = ()) -> Iterator[PulledKey]:
    """Fetch what of a shared cache is not in a workspace's, key by key; what is damaged stays there.

    Raises:
        UserError: it is not there, does not answer, or may not be read.
    """
    shared, store = shared_cache(url), Workspace(workspace).store
    with shared.as_user_errors():
        yield from pull_all(store, shared, load_installed_stages(), stages)


@contextmanager
def records_of(shared: SharedCache | None, workspace: Path, stages: Sequence[str]) -> Iterator[Store]:
    """The store of a workspace, or what a shared cache holds, which comes through this machine's disk."""
    here = Workspace(workspace).store
    if shared is None:
        yield here
        return
    with shared.as_user_errors(), open_mirror(shared, here.root, load_installed_stages(), stages) as store:
        yield store


def export_parquet(
    folder: Path | str, shared: SharedCache | None = None, workspace: Path = Path(), stages: Sequence[str] = ()
) -> tuple[list[ExportedFile], list[tuple[StageKey, str]]]:
    """Write all records of a workspace's cache, or of a shared one, to Parquet files, one a stage. Told are the
    files, and the keys left out, each with the reason.

    Raises:
        UserError: as `pull_cache`; or a file exists, or there is nothing to export.
        CorruptCacheError: a record is damaged.
    """
    with records_of(shared, workspace, stages) as store:
        return parquet.export(store, Path(folder), load_installed_stages(), stages)

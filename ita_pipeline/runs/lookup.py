"""Which run a target means: one rule for every command and function that takes a run.

A target is a run's folder or an exported model, `<dataset>/<key>`, a name given with `ita runs name`, a dataset,
`<dataset>@best`, `<dataset>@latest`, or the first characters of a key.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ita_pipeline.cache.keys import SHORT_KEY_LENGTH
from ita_pipeline.core.errors import MissingError, UsageError, UserError, nearest
from ita_pipeline.runs.names import find_named_run, read_names
from ita_pipeline.runs.run import Run

logger = logging.getLogger(__name__)

BEST, LATEST = "best", "latest"

MIN_PREFIX = 4


def find_run(target: str | Path, runs: Path) -> Run:
    """Find the complete run that a target means.

    Raises:
        MissingError: no run matches.
        UsageError: several runs match.
    """
    run = look_up_run(target, runs)
    if run is not None:
        return run
    exists = any(finished_runs(folder) for folder in runs.glob("*"))
    general = "ita runs lists the existing runs" if exists else "ita train --dataset FOLDER, or --workspace FOLDER"
    hint = nearest_run(target, runs) or general
    raise MissingError(f"there is no run {target}", hint)


def look_up_run(target: str | Path, runs: Path) -> Run | None:
    """Find the complete run that a target means, or None if no run matches.

    Raises:
        MissingError: the run is unfinished, or has a name but does not exist any more.
        UsageError: several runs match.
    """
    return next((run for find in LOOKUPS if (run := find(str(target), runs)) is not None), None)


def finished_runs(folder: Path) -> list[Run]:
    """Return a dataset's complete runs; folders with a leading dot are unfinished."""
    files = sorted(folder.glob("*/scores.json"))
    return [Run(file.parent) for file in files if not file.parent.name.startswith(".")]


def last_run(runs: Path, dataset: str) -> Run | None:
    """Return the most recently finished run of a dataset."""
    return max(finished_runs(runs / dataset), key=_finished_at, default=None)


def best_run(candidates: Sequence[Run]) -> Run:
    """Return the run with the highest dev F1 in the view I+T; of equal runs, the one finished last.

    F1 on other posts says nothing, so that only runs with the dev posts of the latest run are compared.
    """
    ranked = sorted(candidates, key=_finished_at)
    dev = {run.folder: _dev_score(run) for run in ranked}
    readable = [run for run in ranked if dev[run.folder] is not None] or ranked
    posts = (dev[readable[-1].folder] or ("", 0.0))[0]
    comparable = [run for run in readable if (dev[run.folder] or ("", 0.0))[0] == posts]
    return max(reversed(comparable), key=lambda run: (dev[run.folder] or ("", 0.0))[1])


def _dev_score(run: Run) -> tuple[str, float] | None:
    """Return the digest of a run's dev posts and its F1 on them, or None if its files cannot be read."""
    try:
        sentences, scores = run.record().components.get("sentences", {}), run.scores().splits.get("dev")
    except UserError:
        return None
    return str(sentences.get("dev", "")), scores.text_and_image.micro.f1 if scores else 0.0


def _finished_at(run: Run) -> float:
    return run.scores_file.stat().st_mtime


def _find_by_path(target: str, runs: Path) -> Run | None:
    for folder in (Path(target), runs / target):
        if (folder / "run.json").is_file():
            run = Run(folder)
            if not run.is_complete:
                raise MissingError(f"the run {folder} was never finished", "train it again")
            return run
    return None


def _find_by_dataset(target: str, runs: Path) -> Run | None:
    """Find a dataset's run: the only one, the best one, or the one that `@best` or `@latest` selects."""
    name = _inside(target, runs)
    members = finished_runs(runs / name) if name else []
    if len(members) > 1:
        run = best_run(members)
        what = f"the best of {len(members)} on dev ({name}@{LATEST} is the last one, ita runs {name} lists them)"
        logger.info(f"using run {run.folder}, {what}")
        return run
    if members:
        return members[0]
    dataset, _, choice = name.rpartition("@")
    members = finished_runs(runs / dataset) if dataset else []
    if not members:
        return None
    if choice not in (BEST, LATEST):
        raise UsageError(f"there is no run {target}", f"use {dataset}@{BEST} or {dataset}@{LATEST}")
    return best_run(members) if choice == BEST else max(members, key=_finished_at)


def _find_by_key(target: str, runs: Path) -> Run | None:
    """Find a run by the first characters of its key, with or without its dataset."""
    dataset, slash, prefix = _inside(target, runs).rpartition("/")
    if not re.fullmatch(r"[0-9a-f]+", prefix) or (not slash and len(prefix) < MIN_PREFIX):
        return None
    folders = [runs / dataset] if slash else sorted(runs.glob("*"))
    members = [run for folder in folders for run in finished_runs(folder)]
    matches = [run for run in members if run.folder.name.startswith(prefix[:SHORT_KEY_LENGTH])]
    if len(matches) > 1:
        names = " and ".join(str(run.folder.relative_to(runs)) for run in matches[:2])
        raise UsageError(f"the key {target} matches {len(matches)} runs", f"add characters: {names} match")
    return matches[0] if matches else None


# In this order, the first match counts.
LOOKUPS: tuple[Callable[[str, Path], Run | None], ...] = (
    _find_by_path,
    find_named_run,
    _find_by_dataset,
    _find_by_key,
)


def nearest_run(target: str | Path, runs: Path) -> str:
    """Return `did you mean …?` for a misspelled target, or "" if nothing is near."""
    relative = _inside(str(target), runs)
    existing = [run.folder.relative_to(runs) for folder in sorted(runs.glob("*")) for run in finished_runs(folder)]
    names = [*map(str, existing), *read_names(runs)]
    dataset, _, key = relative.partition("/")
    datasets = list(dict.fromkeys(folder.parts[0] for folder in existing))
    if key and dataset in datasets:
        return nearest(relative, names) or f"ita runs {dataset} lists its runs"
    return (nearest(relative, names) if key else "") or nearest(dataset, [*datasets, *read_names(runs)])


def _inside(target: str, runs: Path) -> str:
    """Return a target without the folder of runs before it."""
    path = Path(target)
    return str(path.relative_to(runs)) if path != runs and path.is_relative_to(runs) else target

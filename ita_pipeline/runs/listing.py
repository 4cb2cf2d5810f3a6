"""The runs of a workspace: their list, and the removal of a run."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ita_pipeline.core.errors import MissingError, UserError, nearest
from ita_pipeline.runs.compare import name_contexts, series_run
from ita_pipeline.runs.lookup import BEST, LATEST, best_run, finished_runs, last_run
from ita_pipeline.runs.names import read_names, remove_names, workspace_name
from ita_pipeline.runs.run import Run

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run in a list.

    `names` are those that select it, `best` and `latest` of its dataset among them. `contexts` is named as by
    `ita train --views`, `f1` is by split and view, and `bytes` is the size of the folder.
    """

    run: Path
    dataset: str
    key: str
    names: tuple[str, ...]
    contexts: str
    encoder: str
    seed: int
    finished: datetime
    bytes: int
    f1: Mapping[str, Mapping[str, float]]

    def to_json(self) -> dict[str, Any]:
        """Return the run as `ita runs --json` prints it."""
        return asdict(self) | {"run": str(self.run), "finished": self.finished.isoformat(timespec="seconds")}


def list_runs(runs: Path, dataset: str | None = None) -> list[RunSummary]:
    """List the complete runs of all datasets or of one, dataset by dataset, the last one first.

    A run whose files cannot be read is reported and left out.

    Raises:
        MissingError: the dataset has no run.
    """
    datasets = [folder for folder in sorted(runs.glob("*")) if finished_runs(folder)]
    if dataset is not None:
        hint = nearest(dataset, [folder.name for folder in datasets]) or "ita runs lists all runs"
        datasets = [folder for folder in datasets if folder.name == dataset]
        if not datasets:
            raise MissingError(f"there is no run of the dataset {dataset}", hint)
    named = read_names(runs)
    return [summary for folder in datasets for summary in _list_dataset(folder, named)]


def _list_dataset(folder: Path, named: Mapping[str, str]) -> list[RunSummary]:
    members = sorted(finished_runs(folder), key=lambda run: run.scores_file.stat().st_mtime, reverse=True)
    selected = {BEST: best_run(members), LATEST: last_run(folder.parent, folder.name)}
    summaries: list[RunSummary] = []
    for run in members:
        names = [name for name, other in selected.items() if other == run]
        names += [name for name, target in named.items() if target == f"{folder.name}/{run.folder.name}"]
        try:
            summaries.append(_summarize(run, tuple(names)))
        except UserError as error:
            logger.warning(f"left out {run.folder}: {error}")
    return summaries


def _summarize(run: Run, names: tuple[str, ...]) -> RunSummary:
    record = run.record()
    seed_and_scores = series_run(name_contexts(record), run, new=False)
    return RunSummary(
        run.folder,
        record.dataset,
        record.key,
        names,
        seed_and_scores.contexts,
        record.encoder,
        seed_and_scores.seed,
        datetime.fromtimestamp(run.scores_file.stat().st_mtime, UTC),
        folder_size(run.folder),
        seed_and_scores.f1,
    )


def folder_size(folder: Path) -> int:
    """Return the bytes of all files in a folder; links are not followed."""
    files = (Path(at) / name for at, _, names in os.walk(folder) for name in names)
    return sum(file.lstat().st_size for file in files)


def remove_run(run: Run, runs: Path) -> None:
    """Remove a run of the workspace, and its names. Of a link to a run elsewhere, only the link is removed.

    Raises:
        UsageError: the run is not in the workspace.
        OSError: a file cannot be removed.
    """
    workspace_name(run, runs)
    remove_names(run, runs)
    if run.folder.is_symlink():
        run.folder.unlink()
        return
    # Without its last file the run is not complete, so that an interrupted removal leaves no damaged run.
    run.scores_file.unlink()
    shutil.rmtree(run.folder)

"""The Python API of `ita runs`: list, name and remove the runs of a workspace."""

from __future__ import annotations

from pathlib import Path

from ita_pipeline.cache.store import Workspace
from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.progress import activity
from ita_pipeline.runs import listing, lookup, names
from ita_pipeline.runs.listing import RunSummary
from ita_pipeline.runs.listing import folder_size as folder_size
from ita_pipeline.runs.run import Run


def list_runs(dataset: str | None = None, workspace: Path = Path()) -> list[RunSummary]:
    """List the finished runs of a workspace or of one dataset, dataset by dataset, the last one first.

    Raises:
        MissingError: the dataset has no run.
    """
    with activity("reading the runs"):
        return listing.list_runs(Workspace(workspace).runs, dataset)


def find_run(target: str | Path, workspace: Path = Path()) -> Run:
    """Find a run by its folder, `DATASET/KEY`, its name, the start of its key, or a dataset.

    Of several runs, `DATASET` and `DATASET@best` mean the one with the highest dev F1 in the view I+T, and
    `DATASET@latest` the one finished last. Every function that takes a run finds it so.

    Raises:
        MissingError: no run matches.
        UsageError: several runs match.
    """
    return lookup.find_run(target, Workspace(workspace).runs)


def name_run(run: str | Path, name: str, workspace: Path = Path()) -> str:
    """Give a run a name; return the `DATASET/KEY` of the run that had it before, or "".

    Raises:
        MissingError: there is no such run.
        UsageError: the name is not allowed, or the run is not in the workspace.
    """
    runs = Workspace(workspace).runs
    return names.name_run(lookup.find_run(run, runs), name, runs)


def unname_run(run: str | Path, workspace: Path = Path()) -> list[str]:
    """Remove the names of a run, and return them.

    Raises:
        MissingError: there is no such run.
        UsageError: the run is not in the workspace.
    """
    runs = Workspace(workspace).runs
    return names.remove_names(lookup.find_run(run, runs), runs)


def find_removable_run(target: str, workspace: Path = Path()) -> Run:
    """Find a run of the workspace that a target means without a choice between several.

    Raises:
        MissingError: there is no such run.
        UsageError: it is not in the workspace, or the target is a dataset with several runs.
    """
    runs = Workspace(workspace).runs
    several = len(lookup.finished_runs(runs / target))
    if several > 1:
        hint = f"ita runs {target} lists them; {target}@{lookup.LATEST} is the last one"
        raise UsageError(f"{target} has {several} runs", hint)
    run = lookup.find_run(target, runs)
    names.workspace_name(run, runs)
    return run


def remove_run(run: Run, workspace: Path = Path()) -> None:
    """Remove a run of the workspace with its model and results, and its names.

    Raises:
        UsageError: the run is not in the workspace.
        OSError: a file cannot be removed.
    """
    listing.remove_run(run, Workspace(workspace).runs)

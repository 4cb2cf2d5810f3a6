"""Names that users give runs: one small file per name in `runs/.names/`, which contains `<dataset>/<key>`.

A run's folder is data, and may be copied or published; its name belongs to the workspace.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ita_pipeline.core.config import config_files
from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.core.files import read_regular, write_atomically
from ita_pipeline.runs.run import Run

NAMES_FOLDER = ".names"

MAX_BYTES = 1 << 12

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_TARGET = re.compile(r"[^/\0]{1,200}/[0-9a-f]{1,64}")


def name_run(run: Run, name: str, runs: Path) -> str:
    """Give a run of the workspace a name; return the `<dataset>/<key>` that had it before, or "".

    Raises:
        UsageError: the name is not allowed, or the run is not in the workspace.
    """
    if not _NAME.fullmatch(name):
        hint = "use up to 64 letters, digits, dots, underscores and hyphens, starting with a letter or digit"
        raise UsageError(f"{name or 'an empty text'} cannot be the name of a run", hint)
    if name in config_files("datasets") or (runs / name).is_dir():
        raise UsageError(f"{name} is the name of a dataset", "choose another name for the run")
    target = workspace_name(run, runs)
    before = _read_target(runs / NAMES_FOLDER / name)
    (runs / NAMES_FOLDER).mkdir(exist_ok=True)
    write_atomically(runs / NAMES_FOLDER / name, f"{target}\n")
    return "" if before == target else before


def remove_names(run: Run, runs: Path) -> list[str]:
    """Remove the names of a run, and return them."""
    target = workspace_name(run, runs)
    removed = [name for name, named in read_names(runs).items() if named == target]
    for name in removed:
        (runs / NAMES_FOLDER / name).unlink(missing_ok=True)
    return removed


def read_names(runs: Path) -> dict[str, str]:
    """Return the `<dataset>/<key>` of each name."""
    files = sorted((runs / NAMES_FOLDER).glob("*"))
    targets = {file.name: _read_target(file) for file in files if _NAME.fullmatch(file.name)}
    return {name: target for name, target in targets.items() if target}


def find_named_run(name: str, runs: Path) -> Run | None:
    """Return the run of a name, or None if no run has it.

    Raises:
        MissingError: the run that has the name does not exist any more.
    """
    target = _read_target(runs / NAMES_FOLDER / name) if _NAME.fullmatch(name) else ""
    if not target:
        return None
    run = Run(runs / target)
    if not run.is_complete:
        raise MissingError(f"{name} is the name of {target}, which does not exist", f"ita runs name RUN {name}")
    return run


def workspace_name(run: Run, runs: Path) -> str:
    """Return a run's `<dataset>/<key>`.

    Raises:
        UsageError: the run is not in the workspace's folder of runs.
    """
    folder = Path(os.path.abspath(run.folder))  # noqa: PTH100 (without `..`, and links stay as they are)
    if folder.parent.parent.resolve() != runs.resolve():
        raise UsageError(f"{run.folder} is not a run of this workspace", "ita runs lists its runs")
    return f"{folder.parent.name}/{folder.name}"


def _read_target(file: Path) -> str:
    """Return the `<dataset>/<key>` in a name's file, or "" if there is none."""
    try:
        target = read_regular(file, MAX_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return target if _TARGET.fullmatch(target) and not target.startswith(".") else ""

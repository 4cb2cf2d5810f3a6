"""Folders that are written whole or not at all, and never over what is there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ita_pipeline.errors import UsageError


def refuse_existing(to: Path) -> None:
    if to.is_file() or (to.is_dir() and any(to.iterdir())):
        raise UsageError(f"{to} is there already", "name another place: --to …")


@contextmanager
def new_folder(to: Path) -> Iterator[Path]:
    """A folder that is there when all of it is written, and not before."""
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{to.name}-", dir=to.parent) as name:
        folder = Path(name) / "new"
        folder.mkdir()
        yield folder
        if to.is_dir():
            to.rmdir()
        folder.rename(to)

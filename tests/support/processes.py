"""Processes of this machine, for tests that kill them."""

from __future__ import annotations

from pathlib import Path


def find_descendants(pid: int, name: str) -> list[int]:
    """The processes below a process whose command lines contain a name."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "status").read_text()
            command = (folder / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue  # it has ended
        if f"\nPPid:\t{pid}\n" in status:
            found += [int(folder.name)] if name in command else []
            found += find_descendants(int(folder.name), name)
    return found

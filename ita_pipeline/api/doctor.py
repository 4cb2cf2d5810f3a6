"""Whether this machine has what the project needs: tools, models, room. No hub is asked, nothing downloaded."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ita_pipeline.extraction.presets import build_stages, list_hub_models, load_preset
from ita_pipeline.ner.encoders import find_encoder
from stages.base import StageError
from stages.models import libraries as tools
from stages.models.identity import find_local_commit

if TYPE_CHECKING:
    from packaging.requirements import Requirement


DISTRIBUTION = "ita-pipeline"

OLDEST_PYTHON = (3, 11)

GIGABYTE = 1 << 30

LITTLE_DISK, NO_DISK = 5 * GIGABYTE, GIGABYTE // 5

LITTLE_MEMORY = 2 * GIGABYTE

SLOW_SYNC = 0.25

# Several machines may write there; the cache stands it, and SQLite's index may be slow or locked.
SHARED = ("nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "9p", "fuse.sshfs", "fuse.glusterfs")


class Verdict(StrEnum):
    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was looked at. `hint` mends it, where it is not OK."""

    name: str
    verdict: Verdict
    what: str
    hint: str = ""


def ok(name: str, what: str) -> Diagnosis:
    return Diagnosis(name, Verdict.OK, what)


def warn(name: str, what: str, hint: str) -> Diagnosis:
    return Diagnosis(name, Verdict.WARN, what, hint)


def fail(name: str, what: str, hint: str) -> Diagnosis:
    return Diagnosis(name, Verdict.FAIL, what, hint)


def examine(workspace: Path = Path()) -> Iterator[Diagnosis]:
    """Look at everything, one thing after the other; an examination that goes wrong is itself a failure."""
    for name, look in EXAMINATIONS.items():
        try:
            yield from look(workspace)
        except Exception as error:  # a broken installation raises nearly anything
            said = f"{type(error).__name__}: {error}"
            yield fail(name, f"could not be looked at: {said}", f"pip install --force-reinstall {DISTRIBUTION}")


def look_at_python(_: Path) -> Iterator[Diagnosis]:
    what = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"
    if sys.version_info < OLDEST_PYTHON:
        yield fail("python", what, "install Python 3.11 or newer and set up again")
    else:
        yield ok("python", what)


def look_at_packages(_: Path) -> Iterator[Diagnosis]:
    """Every package that the installation asks for, extras aside, in a version that it asks for."""
    from packaging.requirements import Requirement

    needed = [Requirement(line) for line in requires(DISTRIBUTION) or []]
    wanted = [one for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = [one for one in wanted if not satisfied(one)]
    if wrong:
        told = ", ".join(f"{one} ({installed(one.name) or 'missing'})" for one in wrong)
        yield fail(
            "packages", f"wanted and not here: {told}", f"pip install {' '.join(repr(str(w)) for w in wrong)}"
        )
    else:
        shown = ("transformers", "datasets", "accelerate", "typer")
        yield ok("packages", ", ".join(f"{name} {installed(name)}" for name in shown))


def satisfied(wanted: Requirement) -> bool:
    there = installed(wanted.name)
    return there is not None and wanted.specifier.contains(there, prereleases=True)


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def look_at_torch(_: Path) -> Iterator[Diagnosis]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield fail("torch", f"cannot be loaded: {error}", "pip install --force-reinstall torch torchvision")
        return
    yield ok("torch", torch.__version__)
    if torch.cuda.is_available():
        cards = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        yield ok("device", ", ".join(f"{card.name}, {card.total_memory / GIGABYTE:.0f} GB" for card in cards))
    else:
        yield ok("device", f"{cores()} CPU cores, no GPU; torch uses {torch.get_num_threads()} threads")


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def library(name: str, module: str, hint: str) -> Callable[[Path], Iterator[Diagnosis]]:
    """An examination of whether a library can be loaded, whose name it says with its version."""

    def look(_: Path) -> Iterator[Diagnosis]:
        try:
            found = import_module(module)
        except (ImportError, OSError) as error:
            yield fail(name, f"cannot be loaded: {error}", hint)
            return
        yield ok(name, found.__version__)

    return look


def look_at_tesseract(_: Path) -> Iterator[Diagnosis]:
    from pytesseract import get_languages  # loads pandas

    from stages.ocr.tesseract import INSTALL, find_tesseract

    if shutil.which("tesseract") is None:
        yield fail("tesseract", "is not installed; the stage ocr needs it", INSTALL)
        return
    try:
        found, folder = find_tesseract()
    except StageError as error:
        yield fail("tesseract", str(error), error.hint)
        return
    yield ok("tesseract", found)
    languages = sorted(get_languages())
    what = f"{', '.join(languages)} in {folder}"
    if "eng" in languages:
        yield ok("languages", what)
    else:
        yield fail("languages", f"English is missing: {what}", "Debian, Ubuntu: apt-get install tesseract-ocr-eng")


def look_at_models(_: Path) -> Iterator[Diagnosis]:
    """Which presets work without a network. At least one has to."""
    bundled, paper = missing_of_bundled(), missing_of_paper()
    if bundled is None:
        yield ok("preset bundled", "every model is on this machine")
    else:
        speak = fail if paper else warn
        yield speak("preset bundled", str(bundled), bundled.hint)
    if not paper:
        yield ok("preset paper", "every model is on this machine")
    else:
        hint = f"where there is a connection: hf download {paper[0]}" + (" (and so on)" if len(paper) > 1 else "")
        yield warn("preset paper", f"not on this machine: {', '.join(paper)}", hint)


def missing_of_bundled() -> StageError | None:
    preset = load_preset("bundled")
    try:
        find_encoder(preset.encoder)
        for stage in build_stages(preset):
            if stage.name != "ocr":  # looked at by itself
                stage.identity()
    except StageError as error:
        return error
    return None


def missing_of_paper() -> list[str]:
    return [model for model in list_hub_models(load_preset("paper")) if find_local_commit(model) is None]


def look_at_disk(workspace: Path) -> Iterator[Diagnosis]:
    free = shutil.disk_usage(nearest_folder(workspace)).free
    what = f"{free / GIGABYTE:.1f} GB free at {workspace.resolve()}"
    if free < NO_DISK:
        yield fail("disk", what, "make room, or work elsewhere: --workspace FOLDER")
    elif free < LITTLE_DISK:
        yield warn(
            "disk",
            what,
            "see what takes it: ita cache ls, du -sh runs/*; the weights of XLM-R large alone are 2.2 GB a run",
        )
    else:
        yield ok("disk", what)


def look_at_file_system(workspace: Path) -> Iterator[Diagnosis]:
    """Write, sync, rename and read back, as the cache does; and what kind of file system that was."""
    folder = nearest_folder(workspace)
    try:
        seconds = probe(folder)
    except OSError as error:
        yield fail("file system", f"{folder.resolve()}: {error}", "work where you may write: --workspace FOLDER")
        return
    kind = file_system(folder.resolve())
    what = f"{kind or 'unknown kind'}; write, fsync, rename, read back in {1000 * seconds:.1f} ms"
    if kind in SHARED:
        yield warn("file system", what, "a shared file system is safe but slow: --workspace on a local disk")
    elif seconds > SLOW_SYNC:
        yield warn("file system", what, "syncing is slow here: --workspace on another disk")
    else:
        yield ok("file system", what)


def probe(folder: Path) -> float:
    """Seconds for one record to be safe on the disk.

    Raises:
        OSError: it cannot be written, or is not what was written.
    """
    content = os.urandom(4096)
    with tempfile.TemporaryDirectory(prefix=".ita-doctor-", dir=folder) as name:
        start = time.perf_counter()
        before, after = Path(name) / "before", Path(name) / "after"
        with before.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        before.rename(after)
        if after.read_bytes() != content:
            raise OSError("what was written is not what is read")
        return time.perf_counter() - start


def file_system(folder: Path) -> str:
    """The kind of file system that holds a folder, where the system tells."""
    with suppress(OSError):
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
        # The longest mount point wins; of equal ones the last, which hides the others.
        holding = [m for m in mounts if folder.is_relative_to(m[1].replace("\\040", " "))]
        return max(enumerate(holding), key=lambda pair: (len(pair[1][1]), pair[0]))[1][2] if holding else ""
    return ""


def nearest_folder(path: Path) -> Path:
    """The folder itself, or where it would be made."""
    path = path.absolute()
    return next(place for place in (path, *path.parents) if place.is_dir())


def look_at_memory(_: Path) -> Iterator[Diagnosis]:
    free = free_memory()
    if free is None:
        yield warn("memory", "this system does not tell", "see that there is room before you train a large encoder")
    elif free < LITTLE_MEMORY:
        hint = "close other programs; --set training.batch_size=4 and smaller pictures take less"
        yield warn("memory", f"{free / GIGABYTE:.1f} GB available", hint)
    else:
        yield ok("memory", f"{free / GIGABYTE:.1f} GB available")


def free_memory() -> int | None:
    """Bytes that a new process may still take: the machine's, or a container's if that is less."""
    found: list[int] = []
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found.append(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")))
    with suppress(OSError, ValueError):  # "max" where nothing limits it
        most = int(Path("/sys/fs/cgroup/memory.max").read_text())
        found.append(most - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    return min(found, default=None)


EXAMINATIONS: dict[str, Callable[[Path], Iterator[Any]]] = {
    "python": look_at_python,
    "packages": look_at_packages,
    "torch": look_at_torch,
    "opencv": library("opencv", "cv2", tools.OPENCV_HINT),
    "onnxruntime": library("onnxruntime", "onnxruntime", tools.ONNXRUNTIME_HINT),
    "tesseract": look_at_tesseract,
    "models": look_at_models,
    "disk": look_at_disk,
    "file system": look_at_file_system,
    "memory": look_at_memory,
}

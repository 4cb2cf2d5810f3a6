"""The Python API of `ita doctor`: check tools, models, disk and memory, without network access."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from ita_pipeline.extraction.presets import build_stages, list_hub_models, load_preset
from ita_pipeline.ner.encoders import PACKAGE, find_encoder
from stages.base import StageError
from stages.models import libraries as tools
from stages.models.identity import find_local_commit
from stages.models.threads import count_cores

if TYPE_CHECKING:
    from packaging.requirements import Requirement


DISTRIBUTION = "ita-pipeline"

GIGABYTE = 1 << 30

LOW_DISK, MIN_DISK = 5 * GIGABYTE, GIGABYTE // 5

LOW_MEMORY = 2 * GIGABYTE

SLOW_WRITE_SECONDS = 0.25

# Several machines may write there; the cache supports it, but SQLite's index may be slow or locked.
SHARED_FILE_SYSTEMS = re.compile(r"nfs4?|cifs|smb3|lustre|gpfs|beegfs|ceph|9p|fuse\.(sshfs|glusterfs)")


class Verdict(StrEnum):
    """The result of a check."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of one check; `hint` says how to fix it, unless it is OK."""

    name: str
    verdict: Verdict
    what: str
    hint: str = ""


Check = Callable[[Path], Iterator[Diagnosis]]


def _ok(name: str, what: str) -> Diagnosis:
    return Diagnosis(name, Verdict.OK, what)


def _warn(name: str, what: str, hint: str) -> Diagnosis:
    return Diagnosis(name, Verdict.WARN, what, hint)


def _fail(name: str, what: str, hint: str) -> Diagnosis:
    return Diagnosis(name, Verdict.FAIL, what, hint)


def diagnose(workspace: Path = Path(), checks: Mapping[str, Check] | None = None) -> Iterator[Diagnosis]:
    """Run all checks, or those given by name; a check that raises an exception is itself a failure."""
    for name, check in (checks or CHECKS).items():
        try:
            yield from check(workspace)
        except Exception as error:  # a broken installation may raise any exception
            reason = f"{type(error).__name__}: {error}"
            yield _fail(name, f"check failed: {reason}", f"pip install --force-reinstall {DISTRIBUTION}")


def _check_python(_: Path) -> Iterator[Diagnosis]:
    machine = f"{platform.system()} {platform.machine()}"
    yield _ok("python", f"{platform.python_version()} on {machine}, {sys.executable}")


def _check_packages(_: Path) -> Iterator[Diagnosis]:
    """Check the version of every required package."""
    from packaging.requirements import Requirement

    wrong = [
        requirement
        for requirement in map(Requirement, requires(DISTRIBUTION) or [])
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if not _is_satisfied(requirement)
    ]
    if wrong:
        packages = ", ".join(f"{one} ({_installed_version(one.name) or 'missing'})" for one in wrong)
        hint = f"pip install {' '.join(repr(str(requirement)) for requirement in wrong)}"
        yield _fail("packages", f"missing or outdated: {packages}", hint)
    else:
        names = ("transformers", "datasets", "accelerate", "typer")
        yield _ok("packages", ", ".join(f"{name} {_installed_version(name)}" for name in names))


def _is_satisfied(requirement: Requirement) -> bool:
    version = _installed_version(requirement.name)
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def _installed_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _check_library(name: str, module: str, hint: str) -> Diagnosis:
    """Check whether a library can be loaded."""
    try:
        return _ok(name, import_module(module).__version__)
    except (ImportError, OSError) as error:
        return _fail(name, f"cannot be loaded: {error}", hint)


def _check_torch(_: Path) -> Iterator[Diagnosis]:
    loaded = _check_library("torch", "torch", "pip install --force-reinstall torch torchvision")
    yield loaded
    if loaded.verdict is Verdict.FAIL:
        return
    import torch

    if torch.cuda.is_available():
        cards = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        yield _ok("device", ", ".join(f"{card.name}, {card.total_memory / GIGABYTE:.0f} GB" for card in cards))
    else:
        yield _ok("device", f"{count_cores()} CPU cores, no GPU; torch uses {torch.get_num_threads()} threads")


def _check_opencv(_: Path) -> Iterator[Diagnosis]:
    yield _check_library("opencv", "cv2", tools.OPENCV_HINT)


def _check_onnxruntime(_: Path) -> Iterator[Diagnosis]:
    yield _check_library("onnxruntime", "onnxruntime", tools.ONNXRUNTIME_HINT)


def _check_tesseract(_: Path) -> Iterator[Diagnosis]:
    from pytesseract import get_languages  # loads pandas

    from stages.ocr.tesseract import INSTALL, find_tesseract

    if shutil.which("tesseract") is None:
        yield _fail("tesseract", "is not installed; the stage ocr needs it", INSTALL)
        return
    try:
        version_text, folder = find_tesseract()
    except StageError as error:
        yield _fail("tesseract", str(error), error.hint)
        return
    yield _ok("tesseract", version_text)
    languages = sorted(get_languages())
    what = f"{', '.join(languages)} in {folder}"
    if "eng" in languages:
        yield _ok("languages", what)
    else:
        yield _fail("languages", f"English is missing: {what}", "Debian, Ubuntu: apt-get install tesseract-ocr-eng")


def check_models(_: Path, minilm_package: str = PACKAGE) -> Iterator[Diagnosis]:
    """Check which presets work without a network; at least one has to."""
    bundled, paper = _bundled_error(minilm_package), missing_paper_models()
    if bundled is None:
        yield _ok("preset bundled", "every model is on this machine")
    else:
        result = _fail if paper else _warn
        yield result("preset bundled", str(bundled), bundled.hint)
    if not paper:
        yield _ok("preset paper", "every model is on this machine")
    else:
        hint = f"to download: hf download {paper[0]}" + (" (and the others)" if len(paper) > 1 else "")
        yield _warn("preset paper", f"not on this machine: {', '.join(paper)}", hint)


def _bundled_error(minilm_package: str) -> StageError | None:
    preset = load_preset("bundled")
    try:
        find_encoder(preset.encoder, minilm_package)
        for stage in build_stages(preset):
            if stage.name != "ocr":  # has a check of its own
                stage.identity()
    except StageError as error:
        return error
    return None


def missing_paper_models() -> list[str]:
    """Return the models of preset paper that are not on this machine."""
    return [model for model in list_hub_models(load_preset("paper")) if find_local_commit(model) is None]


def _check_disk(workspace: Path) -> Iterator[Diagnosis]:
    free = shutil.disk_usage(nearest_folder(workspace)).free
    what = f"{free / GIGABYTE:.1f} GB free at {workspace.resolve()}"
    if free < MIN_DISK:
        yield _fail("disk", what, "free some space, or use another disk: --workspace FOLDER")
    elif free < LOW_DISK:
        hint = "find large files: ita cache ls, du -sh runs/*; each run with XLM-R large takes 2.2 GB"
        yield _warn("disk", what, hint)
    else:
        yield _ok("disk", what)


def _check_file_system(workspace: Path) -> Iterator[Diagnosis]:
    """Write, sync, rename and read a file, as the cache does, and check the type of the file system."""
    folder = nearest_folder(workspace)
    try:
        seconds = measure_write(folder)
    except OSError as error:
        yield _fail(
            "file system", f"{folder.resolve()}: {error}", "use a folder that you may write to: --workspace FOLDER"
        )
        return
    kind = file_system_type(folder.resolve())
    what = f"{kind or 'unknown type'}; write, fsync, rename, read back in {1000 * seconds:.1f} ms"
    if SHARED_FILE_SYSTEMS.fullmatch(kind):
        yield _warn("file system", what, "a shared file system is safe but slow: use --workspace on a local disk")
    elif seconds > SLOW_WRITE_SECONDS:
        yield _warn("file system", what, "syncing is slow: use --workspace on another disk")
    else:
        yield _ok("file system", what)


def _check_memory(_: Path) -> Iterator[Diagnosis]:
    free = available_memory()
    if free is None:
        hint = "check that there is enough before you train a large encoder"
        yield _warn("memory", "unknown on this system", hint)
    elif free < LOW_MEMORY:
        hint = "close other programs, or use less: --set training.batch_size=4"
        yield _warn("memory", f"{free / GIGABYTE:.1f} GB available", hint)
    else:
        yield _ok("memory", f"{free / GIGABYTE:.1f} GB available")


def available_memory() -> int | None:
    """Return the bytes that a new process may use: the machine's, or a container's if that is less."""
    import psutil

    available: list[int] = []
    with suppress(OSError):
        available.append(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):  # the limit is "max" if there is none
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        available.append(limit - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    return min(available, default=None)


def file_system_type(folder: Path) -> str:
    """Return the type of the file system that contains a folder, or an empty text if it is unknown."""
    import psutil

    mounts = [mount for mount in psutil.disk_partitions(all=True) if folder.is_relative_to(mount.mountpoint)]
    # The longest mount point counts; of equal ones the last, which hides the others.
    return max(reversed(mounts), key=lambda mount: len(mount.mountpoint)).fstype if mounts else ""


def measure_write(folder: Path) -> float:
    """Return the seconds that it takes to store one record safely.

    Raises:
        OSError: the file cannot be written, or its content differs when it is read.
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
            raise OSError("the file differs when it is read back")
        return time.perf_counter() - start


def nearest_folder(path: Path) -> Path:
    """Return the folder, or its nearest existing parent."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


CHECKS: dict[str, Check] = {
    "python": _check_python,
    "packages": _check_packages,
    "torch": _check_torch,
    "opencv": _check_opencv,
    "onnxruntime": _check_onnxruntime,
    "tesseract": _check_tesseract,
    "models": check_models,
    "disk": _check_disk,
    "file system": _check_file_system,
    "memory": _check_memory,
}

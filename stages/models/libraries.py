"""Libraries whose arithmetic determines a result: versions, imports with a hint, sessions of ONNX Runtime."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.base import StageError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


# Each of these packages installs the module `cv2`.
OPENCV_PACKAGES = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)

OPENCV_HINT = "Debian, Ubuntu: apt-get install libgl1 libglib2.0-0; Fedora: dnf install mesa-libGL glib2"

ONNXRUNTIME_HINT = "pip install --force-reinstall onnxruntime"

WEIGHTS_FOLDER_OPTION = "session.model_external_initializers_file_folder_path"

REINSTALL = "pip install --force-reinstall --no-deps ita-pipeline"


def opencv_version() -> str:
    """Return the version of OpenCV, whichever package provides it.

    Raises:
        StageError: OpenCV is not installed.
    """
    for package in OPENCV_PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            return metadata.version(package)
    raise StageError("OpenCV is not installed", "pip install opencv-python")


def package_version(package: str) -> str:
    """Return the version of an installed package.

    Raises:
        StageError: The package is not installed.
    """
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError as error:
        raise StageError(f"{package} is not installed", f"pip install {package}") from error


def find_package_folder(package: str, content: str, requirement: str) -> Path:
    """Return the folder of an installed package with `content`, without importing it, which may be expensive.

    Raises:
        StageError: The package is not installed; `requirement` is what pip installs.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise StageError(f"the package with {content} is missing", f"pip install {requirement}")
    return Path(spec.submodule_search_locations[0])


def import_library(module: str, name: str, hint: str) -> Any:
    """Import a module of the library `name`.

    Raises:
        StageError: It cannot be loaded; `hint` is the remedy.
    """
    try:
        return import_module(module)
    except (ImportError, OSError) as error:
        raise StageError(f"{name} cannot be loaded: {error}", hint) from error


def read_pinned(path: Path, sha256: str, hint: str = REINSTALL) -> bytes:
    """Return the content of a file whose digest must be `sha256`.

    Raises:
        StageError: The file is missing or has another digest; `hint` is the command that restores it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StageError(f"the file {path} cannot be read: {error.strerror or error}", hint) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise StageError(f"the file {path} has unexpected content", hint)
    return content


def open_session(
    graph: bytes,
    weights: Mapping[str, bytes] | None = None,
    threads: int = 1,
    weights_folder: Path | None = None,
    max_bytes: int | None = None,
) -> InferenceSession:
    """Return a session that runs `graph` on the CPU.

    Several threads may use it at once. By default each call computes on the calling thread only (see
    `stages.models.threads`).

    Args:
        graph: The content of an ONNX file.
        weights: The content of the files that hold the graph's external tensors, by the names used in the graph.
        threads: The number of threads that compute a call.
        weights_folder: The folder of these files, if they are not given.
        max_bytes: The most memory that all sessions with this limit take together; what needs more fails.

    Raises:
        StageError: ONNX Runtime cannot be loaded.
    """
    runtime = import_library("onnxruntime", "ONNX Runtime", ONNXRUNTIME_HINT)
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors; what it warns of is how it optimizes the graph
    # Threads that wait in a loop for the next layer take the time of other processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if max_bytes is not None:
        _limit_shared_memory(max_bytes)
        options.add_session_config_entry("session.use_env_allocators", "1")
    if weights_folder is not None:
        options.add_session_config_entry(WEIGHTS_FOLDER_OPTION, str(weights_folder))
    if weights:
        lengths = [len(content) for content in weights.values()]
        options.add_external_initializers_from_files_in_memory([*weights], [*weights.values()], lengths)
    return runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


@functools.cache
def _limit_shared_memory(max_bytes: int) -> None:
    """Register the allocator of the sessions that share a limit."""
    import onnxruntime as runtime

    kind = runtime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    memory = runtime.OrtMemoryInfo("Cpu", kind, 0, runtime.OrtMemType.DEFAULT)
    runtime.create_and_register_allocator(memory, runtime.OrtArenaCfg({"max_mem": max_bytes}))

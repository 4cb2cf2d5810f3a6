"""ONNX Runtime sessions of networks whose files have a known digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stages.base import StageError
from stages.models.libraries import ONNXRUNTIME_HINT, import_library

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


REINSTALL = "pip install --force-reinstall --no-deps ita-pipeline"


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
        raise StageError(f"the file {path} is not the one expected", hint)
    return content


def open_session(graph: bytes, weights: Mapping[str, bytes] | None = None) -> InferenceSession:
    """Return a session that runs `graph` on the CPU.

    Several threads may use it at once; each call computes on the calling thread only (see `stages.models.threads`).

    Args:
        graph: The content of an ONNX file.
        weights: The content of the files that hold the graph's external tensors, by the names used in the graph.

    Raises:
        StageError: ONNX Runtime cannot be loaded.
    """
    runtime = import_library("onnxruntime", "ONNX Runtime", ONNXRUNTIME_HINT)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if weights:
        lengths = [len(content) for content in weights.values()]
        options.add_external_initializers_from_files_in_memory([*weights], [*weights.values()], lengths)
    return runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

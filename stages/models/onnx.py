"""Networks that ONNX Runtime runs, of files whose bytes are known beforehand."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stages.base import StageError
from stages.models.libraries import onnxruntime

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


REINSTALL = "pip install --force-reinstall --no-deps ita-pipeline"


def pinned(path: Path, sha256: str, hint: str = REINSTALL) -> bytes:
    """The content of a file that we know.

    Raises:
        StageError: it is missing, or has other bytes; `hint` is what brings the right ones.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StageError(f"the file {path} cannot be read: {error.strerror or error}", hint) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise StageError(f"the file {path} is not the one expected", hint)
    return content


def network(graph: bytes, weights: Mapping[str, bytes] | None = None) -> InferenceSession:
    """A graph ready to run, on a CPU. `weights` are the files that it takes tensors from, by the names it has for
    them.

    Several threads may call it at once; each call runs on the calling thread only (`stages.models.threads`).

    Raises:
        StageError: ONNX Runtime cannot be loaded.
    """
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    files = dict(weights or {})
    if files:
        lengths = [len(content) for content in files.values()]
        options.add_external_initializers_from_files_in_memory([*files], [*files.values()], lengths)
    return runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

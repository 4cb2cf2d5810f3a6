"""Versions of libraries, and networks of pinned files for ONNX Runtime."""

from __future__ import annotations

import hashlib
import sys
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.base import StageError
from stages.models.libraries import REINSTALL, open_session, opencv_version, package_version, read_pinned
from stages.objects import nanodet


def test_the_version_of_opencv_is_that_of_the_imported_module():
    assert opencv_version().startswith(cv2.__version__)


def test_a_missing_opencv_is_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch):
    def find_nothing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", find_nothing)
    with pytest.raises(StageError, match="OpenCV is not installed"):
        opencv_version()


def test_a_missing_package_is_an_error_that_names_it():
    assert package_version("numpy") == np.__version__
    with pytest.raises(StageError, match="no-such-thing is not installed") as raised:
        package_version("no-such-thing")
    assert raised.value.hint == "pip install no-such-thing"


def test_a_pinned_file_is_read_only_with_its_digest(tmp_path: Path):
    file = tmp_path / "file"
    file.write_bytes(b"known")
    assert read_pinned(file, hashlib.sha256(b"known").hexdigest()) == b"known"
    with pytest.raises(StageError, match=f"{file} has unexpected content") as raised:
        read_pinned(file, hashlib.sha256(b"other").hexdigest(), "bring it")
    assert raised.value.hint == "bring it"


def test_a_missing_pinned_file_is_an_error_that_names_it(tmp_path: Path):
    with pytest.raises(StageError, match="missing cannot be read: No such file") as raised:
        read_pinned(tmp_path / "missing", "")
    assert raised.value.hint == REINSTALL


def test_a_broken_onnx_runtime_is_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(StageError, match="ONNX Runtime cannot be loaded") as raised:
        open_session(nanodet.WEIGHTS.read_bytes())
    assert "onnxruntime" in raised.value.hint

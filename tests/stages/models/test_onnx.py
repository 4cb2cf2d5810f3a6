"""Networks of files that are known: other bytes are refused, and a library that does not load is told."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from stages.base import StageError
from stages.models.onnx import REINSTALL, open_session, read_pinned
from stages.objects import nanodet
from stages.objects.schema import ObjectsConfig
from stages.objects.stage import ObjectsStage


def test_the_bytes_that_are_expected_are_read(tmp_path: Path):
    file = tmp_path / "file"
    file.write_bytes(b"known")
    assert read_pinned(file, hashlib.sha256(b"known").hexdigest()) == b"known"
    with pytest.raises(StageError, match=f"{file} is not the one expected") as raised:
        read_pinned(file, hashlib.sha256(b"other").hexdigest(), "bring it")
    assert raised.value.hint == "bring it"


def test_a_file_that_is_missing_is_named(tmp_path: Path):
    with pytest.raises(StageError, match="missing cannot be read: No such file") as raised:
        read_pinned(tmp_path / "missing", "")
    assert raised.value.hint == REINSTALL


def test_onnx_runtime_that_does_not_load_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(StageError, match="ONNX Runtime cannot be loaded") as raised:
        open_session(nanodet.WEIGHTS.read_bytes())
    assert "onnxruntime" in raised.value.hint


def test_opencv_that_does_not_load_is_told_before_any_picture(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(StageError, match="OpenCV cannot be loaded") as raised:
        ObjectsStage(ObjectsConfig()).open()
    assert "libgl1" in raised.value.hint

from __future__ import annotations

from importlib import metadata

import cv2
import pytest

from stages.base import StageError
from stages.tools import opencv_version


def test_it_is_the_version_of_what_would_be_imported():
    assert opencv_version().startswith(cv2.__version__)


def test_without_opencv_a_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    def nowhere(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", nowhere)
    with pytest.raises(StageError, match="OpenCV is not installed"):
        opencv_version()

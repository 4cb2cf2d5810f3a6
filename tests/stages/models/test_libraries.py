from __future__ import annotations

from importlib import metadata

import cv2
import numpy as np
import pytest

from stages.base import StageError
from stages.models.libraries import opencv_version, package_version


def test_it_is_the_version_of_what_would_be_imported():
    assert opencv_version().startswith(cv2.__version__)


def test_without_opencv_a_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    def nowhere(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", nowhere)
    with pytest.raises(StageError, match="OpenCV is not installed"):
        opencv_version()


def test_another_library_is_named_where_it_is_missing():
    assert package_version("numpy") == np.__version__
    with pytest.raises(StageError, match="no-such-thing is not installed") as raised:
        package_version("no-such-thing")
    assert raised.value.hint == "pip install no-such-thing"

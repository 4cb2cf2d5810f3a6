"""The choice of a device."""

from __future__ import annotations

import pytest

from stages.base import StageError
from stages.models.devices import pick_device


def test_devices():
    import torch

    assert pick_device("cpu") == "cpu"
    assert pick_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(StageError, match="no device nonsense"):
        pick_device("nonsense")

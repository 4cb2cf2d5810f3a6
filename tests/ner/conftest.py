"""What the tests of the tagger and its training share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tiny_encoder import build_bert


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small encoder."""
    return build_bert(tmp_path_factory.mktemp("bert"))

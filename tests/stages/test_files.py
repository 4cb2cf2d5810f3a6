"""Files that are read without waiting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stages.base import StageError
from stages.external import ExternalConfig, ExternalStage
from stages.files import read_chunks, read_file
from stages.objects.vocabulary import read_vocabulary


def test_a_file_is_read_to_its_end_or_to_one_byte_more_than_the_limit():
    Path("a").write_bytes(b"abc")
    assert (read_file(Path("a"), 3), read_file(Path("a"), 1), b"".join(read_chunks(Path("a")))) == (
        b"abc",
        b"ab",
        b"abc",
    )


def test_a_pipe_or_a_device_is_an_error_and_not_waited_for():
    os.mkfifo("pipe")
    for path in ("pipe", "/dev/zero"):
        with pytest.raises(OSError, match="not a regular file"):
            read_file(Path(path), 9)
        with pytest.raises(StageError, match="not a regular file"):
            ExternalStage(ExternalConfig(file=path)).identity()
        with pytest.raises(StageError, match="not a regular file"):
            read_vocabulary(path)

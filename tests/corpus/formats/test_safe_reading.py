"""Files of posts and contexts are opened as regular files: nothing in their place blocks a command."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ita_pipeline.core.errors import MissingError
from ita_pipeline.corpus.formats import conll, jsonl, vinvl
from ita_pipeline.corpus.line_errors import raise_unless_tolerated

READERS: list[Callable[[Path], object]] = [
    lambda path: list(conll.read_sentences(path)),
    lambda path: list(jsonl.parse_file(path, {}, raise_unless_tolerated)),
    lambda path: vinvl.read_context_files([path]),
]


@pytest.mark.parametrize("read", READERS)
def test_a_pipe_in_the_place_of_a_file_does_not_block(read: Callable[[Path], object], tmp_path: Path):
    os.mkfifo(tmp_path / "train.txt")
    with pytest.raises(MissingError, match="cannot be read: not a regular file"):
        read(tmp_path / "train.txt")


def test_lines_end_as_in_text_files(tmp_path: Path):
    for name, ending in (("dos", "\r\n"), ("unix", "\n"), ("mac", "\r")):
        (tmp_path / name).write_bytes(f"\ufeffParis B-LOC{ending}is O{ending}{ending}Rome B-LOC".encode())
        assert [sentence.words for sentence in conll.read_sentences(tmp_path / name)] == [["Paris", "is"], ["Rome"]]

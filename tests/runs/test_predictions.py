"""Tests of part files: they are complete, damage is reported, and a folder belongs to one run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ita_pipeline.core.errors import CorruptCacheError, UsageError
from ita_pipeline.corpus.posts import Post
from ita_pipeline.runs.predictions import PartFolder, PartFormat, PredictedPosts, TaggingInput

FORMATS = pytest.mark.parametrize("part_format", list(PartFormat))


def row(number: int, text: str = "hi kim") -> dict[str, Any]:
    mention = {"start": 3, "end": 6, "text": "kim", "type": "PER", "score": 0.9}
    return {
        "number": number,
        "key": f"key-{text}",
        "schema": "ita.prediction/1",
        "id": str(number),
        "text": text,
        "view": "text",
        "mentions": [mention],
        "failed": "",
    }


def tagging_input(id: str, key: str) -> TaggingInput:
    return TaggingInput(Post.from_text("hi kim", id=id), key=key)


def parts(part_format: PartFormat) -> PartFolder:
    return PartFolder.open(Path("out"), "run", 0.0, part_format)


@FORMATS
def test_posts_in_parts_are_not_new(part_format: PartFormat):
    parts(part_format).write([row(1), row(2)])
    predicted = PredictedPosts(parts(part_format))
    inputs = [tagging_input("1", "key-hi kim"), tagging_input("2", "key-other"), tagging_input("3", "key-hi kim")]
    assert predicted.add_new([*inputs[:2], inputs[1]]) == inputs[1:2]
    assert predicted.add_new(inputs) == inputs[2:]
    predicted.close()


@FORMATS
def test_rows_that_are_written_twice_exist_once(part_format: PartFormat):
    assert parts(part_format).write([row(1)]) == parts(part_format).write([row(1)])
    assert list(parts(part_format).identities()) == [("1", "key-hi kim")]


@FORMATS
def test_a_damaged_part_is_reported_with_a_fix(part_format: PartFormat):
    path = parts(part_format).write([row(1)])
    content = path.read_bytes().replace(b'"hi kim', b'"hi tim').replace(b"key-hi", b"key-ho")
    path.write_bytes(content)
    with pytest.raises(CorruptCacheError, match=path.name) as damaged:
        list(parts(part_format).identities())
    assert damaged.value.hint.startswith("rm ")


def test_parquet_parts_are_readable_as_tables(tmp_path: Path):
    import pyarrow.parquet as pq

    path = parts(PartFormat.PARQUET).write([row(1), row(2)])
    assert pq.read_table(path).to_pylist() == [row(1), row(2)]


def test_a_folder_of_another_run_or_format_is_refused():
    parts(PartFormat.JSONL)
    with pytest.raises(UsageError, match="another run run"):
        PartFolder.open(Path("out"), "other", 0.0, PartFormat.JSONL)
    with pytest.raises(UsageError, match="another format jsonl"):
        parts(PartFormat.PARQUET)
    Path("full").mkdir()
    Path("full/thing").touch()
    with pytest.raises(UsageError, match="other files"):
        PartFolder.open(Path("full"), "run", 0.0, PartFormat.JSONL)


def test_a_line_is_a_prediction_with_a_checksum():
    (line,) = parts(PartFormat.JSONL).write([row(7)]).read_text().splitlines()
    content = json.loads(line)
    assert len(content.pop("crc")) == 8
    assert content == row(7)

"""Segments: records are read back as written, and damage is never read as a record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.cache.records import Record, SegmentWriter, damage_error, decode, encode, read_lines
from ita_pipeline.core.errors import CorruptCacheError
from stages.base import Failure, FailureKind, Value
from stages.ocr.schema import OcrValue, Word
from tests.support.fakes import SizeValue

FAILURE = Failure(kind=FailureKind.PERMANENT, reason="not a picture")


def some_records(count: int = 4) -> list[Record]:
    return [Record(f"{n:064x}", SizeValue(width=n, height=2), 0.5) for n in range(count)]


def written(folder: Path, found: list[Record]) -> Path:
    writer = SegmentWriter(folder)
    writer.append(found[:2])
    writer.append(found[2:])
    writer.close()
    return writer.path


def read_records(path: Path, value_type: type[Value]) -> Iterator[Record]:
    """Read the records of a segment in the order written, and raise for the first damaged line."""
    with path.open("rb") as segment:
        for line in read_lines(segment):
            try:
                assert line.is_intact
                yield decode(line.content, value_type)
            except (AssertionError, ValueError) as error:
                raise damage_error(f"{path}, line {line.number}") from error


@given(st.text(), st.floats(0, 1))
def test_any_text_can_be_encoded_and_decoded(text: str, confidence: float):
    value = OcrValue(width=1, height=1, words=(Word(text=text, confidence=confidence, box=(0, 0, 1, 1), line=0),))
    line = encode(Record("k", value, 1.25))
    assert line.count(b"\n") == 1
    assert decode(line[:-1], OcrValue) == Record("k", value, 1.25)


def test_values_and_failures_are_read_back_in_order(tmp_path: Path):
    wanted = [*some_records(3), Record("f", FAILURE, 0.0)]
    assert list(read_records(written(tmp_path, wanted), SizeValue)) == wanted


def test_a_line_is_plain_json(tmp_path: Path):
    first, *_ = written(tmp_path, some_records()).read_text().splitlines()
    found = json.loads(first)
    assert found["image"] == "0" * 64
    assert found["value"] == {"width": 0, "height": 2}
    assert set(found) == {"image", "value", "seconds", "crc"}


def test_a_truncated_segment_is_read_up_to_the_damage(tmp_path: Path):
    wanted = some_records()
    path = written(tmp_path, wanted)
    content = path.read_bytes()
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        found = list(read_records(path, SizeValue))
        assert found == wanted[: content[:length].count(b"\n")]


def test_every_flipped_bit_is_reported_as_damage(tmp_path: Path):
    wanted = some_records(2)
    path = written(tmp_path, wanted)
    content = path.read_bytes()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 0x20
        path.write_bytes(bytes(changed))
        try:
            found = list(read_records(path, SizeValue))
        except CorruptCacheError as error:
            assert str(path) in str(error)
            assert error.exit_code == 4
        else:
            # Only the newline of the last line can be lost unseen: then it counts as torn.
            assert position == len(content) - 1
            assert found == wanted[:1]


def test_a_record_of_another_stage_is_rejected(tmp_path: Path):
    path = written(tmp_path, some_records())
    with pytest.raises(CorruptCacheError):
        list(read_records(path, OcrValue))


def test_two_writers_never_share_a_file(tmp_path: Path):
    one, other = written(tmp_path, some_records()), written(tmp_path, some_records())
    assert one != other
    assert len(list(tmp_path.glob("*.jsonl"))) == 2


def test_a_writer_without_records_leaves_no_file(tmp_path: Path):
    writer = SegmentWriter(tmp_path)
    writer.append([])
    writer.close()
    assert list(tmp_path.iterdir()) == []

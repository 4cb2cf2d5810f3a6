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
from tests.support.segments import signed

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
                yield decode(line.content, value_type)
            except ValueError as error:
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


VALUE = SizeValue(width=1, height=2)
FAILURES = [Failure(kind=kind, reason='no "seconds": 1') for kind in FailureKind]


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    st.sampled_from([VALUE, *FAILURES]),
    st.floats(0, 1e6),
)
def test_encoded_records_are_accepted(image: str, result: SizeValue | Failure, seconds: float):
    line = encode(Record(image, result, seconds))[:-1]
    assert decode(line, SizeValue) == Record(image, result, round(seconds, 4))


SIZE = '"value": {"width": 1, "height": 2}'
GOOD = f'{{"image": "a", {SIZE}, "seconds": 1.0'
BROKEN = '"failure": {"kind": "permanent", "reason": ""}'


def test_a_valid_line_made_by_hand_is_accepted():
    assert decode(signed(GOOD), SizeValue) == Record("a", VALUE, 1.0)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(
            signed(GOOD).replace(b'"width": 1', b'"width": 7'), id="another value under the old check sum"
        ),
        pytest.param(signed(GOOD) + b" ", id="more after the check sum"),
        pytest.param(signed(f'{{"image": "b", "image": "a", {SIZE}, "seconds": 1.0'), id="two images"),
        pytest.param(signed(f'{{"image": "a", {SIZE}, "image": "b", "seconds": 1.0'), id="another image later"),
        pytest.param(signed(f'{{"image": "a", {SIZE}, {BROKEN}, "seconds": 1.0'), id="value and failure"),
        pytest.param(signed(f'{{"image": "a", {BROKEN}, {SIZE}, "seconds": 1.0'), id="failure and value"),
        pytest.param(signed(GOOD.replace("2", str(2**63))), id="more than 64 bits"),
        pytest.param(signed(GOOD.replace("2", f'"{2**63}"')), id="more than 64 bits as a text"),
        pytest.param(signed(GOOD.replace("2", "[" * 100_000 + "]" * 100_000)), id="100 000 brackets"),
        pytest.param(signed(GOOD.replace('"a"', r'"\ud800"')), id="an image that cannot be encoded"),
        pytest.param(signed(GOOD.replace('"a"', '""')), id="no image"),
        pytest.param(signed(f'{{"image": "a", {SIZE}, "seconds": 1.0, "seconds":2.0'), id="two times"),
        pytest.param(signed(f'{{"image": "a", {SIZE}, "seconds": -1.0'), id="seconds below zero"),
        pytest.param(signed(f'{{"image": "a", {SIZE}, "seconds": NaN'), id="seconds that are no number"),
        pytest.param(signed(f'{{"image": "a", {SIZE}, "seconds": true'), id="seconds that are a truth"),
        pytest.param(signed(f'{{"image": "a", "seconds": 1.0, {SIZE}'), id="another order"),
    ],
)
def test_a_line_that_readers_could_interpret_differently_is_rejected(line: bytes):
    with pytest.raises(ValueError, match=r"\w"):
        decode(line, SizeValue)


def test_a_value_of_another_type_is_rejected():
    with pytest.raises(ValueError, match="no record of SizeValue"):
        decode(signed('{"image": "a", "value": {"x": 1}, "seconds": 1.0'), SizeValue)

"""Checks of lines that another process has encoded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.cache.records import Record, encode
from ita_pipeline.cache.validate import decode_exactly
from stages.base import Failure, FailureKind
from tests.support.fakes import SizeValue
from tests.support.segments import signed

VALUE = SizeValue(width=1, height=2)
FAILURES = [Failure(kind=kind, reason='no "seconds": 1') for kind in FailureKind]


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    st.sampled_from([VALUE, *FAILURES]),
    st.floats(0, 1e6),
)
def test_encoded_records_are_accepted(image: str, result: SizeValue | Failure, seconds: float):
    line = encode(Record(image, result, seconds))[:-1]
    assert decode_exactly(line, image, SizeValue) == Record(image, result, round(seconds, 4))


SIZE = '"value": {"width": 1, "height": 2}'
GOOD = f'{{"image": "a", {SIZE}, "seconds": 1.0'
FAILURE = '"failure": {"kind": "permanent", "reason": ""}'


def test_a_valid_line_made_by_hand_is_accepted():
    assert decode_exactly(signed(GOOD), "a", SizeValue) == Record("a", VALUE, 1.0)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(signed(GOOD.replace('"a"', '"b"')), id="another image"),
        pytest.param(
            signed(GOOD).replace(b'"width": 1', b'"width": 7'), id="another value under the old check sum"
        ),
        pytest.param(signed(GOOD) + b" ", id="more after the check sum"),
        pytest.param(signed(f'{{"image": "b", "image": "a", {SIZE}, "seconds": 1.0'), id="two images"),
        pytest.param(signed(f'{{"image": "a", {SIZE}, {FAILURE}, "seconds": 1.0'), id="value and failure"),
        pytest.param(signed(f'{{"image": "a", {SIZE}, "seconds": 1.0, "seconds":2.0'), id="two times"),
        pytest.param(signed(f'{{"image": "a", {SIZE}, "seconds": -1.0'), id="seconds below zero"),
        pytest.param(signed(f'{{"image": "a", {SIZE}, "seconds": NaN'), id="seconds that are no number"),
        pytest.param(signed(f'{{"image": "a", {SIZE}, "seconds": true'), id="seconds that are a truth"),
        pytest.param(signed(f'{{"image": "a", "seconds": 1.0, {SIZE}'), id="another order"),
    ],
)
def test_a_line_that_readers_could_interpret_differently_is_rejected(line: bytes):
    try:
        record = decode_exactly(line, "a", SizeValue)
    except ValueError:
        record = None
    assert record is None


def test_a_value_of_another_type_is_rejected():
    with pytest.raises(ValueError, match="no record of SizeValue"):
        decode_exactly(signed('{"image": "a", "value": {"x": 1}, "seconds": 1.0'), "a", SizeValue)

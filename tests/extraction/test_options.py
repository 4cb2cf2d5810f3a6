"""Tests of options: shards divide the work, whatever its order, so that exactly one job processes each item."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ita_pipeline.core.errors import UsageError
from ita_pipeline.extraction.options import Shard
from tests.support.fakes import ita_here

OCR = ("--preset", "bundled", "--stage", "ocr")


@settings(deadline=None)
@given(st.lists(st.binary(), min_size=1), st.integers(1, 40))
def test_every_key_is_in_exactly_one_shard(contents: list[bytes], of: int):
    shards = [Shard(number, of) for number in range(1, of + 1)]
    for content in contents:
        key = hashlib.sha256(content).hexdigest()
        assert sum(shard.contains(key) for shard in shards) == 1
        assert sum(shard.contains_address(content) for shard in shards) == 1


def test_shards_have_similar_sizes():
    keys = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(4000)]
    sizes = [sum(map(Shard(number, 16).contains, keys)) for number in range(1, 17)]
    assert min(sizes) > 180
    assert max(sizes) < 320


@pytest.mark.parametrize("text", ["0/16", "17/16", "1/0", "-1/4", "3", "a/b", "1.5/2", "1/99999999999", ""])
def test_text_that_is_no_shard_is_refused(text: str):
    with pytest.raises(UsageError, match="shard"):
        Shard.parse(text)


def test_a_shard_that_does_not_exist_is_an_error_message():
    answer = ita_here("extract", "images", *OCR, "--shard", "17/16")
    assert answer.code == 2
    assert "there is no shard 17/16" in answer.err
    assert ita_here("status", "example", *OCR, "--shard", "1/2").code == 2

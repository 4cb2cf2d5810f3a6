"""Merge notes: which records a cache has, from the names of its segments alone."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ita_pipeline.cache.lineage import Merge, find_equivalents, parse_merge, read_merges

NAMES = [f"host-1-{number:012x}.jsonl" for number in range(8)]
A, B, C, D, M, N, *_ = NAMES


def merge(into: list[str], parts: list[str], damaged: list[str] | None = None) -> Merge:
    return Merge(frozenset(into), frozenset(parts), frozenset(damaged or []))


def test_merged_segments_are_known_under_both_names():
    one = merge([M], [A, B])
    assert find_equivalents([M], [one]) == {M, A, B}
    assert find_equivalents([A, B], [one]) == {M, A, B}
    assert find_equivalents([A], [one]) == {A}


def test_merges_of_merges_are_followed():
    merges = [merge([N], [M, C]), merge([M], [A, B])]
    assert find_equivalents([A, B, C], merges) == {A, B, C, M, N}
    assert find_equivalents([N], merges) == {A, B, C, M, N}


def test_a_merge_into_several_segments_needs_all_of_them():
    one = merge([M, N], [A, B])
    assert find_equivalents([M], [one]) == {M}
    assert find_equivalents([M, N], [one]) == {M, N, A, B}


def test_a_damaged_part_is_not_known_from_the_merge():
    one = merge([M], [A], [B])
    assert find_equivalents([M], [one]) == {M, A}
    assert find_equivalents([A], [one]) == {A}
    assert find_equivalents([A, B], [one]) == {A, B, M}


names = st.lists(st.sampled_from(NAMES), max_size=4, unique=True)


@settings(deadline=None)
@given(names, names, names)
def test_a_note_is_read_back(into: list[str], parts: list[str], damaged: list[str]):
    made = merge(into, parts, damaged)
    assert parse_merge(made.to_json()) == made


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_invalid_notes_are_ignored(content: bytes):
    assert parse_merge(content) is None


def test_only_valid_notes_of_a_folder_are_read(tmp_path: Path):
    made = merge([M], [A, B])
    (tmp_path / made.name).write_bytes(made.to_json())
    (tmp_path / "merged-0000000000000000.json").write_bytes(made.to_json().replace(A.encode(), b"../../etc/passwd"))
    assert read_merges(tmp_path) == [made]

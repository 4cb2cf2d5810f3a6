"""Checks of whole segments, and what an accepted line means for every command that reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ita_pipeline.cache.compaction import compact
from ita_pipeline.cache.parquet import export
from ita_pipeline.cache.records import decode
from ita_pipeline.cache.store import Store
from ita_pipeline.cache.validate import verify_segments
from stages.ocr.schema import OcrValue
from tests.support.fakes import SizeStage, SizeValue
from tests.support.segments import KEY, STAGE, put, signed, value

TEXTS = st.sampled_from(["a", "é", "", "f" * 64, "F" * 64, r"\\ud800", r"\\u0061", "x y"])
NUMBERS = st.sampled_from(
    ["1", "-1", "0.5", "1e400", "NaN", str(2**63 - 1), str(2**63), '"7"', f'"{2**70}"', "null"]
)
MEMBERS = st.one_of(
    TEXTS.map(lambda text: f'"image": "{text}"'),
    st.builds(lambda width, height: f'"value": {{"width": {width}, "height": {height}}}', NUMBERS, NUMBERS),
    st.sampled_from(["permanent", "none"]).map(lambda kind: f'"failure": {{"kind": "{kind}", "reason": ""}}'),
    NUMBERS.map(lambda number: f'"seconds": {number}'),
    st.just('"more": []'),
)
USUAL = st.tuples(
    TEXTS.map(lambda text: f'"image": "{text}"'),
    st.builds(lambda width: f'"value": {{"width": {width}, "height": 1}}', NUMBERS),
    NUMBERS.map(lambda number: f'"seconds": {number}'),
)


@settings(max_examples=300, deadline=None)
@given(members=st.one_of(USUAL, USUAL, st.lists(MEMBERS, max_size=6)))
@example(members=['"image": "a"', '"value": {"width": 1, "height": 1}', '"image": "b"', '"seconds": 1'])
def test_what_is_accepted_can_be_read_by_every_command(
    members: list[str], tmp_path_factory: pytest.TempPathFactory
):
    root = tmp_path_factory.mktemp("store")
    line = signed("{" + ", ".join(members))
    path = put(Store(root), value("z"))
    path.write_bytes(path.read_bytes() + line + b"\n")
    try:
        accepted = decode(line, SizeValue)
    except ValueError:
        assert find_damaged(path) == [2]
        Store(root).index.refresh(Store(root).folder(KEY))
        return
    store = Store(root)
    expected = {"z": value("z"), accepted.image: accepted}
    assert store.results(STAGE, KEY) == expected
    assert store.index.summarize(store.folder(KEY)).values >= 1
    assert find_damaged(path) == []
    files, _ = export(store, root / "records", {STAGE.name: SizeStage})
    assert files[0].records == 2
    list(compact(store))
    assert Store(root).results(STAGE, KEY) == expected


def find_damaged(path: Path) -> list[int]:
    """The numbers of the damaged lines of a segment."""
    return [line.line for line in verify_segments([(path, path, None)], SizeValue).damage]


def test_an_incomplete_last_line_is_ignored_and_counted(tmp_path: Path):
    path = put(Store(tmp_path), value("a"), value("b"))
    path.write_bytes(path.read_bytes()[:-3])
    checked = verify_segments([(path, path, None)])
    assert (checked.lines, checked.damage, checked.torn) == (1, (), 1)
    assert verify_segments([(path, path, path.stat().st_size)]).damage[0].line == 0


def test_a_record_of_another_stage_is_damaged(tmp_path: Path):
    path = put(Store(tmp_path), value("a"))
    assert verify_segments([(path, path, None)], OcrValue).damage[0].line == 1

"""Parquet export: all current records, in one order, in typed columns that other programs can read."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ita_pipeline.cache.keys import StageKey, stage_key
from ita_pipeline.cache.parquet import export, schema_of
from ita_pipeline.cache.records import Record
from ita_pipeline.cache.store import Store
from ita_pipeline.core.errors import CorruptCacheError, UsageError
from ita_pipeline.extraction.presets import load_installed_stages
from stages.base import Failure, FailureKind, Frozen, Identity, Stage, StageConfig, Value
from stages.ocr.schema import OcrValue, Word
from stages.ocr.stage import OcrStage
from tests.support.fakes import SizeConfig, SizeStage, SizeValue, ita_here

INSTALLED: dict[str, type[Stage[Any]]] = {"size": SizeStage}


class Part(Frozen):
    name: str
    box: tuple[float, float, float, float]


class OddValue(Value):
    parts: tuple[Part, ...]
    best: Part | None
    mixed: str | int
    named: Mapping[str, Part]
    pair: tuple[int, str]
    flag: bool = True


class OddStage(Stage[StageConfig]):
    name, version = "odd", 1
    config_type, value_type = StageConfig, OddValue

    def identity(self) -> Identity:
        return Identity()

    def run(self, items: object) -> list[Value]:
        return []


def key_of(stage: Stage[Any]) -> StageKey:
    return stage_key(stage, {})


def fill(store: Store, stage: Stage[Any], *found: Record, replace: bool = False) -> None:
    with store.open_writer(key_of(stage), replace) as writer:
        writer.append(list(found))


def size(number: int, width: int = 1) -> Record:
    return Record(f"{number:064x}", SizeValue(width=width, height=2), 0.25)


FAILED = Record("f" * 64, Failure(kind=FailureKind.PERMANENT, reason="no \N{SNOWMAN} picture"), 0.0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two keys of a stage, records in no order, one replaced and one failed."""
    made = Store(tmp_path / ".ita")
    numbers = list(range(25))
    random.Random(1).shuffle(numbers)
    fill(made, SizeStage(), *(size(number) for number in numbers), FAILED)
    fill(made, SizeStage(), size(3, 9), replace=True)
    fill(made, SizeStage(SizeConfig(times=2)), size(1, 7))
    return made


def rows(file: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return pq.read_table(file).to_pylist()


def test_all_current_records_are_exported_in_order(store: Store):
    ((part,), left_out) = export(store, Path("out"), INSTALLED, row_group_size=7)
    assert (part.file, part.keys, part.records, left_out) == (Path("out/size.parquet"), 2, 27, [])
    found = rows(part.file)
    assert [(row["key"], row["image"]) for row in found] == sorted((row["key"], row["image"]) for row in found)
    mine = [row for row in found if row["key"] == key_of(SizeStage()).hexdigest]
    assert [row["value"] for row in mine[:4]] == [*[{"width": 1, "height": 2}] * 3, {"width": 9, "height": 2}]
    failure = {"kind": "permanent", "reason": "no \N{SNOWMAN} picture"}
    assert (mine[-1]["value"], mine[-1]["failure"], mine[-1]["image"]) == (None, failure, FAILED.image)
    assert {row["seconds"] for row in found} == {0.25, 0.0}


def test_the_file_does_not_depend_on_how_records_are_stored(store: Store):
    from ita_pipeline.cache.compaction import compact

    export(store, Path("one"), INSTALLED)
    list(compact(store))
    export(Store(store.root), Path("two"), INSTALLED)
    assert Path("one/size.parquet").read_bytes() == Path("two/size.parquet").read_bytes()


def test_duckdb_and_datasets_can_read_the_file(store: Store, tmp_path: Path):
    import datasets
    import duckdb

    export(store, Path("out"), INSTALLED)
    asked = (
        "SELECT failure.kind, COUNT(*), SUM(value.width) FROM 'out/size.parquet' GROUP BY 1 ORDER BY 1 NULLS FIRST"
    )
    assert duckdb.sql(asked).fetchall() == [(None, 26, 24 + 9 + 7), ("permanent", 1, None)]
    found = datasets.load_dataset("parquet", data_files="out/size.parquet", split="train", cache_dir=str(tmp_path))
    assert found.num_rows == 27
    assert {row["value"]["width"] for row in found if row["value"] is not None} == {1, 7, 9}


def test_a_value_is_a_struct_and_fields_without_fixed_shape_are_json(tmp_path: Path):
    store = Store(tmp_path / ".ita")
    part = Part(name="a\N{COMBINING ACUTE ACCENT}", box=(0.0, 1.0, 2.5, 3.0))
    value = OddValue(parts=(part, part), best=None, mixed=3, named={"x": part}, pair=(1, "b"))
    fill(store, OddStage(StageConfig()), Record("a", value, 0.0))
    export(store, Path("odd.parquet"), {"odd": OddStage})
    (row,) = rows(Path("odd.parquet"))
    box = {"name": "a\N{COMBINING ACUTE ACCENT}", "box": [0.0, 1.0, 2.5, 3.0]}
    assert row["value"] == {
        "parts": [box, box],
        "best": None,
        "mixed": "3",
        "named": '{"x": {"name": "a\N{COMBINING ACUTE ACCENT}", "box": [0.0, 1.0, 2.5, 3.0]}}',
        "pair": '[1, "b"]',
        "flag": True,
    }


def test_every_built_in_stage_has_a_schema():
    for stage in load_installed_stages().values():
        assert schema_of(stage).names == ["image", "key", "value", "failure", "seconds"]
    words = schema_of(OcrStage).field("value").type.field("words").type.value_type
    assert [str(field.type) for field in words] == ["string", "double", "list<item: int64>", "int64"]


def test_lone_surrogates_are_replaced(tmp_path: Path):
    store = Store(tmp_path / ".ita")
    word = Word(text="a\ud800b", confidence=0.5, box=(0, 0, 1, 1), line=0)
    key = StageKey("ocr", {"stage": "ocr", "version": OcrStage.version}, "0" * 64)
    with store.open_writer(key) as writer:
        writer.append([Record("a", OcrValue(width=1, height=1, words=(word,)), 0.0)])
    export(store, Path("ocr.parquet"), {"ocr": OcrStage})
    assert rows(Path("ocr.parquet"))[0]["value"]["words"][0]["text"] == "a\ufffdb"


def test_keys_without_a_readable_schema_are_skipped_with_the_reason(store: Store):
    other = StageKey("size", {"stage": "size", "version": 9}, "9" * 64)
    unknown = StageKey("stranger", {"stage": "stranger", "version": 1}, "8" * 64)
    for key in (other, unknown):
        with store.open_writer(key) as writer:
            writer.append([size(1)])
    parts, left_out = export(store, Path("out"), INSTALLED)
    assert [part.records for part in parts] == [27]
    assert {key.stage: why for key, why in left_out} == {
        "size": "it is of another version of the stage",
        "stranger": "that stage is not installed",
    }


def test_damage_stops_the_export_and_leaves_no_partial_file(store: Store):
    path = next(path for path in store.folder(key_of(SizeStage())).glob("*.jsonl") if ".g2" not in path.name)
    path.write_bytes(path.read_bytes().replace(b'"width": 1', b'"width": 8', 1))
    with pytest.raises(CorruptCacheError):
        export(store, Path("out"), INSTALLED)
    assert list(Path("out").iterdir()) == []


def test_impossible_requests_are_usage_errors(store: Store):
    Path("size.parquet").write_text("here")
    with pytest.raises(UsageError, match="exists"):
        export(store, Path("size.parquet"), INSTALLED)
    with pytest.raises(UsageError, match="the cache has no records of caption"):
        export(store, Path("out"), INSTALLED, ["caption"])
    fill(store, OddStage(StageConfig()), FAILED)
    with pytest.raises(UsageError, match="is one file"):
        export(store, Path("new.parquet"), {**INSTALLED, "odd": OddStage})


def test_the_command_writes_one_file_per_stage():
    store = Store(Path(".ita"))
    key = StageKey("ocr", {"stage": "ocr", "version": OcrStage.version}, "0" * 64)
    with store.open_writer(key) as writer:
        writer.append([Record("a" * 64, OcrValue(width=1, height=1, words=()), 0.0)])
    answer = ita_here("cache", "export", "records", "--format", "parquet")
    assert answer.code == 0, answer.err
    assert "records/ocr.parquet: 1 record under 1 key" in answer.out
    again = ita_here("cache", "export", "records", "--format", "parquet")
    assert (again.code, "records/ocr.parquet already exists" in again.err) == (2, True)

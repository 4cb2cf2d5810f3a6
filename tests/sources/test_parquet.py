"""Tests of images in Parquet files and datasets, as `datasets` and other libraries write them."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ita_pipeline.core.errors import UsageError
from ita_pipeline.sources import parquet as tables
from ita_pipeline.sources.classify import TargetKind, classify
from ita_pipeline.sources.discover import discover
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.parquet import Cell, is_table, list_table_cells
from stages.base import BadItemError, FailureKind
from tests.support.fakes import draw, ita_here
from tests.support.ocr_runs import OCR, counts, extract

COLOURS = ("red", "green", "blue", "white")


# The types of columns that hold images.
KINDS = [
    pa.binary(),
    pa.large_binary(),
    pa.binary_view(),
    pa.dictionary(pa.int32(), pa.binary()),
    pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    pa.struct({"bytes": pa.binary_view(), "path": pa.string_view()}),
]


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(buffer, "PNG")
    return buffer.getvalue()


def dataset(colours: tuple[str, ...] = COLOURS) -> Any:
    import datasets

    datasets.disable_progress_bars()
    rows = {"label": list(range(len(colours))), "photo": [{"bytes": png(one), "path": None} for one in colours]}
    features = datasets.Features({"label": datasets.Value("int64"), "photo": datasets.Image()})
    return datasets.Dataset.from_dict(rows, features=features)


def written(values: Any, name: str = "a.parquet", column: str = "image", **options: Any) -> LocalFile:
    pq.write_table(pa.table({"id": [str(n) for n in range(len(values))], column: values}), name, **options)
    return LocalFile(Path(name))


def test_tables_of_datasets_are_read_from_every_source(monkeypatch: pytest.MonkeyPatch):
    for colour in COLOURS:
        draw(Path(f"images/{colour}.png"), colour).write_bytes(png(colour))
    assert counts(extract("images")) == (0, 4, 0)
    dataset(COLOURS[:3]).to_parquet("parts/train-0.parquet", batch_size=2)
    dataset(COLOURS[3:]).to_parquet("parts/train-1.parquet")
    memory = fsspec.filesystem("memory")
    for path in Path("parts").iterdir():
        memory.pipe_file(f"/parts/{path.name}", path.read_bytes())
    for target in ("parts", "parts/train-{0..1}.parquet", "memory://parts/"):
        assert counts(extract(target)) == (4, 0, 0), target
    dataset().save_to_disk("saved", num_shards=2)
    assert counts(extract("saved")) == (4, 0, 0)

    import datasets

    found = datasets.load_from_disk("saved")
    monkeypatch.setattr("datasets.load_dataset", lambda name, revision=None: datasets.DatasetDict({"train": found}))
    assert counts(extract("owner/name")) == (4, 0, 0)
    why = ita_here("why", "parts/train-0.parquet::2", *OCR, "--json")
    assert json.loads(why.out)["stages"][0]["state"] == "fresh"


def test_images_of_a_table_are_extracted_once():
    dataset().to_parquet("a.parquet")
    assert counts(extract("a.parquet")) == (0, 4, 0)
    assert counts(extract("a.parquet")) == (4, 0, 0)
    dataset(("black", "red")).to_parquet("a.parquet")
    assert counts(extract("a.parquet")) == (1, 1, 0)


def test_a_table_replaced_within_a_clock_tick_is_read_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ita_pipeline.sources.local.is_settled", lambda status: False)
    dataset(("red", "green")).to_parquet("a.parquet")
    assert counts(extract("a.parquet")) == (0, 2, 0)
    dataset(("black", "red")).to_parquet("a.parquet")
    assert counts(extract("a.parquet")) == (1, 1, 0)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.lists(st.one_of(st.none(), st.binary(min_size=1, max_size=300)), min_size=1, max_size=120),
    st.integers(1, 70),
    st.sampled_from(KINDS),
    st.randoms(use_true_random=False),
)
def test_every_cell_is_read_in_any_order(values: list[bytes | None], rows: int, kind: Any, chance: Any):
    tables.open_column.cache_clear()
    as_written = [{"bytes": one, "path": None} for one in values] if pa.types.is_struct(kind) else values
    file = written(pa.array(as_written, kind), row_group_size=rows)
    found = list(list_table_cells(file, "stamp"))
    order = list(range(len(values)))
    chance.shuffle(order)
    for number in order:
        try:
            assert found[number].read(1000) == values[number]
        except BadItemError as bad:
            assert values[number] is None
            assert bad.failure.reason == "there is no picture in this row"
    assert [cell.number for cell in found] == list(range(len(values)))


def test_the_size_of_a_cell_is_limited():
    (cell,) = list_table_cells(written([b"x" * 5000]), "")
    with pytest.raises(BadItemError) as caught:
        cell.read(4999)
    assert caught.value.failure.kind is FailureKind.RESOURCE


def test_the_image_column_is_chosen_or_the_table_is_refused():
    assert next(list_table_cells(written([b"x"], column="png"), "")).column == "png"
    assert next(list_table_cells(written([b"x"], column="whatever"), "")).column == "whatever"
    with pytest.raises(UsageError, match="its columns are id, image"):
        next(list_table_cells(written(["text"]), ""))
    pq.write_table(pa.table({"one": [b"x"], "two": [b"y"]}), "two.parquet")
    with pytest.raises(UsageError, match="one, two"):
        next(list_table_cells(LocalFile(Path("two.parquet")), ""))


def test_a_path_in_a_cell_must_stay_in_the_folder_of_the_table():
    draw(Path("folder/deep/a.png"))
    draw(Path("out.png"))
    Path("folder/linked").symlink_to("..")
    paths = [
        "deep/a.png",
        "linked/out.png",
        "linked/../../out.png",
        "../out.png",
        str(Path("out.png").absolute()),
        "gone.png",
        "a\0b",
    ]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    file = written(pa.array([{"bytes": None, "path": path} for path in paths], kind), "folder/a.parquet")
    good, linked, *bad = list_table_cells(file, "")
    assert good.read(10_000) == Path("folder/deep/a.png").read_bytes()
    assert linked.read(10_000) == Path("out.png").read_bytes()
    for cell in bad:
        with pytest.raises(BadItemError):
            cell.read(10_000)


def test_a_damaged_table_is_refused_in_one_sentence():
    content = bytearray(written([bytes([n]) * 50 for n in range(100)]).path.read_bytes())
    Path("text.parquet").write_text("hello")
    with pytest.raises(UsageError, match="not a Parquet file"):
        next(list_table_cells(LocalFile(Path("text.parquet")), ""))
    content[4:] = b"\xff" * (len(content) - 4)
    Path("a.parquet").write_bytes(content)
    with pytest.raises(UsageError, match="damaged"):
        next(list_table_cells(LocalFile(Path("a.parquet")), ""))
    values = [bytes([n]) * 5000 for n in range(100)]
    content = bytearray(written(values, compression="none").path.read_bytes())
    content[200_000:200_100] = b"\xff" * 100
    Path("a.parquet").write_bytes(content)
    read: list[bytes] = []
    for cell in list_table_cells(LocalFile(Path("a.parquet")), "other"):
        try:
            read.append(cell.read(5000))
        except BadItemError as bad:
            assert bad.failure.reason
    assert values[0] in read


def test_an_arrow_file_whose_offsets_lead_out_of_it_is_refused_in_one_sentence():
    dataset().save_to_disk("saved")
    (file,) = Path("saved").glob("*.arrow")
    (first, *_), whole = discover("saved").images, file.read_bytes()
    assert first.read(1000) == png("red")
    sizes = [len(png(colour)) for colour in COLOURS[:2]]
    offsets = struct.pack("<iii", 0, sizes[0], sum(sizes))
    assert whole.count(offsets) == 1
    file.write_bytes(whole.replace(offsets, struct.pack("<iii", 0, 2**31 - 1, sum(sizes))))
    with pytest.raises(UsageError, match="no Arrow file, or damaged"):
        discover("saved")
    assert ita_here("extract", "saved", *OCR).code == 2
    tables.open_column.cache_clear()
    with pytest.raises(BadItemError, match="no Arrow file, or damaged"):
        first.read(1000)


def test_a_saved_dataset_names_pictures_of_its_folder_only():
    private = draw(Path("private.png"))
    dataset().save_to_disk("saved")
    (file,) = Path("saved").glob("*.arrow")
    own = draw(Path("saved/own.png"), "blue")
    paths = [
        "own.png",
        str(own.absolute()),
        str(private.absolute()),
        "../private.png",
        "a\0b",
        "http://a.example/a.png",
    ]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    values = pa.array([{"bytes": None, "path": path} for path in paths], kind)
    with pa.ipc.new_stream(file, pa.schema({"photo": kind})) as stream:
        stream.write_table(pa.table({"photo": values}))
    one, two, *bad = (Cell(LocalFile(file), "s", "photo", 0, row, row) for row in range(len(paths)))
    assert one.read(10_000) == two.read(10_000) == own.read_bytes()
    for cell in bad:
        with pytest.raises(BadItemError):
            cell.read(10_000)


def test_tables_and_saved_datasets_are_classified():
    dataset().save_to_disk("saved")
    draw(Path("pictures/a.png"))
    Path("pictures/state.json").write_text("{}")
    assert is_table("A.PARQUET")
    assert classify("saved") is TargetKind.SAVED_DATASET
    assert classify("pictures") is TargetKind.IMAGE_FOLDER
    assert classify("pictures/nowhere") is TargetKind.NAME
    assert classify("owner/name@main") is TargetKind.HUB_DATASET
    assert len(discover("pictures").images) == 1


def test_each_cell_has_its_own_address():
    cells = [Cell(LocalFile(Path("a.parquet")), "", "image", 0, row, row) for row in range(2)]
    assert len({cell.address("/here") for cell in cells}) == 2
    assert cells[1].label == "a.parquet::1"
    assert cells[1].name == "a-1"


def test_a_table_that_expands_to_a_multiple_of_its_size_is_refused_before_it_is_read():
    zeros = pa.array([bytes(70_000_000)], pa.binary())
    pq.write_table(pa.table({"image": zeros}), "bomb.parquet", compression="zstd", use_dictionary=False)
    assert Path("bomb.parquet").stat().st_size < 100_000
    with pytest.raises(UsageError, match="expands to 70,000,"):
        next(list_table_cells(LocalFile(Path("bomb.parquet")), "stamp"))


def test_a_large_value_that_a_dictionary_repeats_is_held_a_few_times_only():
    repeated = pa.DictionaryArray.from_arrays(
        pa.array([0] * 40, pa.int32()), pa.array([bytes(range(250)) * 80_000])
    )
    pq.write_table(pa.table({"image": repeated}), "same.parquet", store_schema=False)
    cells = list(list_table_cells(LocalFile(Path("same.parquet")), "stamp"))
    assert {len(cell.read(20_000_000)) for cell in (*cells, cells[3], cells[39])} == {20_000_000}
    assert isinstance(column := tables.open_column(cells[0].container, "image", 0, "stamp"), tables.ParquetColumn)
    assert len(column._held) <= 5

"""The database of the index: rebuilt where damaged or of another version, in memory where it cannot be used."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.cache.database import VERSION, Database, State, from_column, table_order, to_column
from ita_pipeline.cache.store import Store
from tests.support.segments import KEY, put, read_states, value


def test_a_missing_or_damaged_database_is_rebuilt(tmp_path: Path):
    put(Store(tmp_path), value("a"))
    read_states(Store(tmp_path))
    for content in (None, b"", b"no database at all" * 100):
        file = tmp_path / "index.sqlite"
        file.unlink() if content is None else file.write_bytes(content)
        assert read_states(Store(tmp_path)) == {"a": State.VALUE}


def test_an_unwritable_database_is_replaced_by_memory(tmp_path: Path):
    put(Store(tmp_path), value("a"))
    index = Store(tmp_path).index
    index.select(["a", "b"])
    index.connection.execute("PRAGMA query_only = ON")
    index.refresh(Store(tmp_path).folder(KEY))
    assert index.find_unfinished(Store(tmp_path).folder(KEY)) == [(1, None)]


def test_a_database_of_another_version_is_rebuilt(tmp_path: Path):
    put(Store(tmp_path), value("a"))
    read_states(Store(tmp_path))
    with sqlite3.connect(tmp_path / "index.sqlite") as connection:
        connection.execute("DELETE FROM records")
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    assert read_states(Store(tmp_path)) == {"a": State.VALUE}


def test_an_error_in_a_transaction_rolls_it_back(tmp_path: Path):
    database = Database(tmp_path)

    def fail() -> None:
        with database.transaction() as connection:
            connection.execute("INSERT INTO folders (name) VALUES ('size/1')")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert database.connection.execute("SELECT COUNT(*) FROM folders").fetchone()[0] == 0
    with database.transaction() as connection:
        connection.execute("INSERT INTO folders (name) VALUES ('size/1')")
    other = Database(tmp_path)
    assert other.connection.execute("SELECT COUNT(*) FROM folders").fetchone()[0] == 1


images = st.text() | st.binary(min_size=32, max_size=32).map(bytes.hex) | st.just("A" * 64)


@given(images)
def test_a_column_value_converts_back_to_its_image(image: str):
    assert from_column(to_column(image)) == image


@given(st.lists(images))
def test_every_image_has_one_place_in_the_order_of_the_table(found: list[str]):
    assert sorted(table_order(found)) == list(range(len(found)))

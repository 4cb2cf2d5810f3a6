"""Part files: whole or not there, damage is said, and only the same run goes on in the same folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ita_pipeline.core.errors import CorruptCacheError, UsageError
from ita_pipeline.runs.part_files import Answered, Form, Parts

FORMS = pytest.mark.parametrize("form", list(Form))


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


def parts(form: Form) -> Parts:
    return Parts.of_run(Path("out"), "run", 0.0, form)


@FORMS
def test_what_is_written_is_known(form: Form):
    parts(form).write([row(1), row(2)])
    answered = Answered(parts(form))
    asked = [("1", "key-hi kim"), ("2", "key-other"), ("3", "key-hi kim")]
    assert answered.among(asked) == {("1", "key-hi kim")}
    answered.close()


@FORMS
def test_the_same_rows_written_twice_are_there_once(form: Form):
    assert parts(form).write([row(1)]) == parts(form).write([row(1)])
    assert list(parts(form).known()) == [("1", "key-hi kim")]


@FORMS
def test_a_changed_byte_is_said_with_what_mends_it(form: Form):
    path = parts(form).write([row(1)])
    content = path.read_bytes().replace(b'"hi kim', b'"hi tim').replace(b"key-hi", b"key-ho")
    path.write_bytes(content)
    with pytest.raises(CorruptCacheError, match=path.name) as damaged:
        list(parts(form).known())
    assert damaged.value.hint.startswith("rm ")


def test_tables_are_read_by_others(tmp_path: Path):
    import pyarrow.parquet as pq

    path = parts(Form.PARQUET).write([row(1), row(2)])
    assert pq.read_table(path).to_pylist() == [row(1), row(2)]


def test_another_run_another_form_and_another_folder_are_refused():
    parts(Form.JSONL)
    with pytest.raises(UsageError, match="another run run"):
        Parts.of_run(Path("out"), "other", 0.0, Form.JSONL)
    with pytest.raises(UsageError, match="another format jsonl"):
        parts(Form.PARQUET)
    Path("full").mkdir()
    Path("full/thing").touch()
    with pytest.raises(UsageError, match="something else"):
        Parts.of_run(Path("full"), "run", 0.0, Form.JSONL)


def test_lines_are_those_of_a_prediction_with_a_check_sum():
    (line,) = parts(Form.JSONL).write([row(7)]).read_text().splitlines()
    found = json.loads(line)
    assert len(found.pop("crc")) == 8
    assert found == row(7)

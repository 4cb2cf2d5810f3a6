"""A folder of hostile files: the command gives a value or a failure with a reason for each."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.support.fakes import ita
from tests.support.hostile import write_all

SEED = int(os.environ.get("ITA_HOSTILE_SEED", "1"))


def test_every_hostile_file_gives_a_value_or_a_failure_with_a_reason():
    good, bad = write_all(Path("images"), SEED)
    answer = ita("extract", "images", "--preset", "bundled", "--json")
    assert answer.code == 1, answer.err
    assert "Traceback" not in answer.err
    assert "\x1b" not in answer.err + answer.out
    found = json.loads(answer.out)
    told = [*found["failed"], *found["unreadable"]]
    assert all(item["reason"] for item in told)
    assert {Path(item["image"]).name for item in told} == bad
    records = [
        json.loads(line)
        for path in Path(".ita/cache").glob("*/*/*.jsonl")
        for line in path.read_text().splitlines()
    ]
    for stage in found["stages"]:
        assert stage["done"] == len(good), stage
    values = {record["image"] for record in records if "value" in record}
    assert len(values) == len(good)
    assert ita("extract", "images", "--preset", "bundled", "--json").code == 1
    assert ita("cache", "verify").code == 0
    assert not Path("x").exists()

"""`ita status`, `--dry-run` and `--exit-code`, and `ita why`, as a person meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes import draw
from tests.support.fakes import ita_here as ita

BUNDLED = ["--preset", "bundled", "--stage", "ocr"]


def status(*more: str) -> dict[str, Any]:
    answer = ita("status", "images", *BUNDLED, "--json", *more)
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


@pytest.fixture(autouse=True)
def pictures():
    draw(Path("images/a.png"))
    draw(Path("images/b.png"), "blue")


def test_status_shows_stale_pictures_with_reasons_and_a_forecast():
    before = status()
    (row,) = before["stages"]
    assert (before["schema"], before["clean"]) == ("ita.status/1", False)
    assert (row["stage"], row["fresh"], row["stale"], row["failed"]) == ("ocr", 0, 2, 0)
    assert (row["reasons"], row["seconds_forecast"]) == ({"new image": 2}, None)

    assert ita("extract", "images", *BUNDLED).code == 0
    after = status()
    assert (after["clean"], after["stages"][0]["fresh"]) == (True, 2)

    changed = status("--set", "ocr.max_side=1200")["stages"][0]
    assert changed["reasons"] == {"parameter max_side 2400 → 1200": 2}
    assert changed["seconds_forecast"] > 0
    assert changed["key"] != row["key"] == after["stages"][0]["key"]


def test_a_dry_run_prints_the_status_and_does_nothing():
    for more in ([], ["--set", "ocr.page_mode=6"], ["--refresh", "ocr"]):
        dry = ita("extract", "images", *BUNDLED, *more, "--dry-run", "--json")
        assert dry.code == 0, dry.err
        asked = ita("status", "images", *BUNDLED, *more, "--json")
        assert json.loads(dry.out) == json.loads(asked.out)
    assert not list(Path(".ita").rglob("*.jsonl"))


def test_a_dry_run_counts_what_a_run_then_does():
    for more in ([], ["--set", "ocr.page_mode=6"], ["--refresh", "ocr"], []):
        dry = json.loads(ita("extract", "images", *BUNDLED, *more, "--dry-run", "--json").out)["stages"]
        done = json.loads(ita("extract", "images", *BUNDLED, *more, "--json").out)["stages"]
        assert [(row["stage"], row["stale"]) for row in dry] == [(row["stage"], row["done"]) for row in done]
        draw(Path(f"images/{len(more)}.png"), "green", (30 + len(more), 30))


def test_a_stale_stage_has_exit_code_1_only_with_exit_code():
    assert ita("status", "images", *BUNDLED).code == 0
    assert ita("status", "images", *BUNDLED, "--exit-code").code == 1
    ita("extract", "images", *BUNDLED)
    assert ita("status", "images", *BUNDLED, "--exit-code").code == 0


def test_status_prints_a_table_and_one_line_per_reason():
    answer = ita("status", "images", *BUNDLED)
    header, row, reason = answer.out.splitlines()
    assert header.split() == ["stage", "key", "fresh", "stale", "failed", "forecast"]
    assert row.split()[0] == "ocr"
    assert row.split()[2:] == ["0", "2", "0", "unknown"]
    assert reason == "ocr: 2 × new image"


def test_a_limit_postpones_the_other_pictures():
    answer = ita("extract", "images", *BUNDLED, "--limit", "1", "--json")
    assert json.loads(answer.out)["stages"][0]["done"] == 1
    assert "1 picture not processed" in answer.err
    assert status()["stages"][0]["fresh"] == 1


def test_failures_are_retried_by_kind():
    Path("images/text.jpg").write_text("no picture")
    assert ita("extract", "images", *BUNDLED).code == 1
    row = status()["stages"][0]
    assert (row["failed"], row["failures"]) == (1, {"permanent": 1})
    assert status("--retry-failed", "transient")["stages"][0]["stale"] == 0
    for choice in (["--retry-failed", "permanent"], ["--retry-failed"]):
        (reason,) = status(*choice)["stages"][0]["reasons"]
        assert reason.startswith("failed before, retry requested (not a picture")


def test_a_changed_picture_is_stale_because_its_content_changed():
    ita("extract", "images", *BUNDLED)
    draw(Path("images/a.png"), "yellow")
    assert status()["stages"][0]["reasons"] == {"content changed": 1}
    assert status()["stages"][0]["reasons"] == {"content changed": 1}


def test_a_damaged_record_is_a_reason_with_exit_code_4():
    ita("extract", "images", *BUNDLED)
    (segment,) = Path(".ita/cache/ocr").glob("*/*.jsonl")
    segment.write_bytes(segment.read_bytes().replace(b'"words"', b'"sword"', 1))
    answer = ita("status", "images", *BUNDLED)
    assert answer.code == 4
    assert "ocr: 1 × corrupt record" in answer.out
    assert "hint: ita cache" in answer.err
    assert ita("extract", "images", *BUNDLED, "--dry-run").code == 4


def test_the_training_is_a_row_of_the_table():
    answer = ita("status", "example", "--preset", "bundled", "--contexts", "none", "--json")
    assert answer.code == 0, answer.err
    (row,) = json.loads(answer.out)["stages"]
    assert (row["stage"], row["stale"], row["reasons"]) == ("training", 1, {"never trained": 1})
    pictured = ita("status", "example", "--preset", "bundled", "--stage", "ocr", "--json")
    rows = json.loads(pictured.out)["stages"]
    assert [row["stage"] for row in rows] == ["ocr", "training"]
    assert rows[1]["reasons"] == {"depends on stale stages: ocr": 1}


def test_without_a_target_the_status_covers_all_pictures_processed_before():
    nothing = ita("status", "--preset", "bundled", "--workspace", "new")
    assert nothing.code == 2
    assert "hint: ita status FOLDER" in nothing.err
    draw(Path("more/c.png"), "green")
    for folder in ("images", "more"):
        assert ita("extract", folder, *BUNDLED).code == 0
    Path("images/b.png").unlink()
    draw(Path("more/c.png"), "black")
    answer = ita("status", *BUNDLED, "--json")
    (row,) = json.loads(answer.out)["stages"]
    assert (row["fresh"], row["reasons"]) == (1, {"content changed": 1})
    assert "2 pictures processed before; 1 no longer exist" in answer.err


def test_without_a_target_the_status_lists_unfinished_runs():
    assert ita("extract", "images", *BUNDLED).code == 0
    assert "unfinished" not in ita("status", *BUNDLED).out
    Path("runs/mine/.0123456789abcdef/checkpoints").mkdir(parents=True)
    Path("runs/mine/fedcba9876543210").mkdir()
    assert "unfinished run: runs/mine/.0123456789abcdef; run its command again" in ita("status", *BUNDLED).out
    assert json.loads(ita("status", *BUNDLED, "--json").out)["unfinished"] == ["runs/mine/.0123456789abcdef"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nowhere"], 3, "no dataset nowhere"),
        (["images", "--refresh", "orc"], 2, "did you mean ocr?"),
        (["images", "--set", "limits.megapixels=0"], 2, "megapixels"),
        (["images", "--set", "limits.pixels=1"], 2, "limits.pixels is not a setting"),
    ],
)
def test_a_mistake_gets_one_sentence(arguments: list[str], code: int, says: str):
    answer = ita("status", *arguments, "--preset", "bundled")
    assert answer.code == code, answer.err
    assert says in answer.err
    assert "Traceback" not in answer.err


def test_why_shows_that_a_new_picture_has_no_record():
    answer = ita("why", "images/a.png", *BUNDLED)
    assert answer.code == 0, answer.err
    assert "ocr: stale\n  reason   new image\n  record   none" in answer.out


def test_why_shows_the_record_and_its_segment_and_line():
    ita("extract", "images", *BUNDLED)
    found = json.loads(ita("why", "images/a.png", *BUNDLED, "--json").out)
    assert found["schema"] == "ita.why/1"
    (ocr,) = found["stages"]
    assert (ocr["state"], ocr["reasons"]) == ("fresh", [])
    place = ocr["record"]
    line = Path(place["segment"]).read_text().splitlines()[place["line"] - 1]
    assert json.loads(line) == place["content"]
    assert place["content"]["image"] == found["image"]
    assert ocr["components"]["parameters"]["page_mode"] == "lines"


def test_why_names_the_changed_setting_and_shows_the_older_record():
    ita("extract", "images", *BUNDLED)
    answer = ita("why", "images/a.png", *BUNDLED, "--set", "ocr.max_side=1200")
    assert "ocr: stale\n  reason   parameter max_side 2400 → 1200\n  older " in answer.out
    assert "parameter max_side = 1200" in answer.out


def test_why_shows_the_reason_of_a_failure():
    Path("images/text.jpg").write_text("no picture")
    ita("extract", "images", *BUNDLED)
    answer = ita("why", "images/text.jpg", *BUNDLED)
    assert "ocr: failed\n  reason   not a picture" in answer.out


def test_why_refuses_a_folder():
    answer = ita("why", "images", *BUNDLED)
    assert answer.code == 3
    assert "images is a folder, not a picture" in answer.err

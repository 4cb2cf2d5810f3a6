"""`ita cache`: what lies there is told, damage is found and mended, and tidying up loses nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ita_pipeline.cache.records import Record, SegmentWriter
from ita_pipeline.sources.local import hash_file
from stages.ocr.schema import OcrValue, Word
from tests.support.fakes import draw
from tests.support.fakes import ita_here as ita

BUNDLED = ["--preset", "bundled", "--stage", "ocr"]


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which three pictures were extracted by one run each."""
    workspace = tmp_path_factory.mktemp("extracted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace)
        for name, colour in (("a", "red"), ("b", "blue"), ("c", "green")):
            draw(Path(f"images/{name}.png"), colour)
            assert ita("extract", "images", *BUNDLED).code == 0
    return workspace


@pytest.fixture(autouse=True)
def three_runs(extracted: Path) -> None:
    """A copy of that workspace for each test."""
    shutil.copytree(extracted, Path(), dirs_exist_ok=True)


def segments() -> list[Path]:
    return sorted(Path(".ita/cache").glob("*/*/*.jsonl"))


def fresh() -> int:
    return json.loads(ita("status", "images", *BUNDLED, "--json").out)["stages"][0]["fresh"]


def test_ls_shows_keys_with_counts_and_sizes():
    (key,) = json.loads(ita("cache", "ls", "--preset", "bundled", "--json").out)["keys"]
    assert (key["stage"], key["values"], key["failures"], key["segments"]) == ("ocr", 3, 0, 3)
    assert key["bytes"] == sum(path.stat().st_size for path in segments())
    assert key["components"]["parameters"]["page_mode"] == "lines"
    assert ita("cache", "ls", "--preset", "bundled").out.splitlines()[1].split()[2:6] == ["yes", "3", "0", "3"]


def test_ls_shows_which_key_is_current():
    def current(*more: str) -> list[bool]:
        answer = ita("cache", "ls", "--preset", "bundled", "--json", *more)
        return [key["current"] for key in json.loads(answer.out)["keys"]]

    assert current() == [True]
    assert current("--set", "ocr.page_mode=6") == [False]
    bare = ita("cache", "ls", "--preset", "bundled", PATH="/nowhere")
    assert bare.code == 0
    assert "cannot determine the current keys: Tesseract" in bare.err
    assert bare.out.splitlines()[1].split()[2] == "–"


def other_key() -> None:
    assert ita("extract", "images", *BUNDLED, "--set", "ocr.page_mode=6", "--limit", "1").code == 0


def keys() -> list[str]:
    return [path.parent.name for path in sorted(Path(".ita/cache").glob("*/*/stage.json"))]


def test_gc_shows_and_asks_before_it_removes():
    (first,) = keys()
    other_key()
    dry = ita("cache", "gc", "--dry-run")
    assert (dry.code, len(keys())) == (0, 2)
    assert dry.out.splitlines()[1].split()[:3] == ["ocr", first[:8], "3"]
    refused = ita("cache", "gc")
    assert (refused.code, len(keys())) == (2, 2)
    assert "hint: --yes removes without asking" in refused.err
    assert "nothing to remove" in ita("cache", "gc", "--keep", "2", "--yes").err
    done = ita("cache", "gc", "--max-size", "100B", "--yes")
    assert (done.code, len(keys()), first in keys()) == (0, 1, False)
    assert "removed 1 key" in done.err
    assert "more than 100B" in done.err
    assert ita("cache", "gc", "--max-size", "much").code == 2


def test_push_and_pull_through_a_folder_carry_the_cache_to_another_workspace():
    put = ita("cache", "push", "carried")
    assert put.code == 0, put.err
    assert put.out.splitlines()[1].split()[2] == "3"
    came = ita("cache", "pull", "carried", "--workspace", "other")
    assert came.out.splitlines()[1].split()[2] == "3"
    status = json.loads(ita("status", "images", *BUNDLED, "--workspace", "other", "--json").out)
    assert status["stages"][0]["fresh"] == 3
    assert ita("cache", "pull", "carried", "--workspace", "other").out.splitlines()[1].split()[2] == "0"


def test_verify_recomputes_some_results_and_names_those_that_differ():
    answer = ita("cache", "verify", "--recompute", "2", *BUNDLED)
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[-1].split()[2:] == ["2", "0", "0", "0"]
    (key,) = Path(".ita/cache/ocr").iterdir()
    for path in key.glob("*.jsonl"):
        path.unlink()
    images = [hash_file(path) for path in sorted(Path("images").iterdir())]
    word = Word(text="NEVER", confidence=0.9, box=(0, 0, 9, 9), line=0)
    records = [Record(image, OcrValue(width=64, height=48, words=(word,)), 0.1) for image in images]
    writer = SegmentWriter(key)
    writer.append(records)
    writer.close()
    changed = ita("cache", "verify", "--recompute", "3", *BUNDLED, "--json")
    assert changed.code == 1
    (found,) = json.loads(changed.out)["recomputed"]
    assert (found["equal"], found["near"], found["different"], found["lost"]) == (0, 0, 3, 0)
    assert sorted(Path(name).name for name in found["differing"]) == ["a.png", "b.png", "c.png"]


def test_compact_merges_segments_without_losing_a_record():
    before = sorted(line for path in segments() for line in path.read_bytes().splitlines())
    answer = ita("cache", "compact")
    assert answer.code == 0, answer.err
    (one,) = segments()
    assert sorted(one.read_bytes().splitlines()) == before
    assert fresh() == 3
    assert "nothing to do" in ita("cache", "compact").err


def test_compact_drops_replaced_records():
    ita("extract", "images", *BUNDLED, "--refresh", "ocr")
    assert len(segments()) == 4
    assert ita("cache", "compact").code == 0
    (one,) = segments()
    assert len(one.read_bytes().splitlines()) == 3
    ita("extract", "images", *BUNDLED, "--refresh", "ocr")
    assert {path.suffixes[-2] for path in segments()} == {".g2", ".g3"}


def test_verify_names_damage_and_compact_drops_it():
    damaged = segments()[0]
    damaged.write_bytes(damaged.read_bytes().replace(b'"words"', b'"sword"', 1))
    found = ita("cache", "verify")
    assert found.code == 4
    assert "3 lines in 3 segments, 1 damaged" in found.out
    assert f"damaged: {damaged}, line 1, of image" in found.err
    assert ita("cache", "compact").code == 4
    assert len(segments()) == 3
    assert ita("cache", "compact", "--drop-damaged").code == 0
    assert ita("cache", "verify").code == 0
    assert fresh() == 2
    assert ita("extract", "images", *BUNDLED).code == 0
    assert fresh() == 3

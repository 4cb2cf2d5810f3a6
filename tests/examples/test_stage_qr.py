"""The stage in `examples/stage-qr` as its user meets it: installed from its folder, found by its entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.plugins import stage_entry_points
from ita_pipeline.extraction.presets import build_stage
from tests.support.fakes import Answer, draw, ita, ita_here

PACKAGE = Path(__file__).parents[2] / "examples" / "stage-qr"
BUNDLED = ("--preset", "bundled")
ORDER = ("--set", "contexts.order=[ocr,qr]")
SAYS = "https://ashbyfc.example/season-tickets"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A search path with the package, installed as pip does it but into a folder, and without a network."""
    place = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--target", str(place), str(PACKAGE)], check=True)
    return os.pathsep.join(filter(None, [str(place), os.environ.get("PYTHONPATH", "")]))


def poster(path: Path, text: str = SAYS, size: tuple[int, int] = (640, 480)) -> Path:
    """A grey wall with a QR code whose upper left corner is at (200, 100)."""
    code = cv2.QRCodeEncoder.create().encode(text)
    code = cv2.resize(code, None, fx=6, fy=6, interpolation=cv2.INTER_NEAREST)
    wall = np.full((size[1], size[0]), 200, np.uint8)
    wall[100 : 100 + len(code), 200 : 200 + len(code)] = code
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(wall).save(path)
    return path


def read(name: str) -> list[dict[str, object]]:
    files = Path(".ita/cache", name).glob("*/*.jsonl")
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def stages(answer: Answer) -> dict[str, tuple[int, int]]:
    assert answer.code == 0, answer.err
    return {row["stage"]: (row["fresh"], row["stale"]) for row in json.loads(answer.out)["stages"]}


def test_codes_are_found_cached_and_explained(installed: str):
    poster(Path("images/poster.png"))
    draw(Path("images/wall.png"), "grey")
    done = ita("extract", "images", *BUNDLED, "--stage", "qr", PYTHONPATH=installed)
    assert done.code == 0, done.err
    values = {record["image"]: record["value"] for record in read("qr")}
    codes = [code for value in values.values() for code in value["codes"]]  # type: ignore[index]
    assert len(values) == 2
    assert [code["text"] for code in codes] == [SAYS]
    x0, y0, x1, y1 = codes[0]["box"]
    assert (abs(x0 - 212), abs(y0 - 112)) < (6, 6)
    assert 160 < x1 - x0 < 190
    assert 160 < y1 - y0 < 190
    changed = ("--stage", "qr", "--set", "qr.max_side=800")
    status = ita("status", "images", *BUNDLED, *changed, PYTHONPATH=installed)
    assert "qr: 2 × parameter max_side 1600 → 800" in status.out
    assert "tool opencv" in ita("why", "images/poster.png", *BUNDLED, "--stage", "qr", PYTHONPATH=installed).out


def test_it_takes_part_as_soon_as_the_order_of_the_contexts_names_it(installed: str):
    poster(Path("images/poster.png"))
    asked = ("status", "images", *BUNDLED, "--json")
    assert set(stages(ita(*asked, PYTHONPATH=installed))) == {"objects", "ocr", "caption"}
    Path("ita.yaml").write_text("contexts: {order: [ocr, qr]}\nqr: {max_side: 900}\n")
    assert set(stages(ita(*asked, PYTHONPATH=installed))) == {"objects", "ocr", "caption", "qr"}
    shown = ita("config", "show", "--origin", *BUNDLED, PYTHONPATH=installed).out
    assert any(line.split() == ["qr.max_side=900", "ita.yaml"] for line in shown.splitlines())


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (
            ["--set", "contexts.order=[ocr,qrr]"],
            "contexts.order names qrr",
            "known are objects, caption, ocr, extra, knowledge, qr",
        ),
        (["--set", "qr.max_side=800"], "--set names qr", "--stage qr"),
        (["--stage", "qr", "--set", "qr.max_sides=8"], "qr.max_sides is not a setting", "max_side"),
    ],
)
def test_mistakes_get_the_way_out(installed: str, arguments: list[str], message: str, hint: str):
    poster(Path("images/poster.png"))
    answer = ita("extract", "images", *BUNDLED, *arguments, PYTHONPATH=installed)
    assert answer.code == 2
    error, told = answer.err.splitlines()[-2:]
    assert message in error
    assert hint in told


@pytest.fixture
def here(installed: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package in this very process, where torch is loaded already."""
    monkeypatch.syspath_prepend(installed.split(os.pathsep)[0])
    monkeypatch.setenv("PYTHONPATH", installed)
    stage_entry_points.cache_clear()
    yield
    stage_entry_points.cache_clear()


def test_what_the_codes_say_reaches_the_tagger(here: None):
    """One epoch of the real thing: pictures, contexts, training, prediction."""
    lines = []
    for number, split in enumerate(["train", "train", "dev", "test"]):
        poster(Path(f"mine/{number}.png"), f"https://club{number}.example")
        mention = {"start": 14, "end": 19, "type": "ORG"}
        lines.append(
            {"text": "Big night for Ashby", "image": f"{number}.png", "split": split, "mentions": [mention]}
        )
    Path("mine/tweets.jsonl").write_text("\n".join(map(json.dumps, lines)))
    short = ("--contexts", "qr", "--set", "training.epochs=1")
    trained = ita_here("train", "--dataset", "mine/", *BUNDLED, *short)
    assert trained.code == 0, trained.err
    (file,) = Path("runs/mine").glob("*/run.json")
    record = json.loads(file.read_text())
    assert (record["contexts"]["order"], list(record["stage_keys"])) == (["qr"], ["qr"])
    assert record["with_context"] == 4
    assert "club3.example" in (file.parent / "report.html").read_text()
    asked = ("predict", "mine", "--text", "Big night", "--image", "mine/0.png")
    assert ita_here(*asked).out.startswith("Big night  [text+image]\n")


def test_without_the_package_its_stage_is_told_to_be_missing():
    with pytest.raises(UsageError, match="there is no stage qr") as caught:
        build_stage("qr", {})
    assert "install the package it comes in" in caught.value.hint

"""`ita extract` as a person meets it: the real command, real Tesseract, the shipped detector."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from tests.support.fakes import Answer, draw
from tests.support.fakes import ita_here as ita

BUNDLED = ("--preset", "bundled")


def sign(path: Path, words: str) -> Path:
    draw(path, "white", (480, 200))
    picture = Image.open(path)
    ImageDraw.Draw(picture).text((30, 60), words, "black", ImageFont.load_default(size=60))
    picture.save(path)
    return path


def counts(answer: Answer) -> dict[str, tuple[int, int, int]]:
    """Fresh, done now and failed of each stage, from the table."""
    header, *rows = answer.out.splitlines()
    assert header.split() == ["stage", "fresh", "done", "now", "failed", "seconds"]
    return {name: (int(a), int(b), int(c)) for name, a, b, c, _ in map(str.split, rows)}


def records(stage: str) -> list[dict[str, object]]:
    files = sorted(Path(".ita/cache", stage).glob("*/*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_only_stale_pictures_are_processed():
    sign(Path("images/a.png"), "MARLOW 12 km")
    sign(Path("images/deep/b.jpg"), "OPEN")
    first = ita("extract", "images", *BUNDLED)
    assert first.code == 0, first.err
    assert "using preset `bundled` (from --preset)" in first.err
    assert counts(first) == {"objects": (0, 2, 0), "ocr": (0, 2, 0), "caption": (0, 2, 0)}
    assert counts(ita("extract", "images", *BUNDLED)) == dict.fromkeys(("objects", "ocr", "caption"), (2, 0, 0))

    sign(Path("images/c.png"), "NEW")
    Path("images/a.png").rename("images/renamed.png")
    assert counts(ita("extract", "images", *BUNDLED)) == dict.fromkeys(("objects", "ocr", "caption"), (2, 1, 0))

    changed = ita("extract", "images", *BUNDLED, "--set", "ocr.page_mode=6")
    assert counts(changed) == {"objects": (3, 0, 0), "ocr": (0, 3, 0), "caption": (3, 0, 0)}
    Path("images/copy.png").write_bytes(Path("images/c.png").read_bytes())
    copied = ita("extract", "images", *BUNDLED, "--stage", "ocr")
    assert counts(copied) == {"ocr": (3, 0, 0)}
    assert "1 duplicate among 4 pictures" in copied.err
    workers = ita("extract", "images", *BUNDLED, "--set", "ocr.workers=1", "--stage", "ocr")
    assert counts(workers) == {"ocr": (3, 0, 0)}

    assert {word["text"] for record in records("ocr") for word in record["value"]["words"]} >= {"MARLOW", "OPEN"}
    assert {record["value"]["source"] for record in records("caption")} == {"template"}
    assert len({record["image"] for record in records("objects")}) == 3


def test_unreadable_pictures_are_listed_and_the_others_are_processed():
    draw(Path("images/good.png"))
    Path("images/text.jpg").write_text("not a picture")
    whole = draw(Path("whole.jpg"), size=(300, 300)).read_bytes()
    Path("images/cut.jpg").write_bytes(whole[: len(whole) // 2])
    Path("images/notes.txt").write_text("hello")
    answer = ita("extract", "images", *BUNDLED)
    assert answer.code == 1
    assert counts(answer) == dict.fromkeys(("objects", "ocr", "caption"), (0, 1, 2))
    assert "text.jpg: not a picture" in answer.err
    assert "cut.jpg: damaged picture" in answer.err
    assert "skipped 1 file that has no image extension (1 .txt): notes.txt" in answer.err
    assert "hint:" in answer.err
    again = ita("extract", "images", *BUNDLED)
    assert (again.code, counts(again)["ocr"]) == (1, (1, 0, 2))
    assert counts(ita("extract", "images", *BUNDLED, "--retry-failed"))["ocr"] == (1, 0, 2)


def test_file_names_cannot_control_the_terminal():
    Path("images").mkdir()
    Path("images/\x1b[31mred\n.jpg").write_text("x")
    answer = ita("extract", "images", *BUNDLED, "--stage", "ocr")
    assert answer.code == 1
    assert "\x1b" not in answer.err
    assert " [31mred .jpg: not a picture" in answer.err


@pytest.mark.parametrize(
    ("arguments", "code", "says", "hint"),
    [
        (["nowhere"], 3, "there is no folder nowhere", "ita extract FOLDER"),
        (["empty"], 2, "there is no picture in empty", ".jpg"),
        (["file.md"], 2, "file.md is a file of unknown format", "docs/sources.md"),
        (["file.txt"], 2, "there is no picture in file.txt", ".jpg"),
        (["images", "--preset", "papr"], 2, "no preset papr", "did you mean paper?"),
        (["images", "--stage", "orc", *BUNDLED], 2, "no stage orc", "did you mean ocr?"),
        (["images", "--set", "ocr.page=6", *BUNDLED], 2, "ocr.page is not a setting", "did you mean page_mode?"),
        (["images", "--set", "orc.page_mode=6", *BUNDLED], 2, "orc", "did you mean ocr?"),
        (["images", "--set", "ocr.page_mode=soup", *BUNDLED], 2, "page_mode", ""),
        (["images", "--set", "ocr.languages=xyz", *BUNDLED], 3, "no language xyz", "tesseract-ocr-xyz"),
        (["images", "--preset", "paper"], 3, "is not on this machine", "another model or preset"),
    ],
)
def test_a_mistake_gets_one_sentence_and_a_hint(arguments: list[str], code: int, says: str, hint: str):
    draw(Path("images/a.png"))
    Path("empty").mkdir()
    Path("file.txt").write_text("")
    Path("file.md").write_text("")
    answer = ita("extract", *arguments)
    assert answer.code == code, answer.err
    error = next(line for line in answer.err.splitlines() if line.startswith("error: "))
    assert says in error
    if hint:
        assert hint in next(line for line in answer.err.splitlines() if line.startswith("hint: "))
    assert "Traceback" not in answer.err
    assert answer.out == ""


def test_without_tesseract_other_stages_run_and_finished_records_are_kept(tmp_path: Path):
    sign(Path("images/a.png"), "OPEN")
    assert ita("extract", "images", *BUNDLED, "--stage", "ocr").code == 0
    bare = tmp_path / "bin"
    bare.mkdir()
    answer = ita("extract", "images", *BUNDLED, PATH=str(bare))
    assert answer.code == 3
    assert "Tesseract is not installed" in answer.err
    assert "apt-get install tesseract-ocr" in answer.err
    others = ita("extract", "images", *BUNDLED, "--stage", "objects", "--stage", "caption", PATH=str(bare))
    assert others.code == 0
    assert counts(ita("extract", "images", *BUNDLED)) == dict.fromkeys(("objects", "ocr", "caption"), (1, 0, 0))


def test_a_damaged_cache_has_exit_code_4():
    draw(Path("images/a.png"))
    draw(Path("images/b.png"), "blue")
    ita("extract", "images", *BUNDLED, "--stage", "ocr")
    (segment,) = Path(".ita/cache/ocr").glob("*/*.jsonl")
    segment.write_bytes(segment.read_bytes().replace(b'"words"', b'"sword"', 1))
    answer = ita("extract", "images", *BUNDLED, "--stage", "ocr")
    assert answer.code == 4
    assert str(segment) in answer.err


def test_a_workspace_can_be_elsewhere_and_can_be_moved():
    draw(Path("images/a.png"))
    ita("extract", "images", *BUNDLED, "--workspace", "here", "--stage", "ocr")
    assert Path("here/.ita/cache/ocr").is_dir()
    assert not Path(".ita").exists()
    shutil.move("here", "there")
    answer = ita("extract", "images", *BUNDLED, "--stage", "ocr", ITA_WORKSPACE="there")
    assert counts(answer) == {"ocr": (1, 0, 0)}


def test_preset_auto_prints_its_choice_and_the_reason():
    draw(Path("images/a.png"))
    answer = ita("extract", "images", "--stage", "ocr", HF_HUB_OFFLINE="1")
    assert answer.code == 0
    assert answer.err.startswith("using preset `bundled`: the model FacebookAI/xlm-roberta-large is not")


def test_an_interrupt_has_exit_code_130_and_prints_the_command_that_resumes():
    for number in range(60):
        sign(Path(f"images/{number}.png"), f"NUMBER {number}")
    command = [str(Path(sys.executable).parent / "ita"), "extract", "images", *BUNDLED, "--stage", "ocr"]
    command += ["--set", "ocr.workers=1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as running:
        for _ in range(300):
            if any(segment.stat().st_size for segment in Path(".ita/cache/ocr").glob("*/*.jsonl")):
                break
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "resume with: ita extract images --preset bundled --stage ocr" in said
    assert "Traceback" not in said
    fresh, done, failed = counts(ita("extract", "images", *BUNDLED, "--stage", "ocr"))["ocr"]
    assert fresh >= 8
    assert (fresh + done, failed) == (60, 0)


def test_help_needs_no_heavy_imports():
    heavy = "('torch', 'cv2', 'transformers', 'timm')"
    code = f"import sys, ita_pipeline.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    answer = ita("--help")
    assert answer.code == 0
    assert "ita extract images/" in answer.out


def test_without_a_network_a_missing_captioner_is_reported_and_no_record_is_lost():
    draw(Path("images/a.png"), "white")
    assert ita("extract", "images", *BUNDLED, "--stage", "objects").code == 0
    wanted = ("--stage", "caption", "--set", "caption.model=nobody/has-this")
    cut = ita("extract", "images", *BUNDLED, *wanted, HF_HUB_OFFLINE="1", HF_HUB_CACHE="empty")
    assert cut.code == 3
    assert "the model nobody/has-this is not on this machine and HF_HUB_OFFLINE is set" in cut.err
    assert "Traceback" not in cut.err
    assert counts(ita("extract", "images", *BUNDLED, "--stage", "objects")) == {"objects": (1, 0, 0)}


def test_show_writes_a_page_with_the_results():
    sign(Path("images/a.png"), "MARLOW")
    shown = ita("extract", "images", *BUNDLED, "--stage", "ocr", "--json", "--show", "deep/found.html")
    assert shown.code == 0, shown.err
    assert json.loads(shown.out)["clean"]
    assert "wrote deep/found.html with 1 picture" in shown.err
    page = Path("deep/found.html").read_text()
    assert "MARLOW" in page
    assert "a.png" in page


def test_a_folder_as_page_is_refused_before_any_work():
    sign(Path("images/a.png"), "MARLOW")
    refused = ita("extract", "images", *BUNDLED, "--show", "images")
    assert refused.code == 2
    assert "--show images/found.html" in refused.err
    assert not records("ocr")

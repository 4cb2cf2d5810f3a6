"""What a person reads: each mistake answered in one form, and output that suits pipes, terminals and scripts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.fakes import ita_here

BUNDLED = ("--preset", "bundled")
PROGRAM = str(Path(sys.executable).parent / "ita")


@pytest.mark.parametrize(
    ("arguments", "code", "message", "hint"),
    [
        (["extrct", "images"], 2, "no such command 'extrct'", "did you mean extract?"),
        (["data", "chek", "x"], 2, "no such command 'chek'", "did you mean check?"),
        (
            ["extract"],
            2,
            "missing argument 'SOURCE|POSTS|DATASET'",
            "ita extract images/ (more: ita extract --help)",
        ),
        (["train"], 2, "missing option '--dataset'", "ita train --dataset example (more: ita train --help)"),
        (["extract", "x", "--presett", "y"], 2, "no such option: --presett", "did you mean --preset?"),
        (["extract", "x", "--nonsense"], 2, "no such option: --nonsense", "ita extract --help"),
        (["extract", "x", "--limit", "0"], 2, "--limit must be at least 1", "ita extract --help"),
        (["extract", "x", "--limit", "a"], 2, "--limit must be an integer", "ita extract --help"),
        (["extract", "x", "--engine", "locl"], 2, "--engine must be local or ray, not locl", "did you mean local?"),
        (
            ["extract", "x", "--engine", "spark"],
            2,
            "--engine must be local or ray, not spark",
            "ita extract --help",
        ),
        (["extract", "x", "y"], 2, "unexpected argument: y", "ita extract --help"),
        (
            ["extract", "x", "--retry-failed", "transint"],
            2,
            "--retry-failed must be any,",
            "did you mean transient?",
        ),
        (["extract", "x", *BUNDLED, "--set", "page_mode=6"], 2, "SECTION.NAME=VALUE", "--set SECTION.page_mode=6"),
        (["extract", "x", "--preset", "gone.yaml"], 3, "there is no file gone.yaml", "give a YAML file"),
        (["extract", "x", "--set"], 2, "option '--set' requires an argument", "ita extract --help"),
        (["extract", "nowhere"], 3, "there is no folder nowhere", "ita extract FOLDER, a folder with pictures"),
        (["extract", "a.md"], 2, "a.md is a file of unknown format", "docs/sources.md"),
        (["extract", "images", "--preset", "bundeld"], 2, "there is no preset bundeld", "did you mean bundled?"),
        (["extract", "images", *BUNDLED, "--stage", "ocrr"], 2, "has no stage ocrr", "did you mean ocr?"),
        (
            ["extract", "images", *BUNDLED, "--stage", "knowledge"],
            2,
            "the stage knowledge is off",
            "knowledge.model=",
        ),
        (
            ["extract", "images", *BUNDLED, "--set", "ocr"],
            2,
            "not of the form SECTION.NAME=VALUE",
            "--set SECTION.ocr=VALUE",
        ),
        (["extract", "images", *BUNDLED, "--set", "orc.a=1"], 2, "--set names orc", "did you mean ocr?"),
        (
            ["extract", "images", *BUNDLED, "--set", "ocr.page_mode=99"],
            2,
            "ocr.page_mode must be 'lines' or at most 13, not 99",
            "correct --set ocr.page_mode=…",
        ),
        (["train", "--dataset", "bare", *BUNDLED], 2, "train: no post has a mention", "ita data check bare"),
        (["status", "exmple"], 3, "there is no dataset exmple", "did you mean example?"),
        (["why", "gone.jpg"], 3, "there is no picture gone.jpg", "ita why FILE"),
        (["train", "--dataset", "snap"], 3, "dataset snap: its files", "get them from"),
        (
            ["train", "--dataset", "example", *BUNDLED, "--contexts", "ocrs"],
            2,
            "no context ocrs",
            "did you mean ocr?",
        ),
        (["train", "--dataset", "example", *BUNDLED, "--captions", "x"], 3, "no caption file x", "--captions FILE"),
        (
            ["train", "--dataset", "example", *BUNDLED, "--encoder", "./x"],
            3,
            "no model folder ./x",
            "name a folder",
        ),
        (["predict", "example", "--text", "hi"], 3, "there is no run example", "ita train --dataset FOLDER"),
        (["predict", "example"], 2, "give one source of posts", "ita predict RUN --text"),
        (["predict", "example", "--image", "a.jpg"], 2, "--image requires --text", '"image": "x.jpg"'),
        (["predict", "example", "--text", "a", "--image", "bare"], 3, "bare is a folder, not", "path of a file"),
        (["predict", "example", "gone.jsonl"], 3, "gone.jsonl", ""),
        (["compare", "example"], 2, "missing argument 'B'", "ita compare runs/"),
        (["why", "bare"], 3, "bare is a folder, not a picture", "ita status FOLDER"),
        (["why", "posts.jsonl"], 2, "is a file of posts, not a picture", "ita why posts.jsonl --post ID"),
        (["data", "check", "example", "--ignore", "x"], 2, "no kind of finding x", "known are bad-tag"),
        (["data", "import", "tasks.json", "--to", "x"], 2, "tasks: task 1: data is missing", "export the project"),
        (["data", "import", "bad.parquet", "--to", "x"], 2, "bad.parquet is not a parquet file", "write it again"),
        (["runs", "name", "example", ""], 3, "there is no run example", "ita train"),
        (["data", "check", "nowhere"], 3, "there is no dataset nowhere", "or a folder with tweets.jsonl"),
        (["data", "import", "./gone", "--to", "x"], 3, "no file or folder gone", "ita data import FOLDER"),
        (["data", "import-contexts", "gone.tsv"], 3, "gone.tsv cannot be read", "check the path"),
        (["data", "export", "example"], 2, "missing option '--to'", "ita data export example --to"),
        (["cache", "verfy"], 2, "no such command 'verfy'", "did you mean verify?"),
    ],
)
def test_each_mistake_gets_one_sentence_a_hint_and_its_exit_code(
    arguments: list[str], code: int, message: str, hint: str, images: Path
):
    Path("a.md").write_text("no picture")
    Path("posts.jsonl").write_text('{"text": "a"}')
    Path("tasks.json").write_text('[{"id": 1}]')
    Path("bad.parquet").write_text("PAR1 bad PAR1")
    Path("bare").mkdir()
    for name in ("train", "dev", "test"):
        Path(f"bare/{name}.txt").write_text("word\tO\n")
    answer = ita_here(*arguments)
    error, told = answer.err.splitlines()[-2:]
    assert answer.code == code
    assert error.startswith("error: ")
    assert message in error
    assert told.startswith("hint: ")
    assert hint in told
    assert answer.out == ""
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("ITA_RUNTIME", "error: ITA_RUNTIME must be auto, onnx, onnx-int8 or torch, not x"),
        ("ITA_PRESTE", "unknown variable ITA_PRESTE; did you mean ITA_PRESET?"),
        ("ITA_OCR_WORKERS", "unknown variable ITA_OCR_WORKERS; did you mean ITA_OCR__WORKERS?"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, message: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(variable, "x")
    assert message in ita_here("predict", "nowhere", "--text", "hi").err.splitlines()


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ("about: x\nfiles: {train: [a.txt]}\nformt: conll\n", "card.yaml:3: formt is not a setting", "format?"),
        (
            "about: x\nfiles: {train: [a.txt]}\nformat: csv\n",
            "card.yaml:3: format must be 'conll' or",
            "correct card",
        ),
        ("about: x\n", "card.yaml: files is missing", "add a line to it: files: VALUE"),
        ("a: [\n", "card.yaml:2 is not valid YAML: expected the node content", "NAME: VALUE"),
        ("about: x\nabout: y\n", "card.yaml:2 is not valid YAML: 'about' is given twice", "remove one of the two"),
    ],
)
def test_a_mistake_in_a_dataset_card_is_reported_with_its_line(content: str, message: str, hint: str):
    Path("card.yaml").write_text(content)
    answer = ita_here("data", "check", "card.yaml", *BUNDLED)
    assert answer.code == 2
    error, help_line = answer.err.splitlines()
    assert message in error
    assert hint in help_line


def test_debug_prints_a_traceback_and_keeps_the_exit_code(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ITA_DEBUG", "")
    assert "Traceback" not in ita_here("extract", "gone").err
    for arguments in (["--debug", "extract", "gone"], ["extract", "gone", "--debug"]):
        answer = ita_here(*arguments)
        assert answer.code == 3
        assert answer.err.startswith("Traceback")
        assert answer.err.splitlines()[-2] == "error: there is no folder gone, and no dataset of that name"


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "cache.zip"),
        ("export", "cache.ZIP", "--stage", "ocr"),
        ("import",),
        ("import", "cache.zip"),
        ("import", "cache.zip", "s3://bucket/cache", "--workspace", "other"),
    ],
)
def test_zip_archives_are_refused_with_the_commands_that_replace_them(arguments: tuple[str, ...]):
    answer = ita_here("cache", *arguments)
    assert answer.code == 2
    assert "no longer reads or writes ZIP archives" in answer.err
    assert "hint: ita cache push FOLDER_OR_URL" in answer.err
    assert "ita cache pull FOLDER_OR_URL" in answer.err
    assert "Traceback" not in answer.err
    assert not Path("cache.zip").exists()

"""`ita data list`, `check`, `stats`: what a person reads, and what a program does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.support.fakes import draw, ita_here

BUNDLED = ["--preset", "bundled"]


def twitter(folder: Path, **splits: str) -> Path:
    folder.mkdir(parents=True)
    for name, content in splits.items():
        (folder / f"{name}.txt").write_text(content)
    return folder


def test_list_shows_which_datasets_are_here_and_where_to_get_the_others():
    twitter(Path("data/twitter15"), train="a\tO\n", valid="b\tO\n", test="c\tO\n")
    found = json.loads(ita_here("data", "list", "--json").out)
    assert found["schema"] == "ita.data-list/1"
    here = {item["name"]: item["here"] for item in found["datasets"]}
    assert here == {
        "example": True,
        "fmnerg": False,
        "gmner": False,
        "snap": False,
        "twitter15": True,
        "twitter17": False,
    }
    answer = ita_here("data", "list")
    assert "twitter15: in data/twitter15\n" in answer.out
    assert "get them from https://github.com/jefferyYu/UMT" in answer.out


def test_stats_counts_by_split():
    answer = ita_here("data", "stats", "example")
    rows = {line[:28].strip(): line[28:].split() for line in answer.out.splitlines()}
    assert rows["posts"] == ["136", "40", "64"]
    assert rows["mentions LOC"] == ["42", "12", "20"]
    found = json.loads(ita_here("data", "stats", "example", "--json").out)
    assert (found["schema"], found["splits"]["test"]["mentions"]) == ("ita.data-stats/1", 68)


def test_a_clean_dataset_has_exit_code_0():
    answer = ita_here("data", "check", "example", *BUNDLED)
    assert answer.code == 0, answer.err
    assert answer.out.endswith("clean: no problems found\n")


def test_what_training_refuses_is_not_clean():
    Path("mine").mkdir()
    Path("mine/tweets.jsonl").write_text('{"text": "hi Kim", "split": "train"}\n{"text": "so", "split": "test"}\n')
    answer = ita_here("data", "check", "mine", *BUNDLED)
    assert (answer.code, answer.out.splitlines()[-1]) == (1, "found: 1 empty-split, 2 unlabeled-post")
    refused = ita_here("train", "--dataset", "mine", *BUNDLED)
    assert refused.code == 2
    assert "cannot be trained on: train: no post has labels" in refused.err
    assert "ita data check mine" in refused.err


def test_findings_have_their_place_and_exit_code_1():
    folder = twitter(
        Path("data/twitter15"),
        train="IMGID:1\nAda\tB-PER\nspoke\tO\n\nIMGID:2\nx\tPERSON\n",
        valid="IMGID:1\nada\tB-PER\nspoke\tO\n",
        test="IMGID:3\n" + "very\tO\n" * 700 + "here\tI-LOC\n",
    )
    draw(folder / "images/1.jpg")
    (folder / "images/2.jpg").write_text("<html>404</html>")
    answer = ita_here("data", "check", "twitter15", *BUNDLED)
    assert answer.code == 1
    for line in [
        "bad-tag: 1 invalid tag",
        "  - data/twitter15/train.txt, line 6: 'PERSON' is not a BIO tag",
        "  - data/twitter15/test.txt, line 702: I-LOC of 'here' continues no mention",
        "  - dev, post 1: as post 1 of train: ada spoke",
        "  - dev, post 1: as post 1 of train: 1",
        "  - test, post 3: there is no picture 3",
        "  - train, post 2: 2.jpg: not a picture in a supported format",
        "  - test, post 3: 701 words in 2 windows",
        "found: 1 bad-tag, 1 orphan-tag, 1 unseen-type, 1 leaked-text, 1 leaked-picture, 1 missing-picture, "
        "1 bad-picture, 1 long-post",
    ]:
        assert f"{line}\n" in answer.out
    again = ita_here(
        "data", "check", "twitter15", *BUNDLED, "--json", "--ignore", "bad-tag", "--ignore", "leaked-text"
    )
    found = json.loads(again.out)
    assert (again.code, found["schema"], found["clean"]) == (1, "ita.data-check/1", False)
    assert "bad-tag" not in found["counts"]
    assert {item["post"] for item in found["findings"] if item["kind"] == "leaked-picture"} == {"1"}


def test_imported_contexts_count_for_the_length():
    folder = twitter(Path("data/twitter15"), **dict.fromkeys(["train", "valid", "test"], "IMGID:1\nAda\tO\n"))
    (folder / "captions_blip2.txt").write_text(f"1.jpg :{'word ' * 600}\n")
    ignored = [part for kind in ("missing-picture", "leaked-text", "leaked-picture") for part in ("--ignore", kind)]
    answer = ita_here("data", "check", "twitter15", *BUNDLED, *ignored)
    assert answer.code == 1
    assert "trimmed-context: 3 contexts longer than their part of the encoder's input" in answer.out


def test_a_missing_or_misspelled_name_is_reported():
    answer = ita_here("data", "check", "exampel")
    assert (answer.code, answer.err.splitlines()[-1]) == (3, "hint: did you mean example?")
    answer = ita_here("data", "check", "example", "--ignore", "leaked")
    assert (answer.code, answer.err.splitlines()[-1]) == (2, "hint: did you mean leaked-text?")
    assert ita_here("data", "stats", "snap").code == 3


def test_without_the_encoder_everything_else_is_still_checked():
    shutil.copytree(Path(__file__).parents[2] / "examples/posts", "mine")
    answer = ita_here("data", "check", "mine", *BUNDLED, "--encoder", "owner/nothing")
    assert answer.code == 0, answer.err
    assert "note: lengths were not checked: the model owner/nothing is not on this machine" in answer.out


def test_an_export_without_the_contexts_of_a_picture_has_exit_code_1():
    Path("mine").mkdir()
    Path("mine/bad.jpg").write_text("no picture")
    Path("mine/tweets.jsonl").write_text('{"text": "hi kim", "image": "bad.jpg", "mentions": []}\n')
    answer = ita_here("data", "export", "./mine", "--to", "out", "--preset", "bundled", "--contexts", "ocr")
    assert answer.code == 1, answer.err
    assert "bad.jpg: not a picture" in answer.err
    assert any(path.is_file() for path in Path("out").rglob("*"))

"""`ita train` as a person meets it, on a small dataset of one's own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ita_pipeline.cli.train import parse_seeds, parse_train_sizes, series_table
from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.formats.conll import read_conll
from ita_pipeline.ner.metrics.scores import score
from ita_pipeline.ner.tagger import Tagger
from ita_pipeline.runs.compare import summarize
from tests.support.fakes import Answer
from tests.support.fakes import ita_here as ita
from tests.support.series import series_run
from tests.support.small_dataset import SETTINGS


def test_a_training_prints_both_views_and_the_path_of_its_report(trained: tuple[Answer, Path]):
    answer, run = trained
    header, *rows = answer.out.splitlines()
    assert header.split()[:5] == ["view", "P", "R", "F1", "macro"]
    assert [row.split()[:2] for row in rows[:4]] == [["dev", "T"], ["dev", "I+T"], ["test", "T"], ["test", "I+T"]]
    assert rows[-1].split()[1] == f"runs/mine/{run.name}/report.html"
    assert answer.err.count("epoch ") == 3
    assert (run / "report.html").is_file()


def test_the_run_folder_is_complete_and_its_scores_are_those_of_its_predictions(trained: tuple[Answer, Path]):
    _, run = trained
    assert {path.name for path in run.iterdir()} == {
        "report.html",
        "model",
        "run.json",
        "history.json",
        "log.jsonl",
        "analysis.json",
        "predictions",
        "scores.json",
    }
    assert {path.suffix for path in (run / "model").iterdir()} <= {".json", ".onnx", ".safetensors", ".txt"}
    scores = json.loads((run / "scores.json").read_text())
    assert scores["schema"] == "ita.scores/1"
    for split in ("dev", "test"):
        for view in ("text", "text+image"):
            file = run / "predictions" / f"{split}.{view.replace('+', '-')}.conll"
            predicted = [post.gold for post in read_conll(file)]
            gold_lines = [
                "\n".join("\t".join(line.split("\t")[:2]) for line in block.split("\n"))
                for block in file.read_text().split("\n\n")
            ]
            Path("gold.conll").write_text("\n\n".join(gold_lines))
            gold = [post.gold for post in read_conll(Path("gold.conll"))]
            assert score(gold, predicted).micro.f1 == scores[split][view]["micro"]["f1"]
    assert len(json.loads((run / "history.json").read_text())) == 3
    assert Tagger.from_pretrained(run / "model").config.types == ["LOC", "PER"]


def test_a_killed_training_resumes_and_leaves_no_temporary_files(
    workspace: Path, trained: tuple[Answer, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(workspace)
    command = ["train", "--dataset", "mine", *SETTINGS, "--seed", "5", "--set", "training.epochs=9"]
    with subprocess.Popen(
        [Path(sys.executable).parent / "ita", *command], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as process:
        while not list(Path("runs/mine").glob(".*/checkpoints/step-*")):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    (left,) = Path("runs/mine").glob(".*")
    answer = ita(*command)
    assert answer.code == 0, answer.err
    assert "resuming from the end of epoch" in answer.err
    assert "epoch 1 of" not in answer.err
    assert list(Path("runs/mine").glob(".*")) == []
    assert len(json.loads((Path("runs/mine") / left.name[1:] / "history.json").read_text())) == 9


def test_mentions_are_written_with_their_scores_and_the_report_shows_them(trained: tuple[Answer, Path]):
    _, run = trained
    for view in ("text", "text+image"):
        file = run / "predictions" / f"test.{view.replace('+', '-')}.conll"
        lines = [json.loads(line) for line in file.with_suffix(".jsonl").read_text().splitlines()]
        assert [len(post.gold or ()) for post in read_conll(file)] == [len(line["mentions"]) for line in lines]
        assert all(0 <= mention["score"] <= 1 for line in lines for mention in line["mentions"])
        assert {line["schema"] for line in lines} == {"ita.prediction/1"}
    page = (run / "report.html").read_text()
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    assert [entry["split"] for entry in data["entries"]] == ["test"] * 4 + ["dev"] * 4
    assert len(data["pictures"]) == 8
    assert all("score" in mention for entry in data["entries"] for mention in entry["answers"]["I+T"])


def test_unchanged_inputs_reuse_the_run(
    workspace: Path, trained: tuple[Answer, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(workspace)
    again = ita("train", "--dataset", "mine", *SETTINGS)
    assert again.code == 0
    assert "nothing to do" in again.err
    assert "epoch" not in again.err
    assert again.out == trained[0].out


def test_a_setting_that_changes_no_context_reuses_the_run_and_a_seed_does_not(
    workspace: Path, trained: tuple[Answer, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(workspace)
    cut_off = ita("train", "--dataset", "mine", *SETTINGS, "--set", "ocr.page_mode=6")
    assert "nothing to do" in cut_off.err, cut_off.err
    other = ita("train", "--dataset", "mine", *SETTINGS, "--seed", "7", "--no-alignment", "--contexts", "objects")
    assert other.code == 0
    assert "epoch 1 of 3" in other.err
    runs = [json.loads(file.read_text()) for file in (workspace / "runs" / "mine").glob("*/run.json")]
    (found,) = (run for run in runs if run["training"]["seed"] == 7)
    assert found["training"]["objective"] == {"text": 0, "context": 1, "alignment": 0, "temperature": 4}
    assert found["contexts"]["order"] == ["objects"]


def test_one_command_trains_each_seed_and_view_once(
    workspace: Path, trained: tuple[Answer, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(workspace)
    command = ["train", "--dataset", "mine", *SETTINGS, "--seeds", "1,2", "--views", "text,all", "--json"]
    first = json.loads(ita(*command).out)
    assert first["schema"] == "ita.series/1"
    assert [(run["contexts"], run["seed"]) for run in first["runs"]] == [
        ("text", 1),
        ("text", 2),
        ("all", 1),
        ("all", 2),
    ]
    # Seed 1 with everything is the run that was there.
    assert [run["new"] for run in first["runs"]] == [True, True, False, True]
    assert first["runs"][2]["run"] == f"runs/mine/{trained[1].name}"
    for run in first["runs"]:
        scores = json.loads((Path(run["run"]) / "scores.json").read_text())
        assert run["f1"]["test"]["text"] == scores["test"]["text"]["micro"]["f1"]
    assert [row["seeds"] for row in first["rows"]] == [[1, 2], [1, 2]]
    again = ita(*command[:-1])
    assert "epoch" not in again.err
    assert again.err.count("using preset `bundled` (from --preset)") == 1
    assert again.out.splitlines()[-1].split()[:2] == ["all", "2"]
    assert again.out.count("±") == 8


@pytest.mark.parametrize(
    ("arguments", "code", "says", "hint"),
    [
        (["train", "--dataset", "snpa"], 3, "no dataset snpa", "did you mean snap?"),
        (["train", "--dataset", "twitter15"], 3, "train.txt", "--data FOLDER"),
        (["train", "--dataset", "mine", "--data", "x", "--captions", "gone.txt"], 3, "gone.txt", "--captions"),
        (["train", "--dataset", "mine", "--contexts", "ocr,captoin"], 2, "captoin", "did you mean caption?"),
        (
            ["train", "--dataset", "mine", "--set", "training.epoch=3"],
            2,
            "training.epoch is not a setting",
            "did you mean epochs?",
        ),
        (["train", "--dataset", "mine", "--set", "trainin.epochs=3"], 2, "trainin", "did you mean training?"),
        (["train", "--dataset", "mine", "--experiment", "example-bundle"], 2, "example-bundle", "example-bundled"),
        (["train", "--dataset", "mine", "--seeds", "1,x"], 2, "not a list of seeds", "--seeds 1,2,3"),
        (["train", "--dataset", "mine", "--seeds", "1", "--seed", "2"], 2, "cannot be combined", "--seeds"),
        (["train", "--dataset", "mine", "--views", "txt"], 2, "there is no view txt", "did you mean text?"),
        (
            ["train", "--dataset", "mine", "--views", "text", "--contexts", "ocr"],
            2,
            "cannot be combined",
            "--views",
        ),
        (["train", "--dataset", "mine", "--encoder", "no/such"], 3, "no/such", "another model or preset"),
    ],
)
def test_a_mistake_gets_one_sentence_and_a_hint(
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    says: str,
    hint: str,
):
    monkeypatch.chdir(workspace)
    answer = ita(*arguments, "--preset", "bundled")
    assert answer.code == code, answer.err
    assert says in next(line for line in answer.err.splitlines() if line.startswith("error: "))
    assert hint in next(line for line in answer.err.splitlines() if line.startswith("hint: "))
    assert "Traceback" not in answer.err


def test_a_limit_postpones_pictures_and_the_training():
    answer = ita("train", "--dataset", "example", "--preset", "bundled", "--stage", "ocr", "--limit", "2")
    assert answer.code == 1
    assert "238 pictures not processed (--limit), so nothing was trained" in answer.err
    assert not Path("runs").exists()


def test_imported_captions_replace_missing_pictures(workspace: Path):
    build = "IMGID:{}\nhi\tO\n{}\tB-{}\n\n"
    folder = Path("data/twitter17")
    folder.mkdir(parents=True)
    for split, offset in (("train", 0), ("valid", 100), ("test", 200)):
        posts = [build.format(offset + n, "kim", ("PER", "LOC")[n % 2]) for n in range(6)]
        (folder / f"{split}.txt").write_text("".join(posts))
    captions = [f"{offset + n}.jpg :{('a face', 'a road')[n % 2]}" for offset in (0, 100, 200) for n in range(5)]
    (folder / "captions_blip2.txt").write_text("\n".join(captions))
    settings = ("--preset", "bundled", "--encoder", str(workspace / "bert"), "--set", "training.epochs=1")
    answer = ita("train", "--dataset", "twitter17", *settings)
    assert answer.code == 0, answer.err
    assert "0 of 18 pictures found" in answer.err
    assert "captions for 15 of 18 pictures imported from captions_blip2.txt" in answer.err
    records = [
        json.loads(line)
        for file in Path(".ita/cache/external").glob("*/*.jsonl")
        for line in file.read_text().splitlines()
    ]
    assert {record["image"] for record in records} == {f"{o + n}.jpg" for o in (0, 100, 200) for n in range(5)}
    (run,) = Path("runs/twitter17").glob("*/run.json")
    assert json.loads(run.read_text())["with_context"] == 15
    Path("others.txt").write_text("no-such-id.jpg :a face")
    foreign = ita("train", "--dataset", "twitter17", *settings, "--captions", "others.txt")
    assert foreign.code == 2
    assert "captions for 0 of 18 pictures" in foreign.err
    without = ita("train", "--dataset", "twitter17", *settings, "--captions", "none")
    assert without.code == 0
    assert len(list(Path("runs/twitter17").iterdir())) == 2


def test_the_series_table_has_every_run_and_the_means_of_several_seeds():
    lines = series_table(summarize([series_run("all", 1, 0.5), series_run("all", 2, 0.7)])).splitlines()
    assert lines[1].split() == ["all", "1", "50.00", "25.00", "50.00", "25.00", "runs/x/all1"]
    assert lines[-1].split("  ")[-1] == "30.00 ± 7.07"
    assert len(series_table(summarize([series_run("text", 1, 0.5), series_run("all", 1, 0.7)])).splitlines()) == 3


def test_the_series_table_names_objectives_if_there_are_several():
    runs = [
        series_run("all", seed, f1, objective)
        for objective, f1 in (("none", 0.5), ("both", 0.7))
        for seed in (1, 2)
    ]
    lines = series_table(summarize(runs)).splitlines()
    assert lines[0].split()[:3] == ["contexts", "objective", "seed"]
    assert lines[-2].split()[:3] == ["all", "none", "2"]
    assert lines[-1].split()[:3] == ["all", "both", "2"]


@pytest.mark.parametrize(("text", "sizes"), [("", ()), ("250, 500,all", (250, 500, None))])
def test_a_list_of_train_sizes_is_parsed(text: str, sizes: tuple[int | None, ...]):
    assert parse_train_sizes(text) == sizes


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5"])
def test_a_train_size_that_is_no_number_is_refused(text: str):
    with pytest.raises(UsageError, match="not a list of numbers"):
        parse_train_sizes(text)


def test_objectives_without_alignment_are_refused():
    answer = ita("train", "--dataset", "example", "--preset", "bundled", "--objectives", "both", "--no-alignment")
    assert answer.code == 2
    assert "--objectives and --no-alignment cannot be combined" in answer.err


@pytest.mark.parametrize(("text", "seeds"), [("", ()), ("1,2,3", (1, 2, 3)), (" 7 ,8,", (7, 8))])
def test_a_list_of_seeds_is_parsed(text: str, seeds: tuple[int, ...]):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["1,x", "-1", "1.5", ",", "²"])
def test_an_invalid_list_of_seeds_is_refused(text: str):
    with pytest.raises(UsageError, match="not a list of seeds"):
        parse_seeds(text)

"""`ita train` and `ita predict` as a person meets them, on a small dataset of one's own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ita_pipeline.corpus.formats.conll import read_conll
from ita_pipeline.ner.metrics.scores import score
from ita_pipeline.ner.tagger import Tagger
from tests.support.fakes import Answer, draw
from tests.support.fakes import ita as ita_alone
from tests.support.fakes import ita_here as ita
from tests.support.json_shapes import check, shape
from tests.support.tiny_encoder import build_bert

SETTINGS = (
    *("--preset", "bundled", "--encoder", "bert"),
    *("--set", "training.epochs=3", "--set", "training.learning_rate=0.003"),
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of posts with pictures, an encoder, and one run trained on them."""
    root = tmp_path_factory.mktemp("workspace")
    build_bert(root / "bert")
    lines = []
    for number, name in enumerate(["kim", "lou", "max", "zoe", "tim", "pia"] * 4):
        colour, kind = (("red", "PER"), ("blue", "LOC"))[number % 2]
        draw(root / "mine" / f"{number}.png", colour, (40 + number, 30))
        split = "dev" if number >= 20 else "test" if number >= 16 else "train"
        mention = {"start": 3, "end": 3 + len(name), "type": kind}
        lines.append({"text": f"hi {name}", "image": f"{number}.png", "mentions": [mention], "split": split})
    (root / "mine" / "tweets.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return root


@pytest.fixture(scope="module")
def trained(workspace: Path) -> tuple[Answer, Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace)
        answer = ita_alone("train", "--dataset", "mine", *SETTINGS)
    assert answer.code == 0, answer.err
    (run,) = (workspace / "runs" / "mine").iterdir()
    return answer, run


def test_a_run_prints_both_views_and_where_its_report_is(trained: tuple[Answer, Path]):
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
    assert {path.suffix for path in (run / "model").iterdir()} <= {".json", ".safetensors", ".txt"}
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


def test_a_killed_training_is_taken_up_and_leaves_nothing_behind(
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


def test_unchanged_inputs_train_nothing(
    workspace: Path, trained: tuple[Answer, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(workspace)
    again = ita("train", "--dataset", "mine", *SETTINGS)
    assert again.code == 0
    assert "nothing to do" in again.err
    assert "epoch" not in again.err
    assert again.out == trained[0].out


def test_a_setting_that_leaves_the_contexts_equal_trains_nothing_and_a_seed_does(
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


def test_seeds_and_views_are_trained_in_one_command_and_only_once(
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
    assert again.err.count("preset bundled: asked for") == 1
    assert again.out.splitlines()[-1].split()[:2] == ["all", "2"]
    assert again.out.count("±") == 8


def predictions(answer: Answer) -> list[dict[str, object]]:
    assert answer.code == 0, answer.err
    return [json.loads(line) for line in answer.out.splitlines()]


def test_predict_reads_a_text_with_and_without_its_picture(
    workspace: Path, trained: tuple[Answer, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(workspace)
    run = f"runs/mine/{trained[1].name}"
    answer = ita("predict", run, "--text", "hi  kim 🎉", "--json")
    assert answer.err == ""
    (alone,) = predictions(answer)
    assert (alone["schema"], alone["view"], alone["text"]) == ("ita.prediction/1", "text", "hi  kim 🎉")
    for mention in alone["mentions"]:
        assert mention["text"] == alone["text"][mention["start"] : mention["end"]]
        assert 0 <= mention["score"] <= 1
        assert mention["type"] in ("LOC", "PER")
    readable = ita("predict", run, "--text", "hi kim", "--image", "mine/0.png")
    assert readable.code == 0
    assert readable.out.startswith("hi kim  [text")


def test_predict_reads_files_and_pipes_without_labels(
    workspace: Path, trained: tuple[Answer, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(workspace)
    run = f"runs/mine/{trained[1].name}"
    from_file = predictions(ita("predict", run, "mine/tweets.jsonl", "--json"))
    assert [found["id"] for found in from_file] == [str(number + 1) for number in range(24)]
    Path("posts.txt").write_text("IMGID:9\nhi\nkim\n\nhi\nlou\n")
    conll = predictions(ita("predict", run, "posts.txt", "--json"))
    assert [(found["id"], found["text"]) for found in conll] == [("9", "hi kim"), ("2", "hi lou")]
    piped = ita_alone(
        "predict", run, "--jsonl", "-", "--json", stdin='{"text": "hi kim", "id": "a"}\n{"text": ""}\n'
    )
    assert [(found["id"], found["mentions"] == []) for found in predictions(piped)][1] == ("2", True)


def test_a_picture_that_cannot_be_read_is_said_and_the_text_is_tagged(
    workspace: Path, trained: tuple[Answer, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(workspace)
    Path("bad.jpg").write_text("no picture")
    answer = ita("predict", f"runs/mine/{trained[1].name}", "--text", "hi kim", "--image", "bad.jpg", "--json")
    assert answer.code == 1
    assert json.loads(answer.out)["view"] == "text"
    assert "not a picture" in answer.err
    draw(Path("large.png"), size=(1200, 1000))
    command = ["predict", f"runs/mine/{trained[1].name}", "--text", "hi kim", "--image", "large.png"]
    limited = ita(*command, ITA_LIMITS__MEGAPIXELS="1")
    assert limited.code == 1
    assert "1200×1000 is more than 1,000,000 pixels" in limited.err


@pytest.mark.parametrize(
    ("arguments", "code", "says", "hint"),
    [
        (["train", "--dataset", "snpa"], 2, "no dataset snpa", "did you mean snap?"),
        (["train", "--dataset", "twitter15"], 3, "train.txt", "--data FOLDER"),
        (["train", "--dataset", "mine", "--data", "x", "--captions", "gone.txt"], 3, "gone.txt", "--captions"),
        (["train", "--dataset", "mine", "--contexts", "ocr,captoin"], 2, "captoin", "did you mean caption?"),
        (
            ["train", "--dataset", "mine", "--set", "training.epoch=3"],
            2,
            "no setting epoch",
            "did you mean epochs?",
        ),
        (["train", "--dataset", "mine", "--set", "trainin.epochs=3"], 2, "trainin", "did you mean training?"),
        (["train", "--dataset", "mine", "--experiment", "example-bundle"], 2, "example-bundle", "example-bundled"),
        (["train", "--dataset", "mine", "--seeds", "1,x"], 2, "no list of seeds", "--seeds 1,2,3"),
        (["train", "--dataset", "mine", "--seeds", "1", "--seed", "2"], 2, "exclude each other", "--seeds"),
        (["train", "--dataset", "mine", "--views", "txt"], 2, "there is no view txt", "did you mean text?"),
        (["train", "--dataset", "mine", "--views", "text", "--contexts", "ocr"], 2, "in place of", "--views"),
        (["train", "--dataset", "mine", "--encoder", "no/such"], 3, "no/such", "--preset bundled"),
        (["predict", "gone", "--text", "x"], 3, "there is no run gone", "ita train"),
        (["predict", "mine"], 2, "give one source of posts", "--text"),
        (["predict", "mine", "--image", "x.jpg", "--jsonl", "-"], 2, "--image belongs to --text", "image"),
        (["predict", "mine", "--text", "x", "--image", "gone.jpg"], 3, "there is no picture gone.jpg", "--image"),
    ],
)
def test_a_mistake_is_one_sentence_and_a_way_out(
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    says: str,
    hint: str,
):
    monkeypatch.chdir(workspace)
    preset = ["--preset", "bundled"] if arguments[0] == "train" else []
    answer = ita(*arguments, *preset)
    assert answer.code == code, answer.err
    assert says in next(line for line in answer.err.splitlines() if line.startswith("error: "))
    assert hint in next(line for line in answer.err.splitlines() if line.startswith("hint: "))
    assert "Traceback" not in answer.err


def test_a_run_scored_again_has_the_scores_of_its_training(
    workspace: Path, trained: tuple[Answer, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(workspace)
    _, run = trained
    answer = ita("evaluate", run, "mine", "--split", "dev", "--split", "test", "--json")
    assert answer.code == 0
    known = json.loads((run / "scores.json").read_text())
    assert json.loads(answer.out)["splits"] == {name: known[name] for name in ("dev", "test")}
    table = ita("evaluate", run, "mine").out.splitlines()
    assert [row.split()[:2] for row in table[1:]] == [["test", "T"], ["test", "I+T"]]


def test_a_run_is_scored_on_posts_of_others_with_types_that_it_does_not_know(
    workspace: Path, trained: tuple[Answer, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(workspace)
    _, run = trained
    draw(workspace / "others" / "a.png", "red", (300, 300))
    mentions = [{"start": 3, "end": 6, "type": "PER"}, {"start": 7, "end": 10, "type": "SHIP"}]
    lines = [{"text": "hi kim zoe", "image": "a.png", "mentions": mentions, "split": "test"}, {"text": "hi lou"}]
    (workspace / "others" / "tweets.jsonl").write_text("\n".join(map(json.dumps, lines)))
    answer = ita("evaluate", run, "others", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["foreign_types"] == ["SHIP"]
    assert "the run knows no SHIP" in answer.err
    assert found["splits"]["test"]["text"]["micro"]["support"] == 2
    assert found["splits"]["test"]["text"]["types"]["SHIP"]["recall"] == 0
    for arguments, says in (
        (("--split", "dev"), "no posts in dev"),
        (("--split", "unlabelled"), "no posts in unlab"),
    ):
        wrong = ita("evaluate", run, "others", *arguments)
        assert wrong.code == 2
        assert says in wrong.err
        assert "hint: it has" in wrong.err


def test_what_is_said_of_runs_has_its_shape(
    workspace: Path, trained: tuple[Answer, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(workspace)
    _, run = trained
    commands = {
        "train": ("train", "--dataset", "mine", *SETTINGS),
        "status of a dataset": ("status", "mine", *SETTINGS),
        "predict": ("predict", run, "--text", "hi kim", "--image", "mine/0.png"),
        "compare": ("compare", run, run),
        "evaluate": ("evaluate", run, "mine"),
    }
    check({name: shape(json.loads(ita(*arguments, "--json").out)) for name, arguments in commands.items()})


def test_a_limit_leaves_pictures_and_the_training_for_another_time():
    answer = ita("train", "--dataset", "example", "--preset", "bundled", "--stage", "ocr", "--limit", "2")
    assert answer.code == 1
    assert "58 pictures are left for another time (--limit), so nothing was trained" in answer.err
    assert not Path("runs").exists()


def test_captions_made_elsewhere_stand_in_for_pictures_that_are_gone(workspace: Path):
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
    assert "0 of 18 pictures are there" in answer.err
    assert "captions for 15 of 18 pictures imported from captions_blip2.txt" in answer.err
    records = [
        json.loads(line)
        for file in Path(".ita/cache/external").glob("*/*.jsonl")
        for line in file.read_text().splitlines()
    ]
    assert {record["image"] for record in records} == {str(o + n) for o in (0, 100, 200) for n in range(5)}
    (run,) = Path("runs/twitter17").glob("*/run.json")
    assert json.loads(run.read_text())["with_context"] == 15
    Path("others.txt").write_text("no-such-id.jpg :a face")
    foreign = ita("train", "--dataset", "twitter17", *settings, "--captions", "others.txt")
    assert foreign.code == 2
    assert "captions for 0 of 18 pictures" in foreign.err
    without = ita("train", "--dataset", "twitter17", *settings, "--captions", "none")
    assert without.code == 0
    assert len(list(Path("runs/twitter17").iterdir())) == 2

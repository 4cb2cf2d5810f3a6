"""`ita predict` and `ita evaluate` with a trained run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from tests.support.fakes import Answer, draw
from tests.support.fakes import ita as ita_alone
from tests.support.fakes import ita_here as ita
from tests.support.report_pages import data_of


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


def test_predict_reads_tables(workspace: Path, trained: tuple[Answer, Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(workspace)
    run = f"runs/mine/{trained[1].name}"
    Path("posts.csv").write_text("number,body,photo\n1,hi kim,mine/0.png\n2,hi lou,mine/gone.png\n")
    columns = ("--text-column", "body", "--image-column", "photo")
    found = predictions(ita("predict", run, "posts.csv", *columns, "--json"))
    assert [(one["id"], one["text"]) for one in found] == [("1", "hi kim"), ("2", "hi lou")]
    answer = ita("predict", run, "posts.csv")
    assert (answer.code, "its columns are number, body, photo" in answer.err) == (2, True)
    answer = ita("predict", run, "mine/tweets.jsonl", *columns)
    assert (answer.code, "require a table" in answer.err) == (2, True)
    saved = ita("predict", run, "--source", "posts.csv", *columns, "--to", "with-mentions")
    assert saved.code == 0, saved.err


def test_an_unreadable_picture_is_reported_and_the_text_is_tagged(
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
    assert "1200×1000 exceeds the limit of 1,000,000 pixels" in limited.err


def test_evaluating_a_run_on_its_dataset_repeats_its_scores(
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


def test_mentions_of_unknown_types_count_as_missed(
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
    assert "the run was not trained on SHIP" in answer.err
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


@pytest.mark.parametrize(
    ("arguments", "code", "says", "hint"),
    [
        (["predict", "gone", "--text", "x"], 3, "there is no run gone", "ita runs lists"),
        (["predict", "mine"], 2, "give one source of posts", "--text"),
        (["predict", "mine", "--text", "x", "--to", "new"], 2, "--to requires --source", "--json > FILE"),
        (
            ["predict", "mine", "--source", "x", "--to", "new", "--parts", "y"],
            2,
            "cannot be combined",
            "one of them",
        ),
        (["predict", "mine", "--text", "x", "--engine", "ray"], 2, "requires --parts", "--parts FOLDER"),
        (["predict", "mine", "--image", "x.jpg", "--jsonl", "-"], 2, "--image requires --text", "image"),
        (
            ["predict", "mine", "--text", "x", "--image", "gone.jpg"],
            3,
            "there is no picture gone.jpg",
            "the path of a file",
        ),
        (["predict", "mine", "bad.zip"], 2, "bad.zip is a zip archive, not a file of posts", "unzip bad.zip"),
        (["predict", "mine", "mine/0.png"], 2, "mine/0.png is a picture", '--text "…" --image mine/0.png'),
    ],
)
def test_a_mistake_gets_one_sentence_and_a_hint(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, says: str, hint: str
):
    monkeypatch.chdir(workspace)
    Path("bad.zip").touch()
    answer = ita(*arguments)
    assert answer.code == code, answer.err
    assert says in next(line for line in answer.err.splitlines() if line.startswith("error: "))
    assert hint in next(line for line in answer.err.splitlines() if line.startswith("hint: "))
    assert "Traceback" not in answer.err


def test_a_mistake_in_a_file_is_found_before_the_model_is_loaded(
    trained: tuple[Answer, Path], workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise AssertionError("the model is loaded")

    monkeypatch.chdir(workspace)
    monkeypatch.setattr("ita_pipeline.api.predict.Predictor", refuse)
    Path("bad.jsonl").write_text('{"text": "hi"}\n{"text": \n')
    answer = ita("predict", "mine", "bad.jsonl")
    assert "bad.jsonl, line 2" in answer.err
    assert "the model is loaded" not in answer.err


def test_an_explanation_shows_how_probabilities_move(
    workspace: Path, trained: tuple[Answer, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(workspace)
    run = str(trained[1])
    sign = Image.new("RGB", (400, 120), "white")
    ImageDraw.Draw(sign).text((20, 30), "KIM STREET", fill="black", font=ImageFont.load_default(48))
    sign.save("sign.png")
    post = ("predict", run, "--text", "hi kim", "--image", "sign.png", "--explain")
    (explained,) = predictions(ita(*post, "--json"))
    explanation = explained["explanation"]
    assert explained["mentions"] == [m for m in explanation["mentions"] if m in explained["mentions"]]
    assert (explanation["without"][0]["context"], explanation["without"][0]["text"]) == ("", "")
    (alone,) = predictions(ita("predict", run, "--text", "hi kim", "--json"))
    assert [m["type"] for m in explanation["without"][0]["mentions"]] == [m["type"] for m in alone["mentions"]]
    readable = ita(*post).out.splitlines()
    assert readable[0] == "hi kim  [text+image]"
    assert " % → " in readable[2]
    assert readable[2].endswith("without any context")
    assert ita(*post, "--parts", "out").code == 2


def test_a_page_has_the_predictions_of_posts_without_labels(
    workspace: Path, trained: tuple[Answer, Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(workspace)
    run = str(trained[1])
    lines = [{"id": "<b>", "text": "hi kim", "image": "mine/0.png"}, {"text": "hi <script>lou"}, {"text": ""}]
    Path("posts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    answer = ita("predict", run, "posts.jsonl", "--html", "out/page.html")
    assert (answer.code, answer.out) == (0, "page      out/page.html, 3 posts\n"), answer.err
    page = Path("out/page.html").read_text()
    assert "<script>lou" not in page
    data = data_of(page)
    assert (data["order"], [entry["id"] for entry in data["entries"]]) == ("unsure", ["<b>", "2", "3"])
    assert all(set(entry.get("answers", {})) == {"T", "I+T"} for entry in data["entries"])
    (alone,) = predictions(ita("predict", run, "--text", "hi kim", "--json"))
    first = data["entries"][0]
    assert [m["type"] for m in first["answers"]["T"]] == [m["type"] for m in alone["mentions"]]
    assert first["picture"] in data["pictures"]
    assert ita("predict", run, "posts.jsonl", "--html", "x.html", "--json").code == 2
    assert ita("predict", run, "posts.jsonl", "--html", "out").code == 2

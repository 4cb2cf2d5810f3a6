"""A run whose dataset has boxes: its grounder, from training to prediction, evaluation and comparison."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ita_pipeline.api import predict
from ita_pipeline.api.train import plan_train
from ita_pipeline.cache.store import Workspace
from ita_pipeline.corpus.datasets import load_dataset
from ita_pipeline.corpus.posts import Span
from ita_pipeline.extraction.contexts import read_contexts
from ita_pipeline.extraction.options import Options
from ita_pipeline.grounding.evidence import NOTHING
from ita_pipeline.grounding.files import NAME as GROUNDER
from ita_pipeline.runs.export import export_model
from ita_pipeline.runs.grounding import read_grounded, read_grounding, train_grounder
from ita_pipeline.runs.plan import RunInputs, TrainOptions
from ita_pipeline.runs.run import Run
from ita_pipeline.server.service import PredictionService
from tests.support.datasets import make_post
from tests.support.fakes import draw, ita_here
from tests.support.messages import logged_messages
from tests.support.report_pages import data_of
from tests.support.tiny_encoder import build_bert

BOX = [5, 5, 35, 25]


def write_posts(root: Path) -> None:
    """People are in the picture, places are not."""
    build_bert(root / "bert")
    lines = []
    for number, name in enumerate(["kim", "lou", "max", "zoe", "tim", "pia"] * 2):
        colour, kind = (("red", "PER"), ("blue", "LOC"))[number % 2]
        draw(root / "mine" / f"{number}.png", colour, (40 + number, 30))
        split = "dev" if number >= 10 else "test" if number >= 8 else "train"
        boxes = [BOX] if kind == "PER" else []
        mention = {"start": 3, "end": 3 + len(name), "type": kind, "boxes": boxes}
        lines.append({"text": f"hi {name}", "image": f"{number}.png", "mentions": [mention], "split": split})
    (root / "mine" / "tweets.jsonl").write_text("\n".join(map(json.dumps, lines)))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("grounded")
    write_posts(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        rates = ("--set", "training.epochs=15", "--set", "training.learning_rate=0.003")
        settings = ("--preset", "bundled", "--encoder", "bert", "--contexts", "objects", *rates)
        answer = ita_here("train", "--dataset", "mine", *settings)
        assert answer.code == 0, answer.err
        (root / "out.txt").write_text(answer.out)
    return root


@pytest.fixture
def run(root: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(root)
    (folder,) = (root / "runs" / "mine").iterdir()
    return Run(folder)


def test_training_writes_a_grounder_and_its_scores_beside_the_floors(root: Path, run: Run):
    assert (run.folder / GROUNDER).is_file()
    found = read_grounding(run)
    assert found is not None
    test = found.splits["test"]
    assert (test.posts, test.grounder.groundability.accuracy, test.grounder.groundability.auroc) == (2, 1, 1)
    assert test.floors["none"].groundability.boxes == 0.5
    assert test.floors["people only"].groundability.accuracy == 1
    rows = [line.split() for line in (root / "out.txt").read_text().splitlines()]
    assert ["boxes", "MNER", "EEG", "GMNER", "ratio", "gold", "spans", "in", "picture", "AUROC"] in rows
    assert any(row[:3] == ["test", "prior", "box"] for row in rows)
    assert "grounding" in run.record().components


def test_predictions_say_where_the_picture_shows_a_mention(run: Run):
    answer = ita_here("predict", str(run.folder), "--text", "hi kim", "--image", "mine/0.png", "--json")
    (mention,) = json.loads(answer.out)["mentions"]
    assert {"visible", "boxes", "why"} <= set(mention)
    without = ita_here("predict", str(run.folder), "--text", "hi kim", "--json")
    (mention,) = json.loads(without.out)["mentions"]
    assert (mention["visible"], mention["boxes"], mention["why"]) == (0, [], "the post has no picture")


def test_an_explanation_says_where_the_picture_shows_a_mention(run: Run):
    post = (str(run.folder), "--text", "hi kim", "--image", "mine/0.png")
    (mention,) = json.loads(ita_here("predict", *post, "--json").out)["mentions"]
    explained = json.loads(ita_here("predict", *post, "--explain", "--json").out)
    assert (explained["mentions"], explained["explanation"]["mentions"][0]) == ([mention], mention)
    shown = ita_here("predict", *post, "--explain").out
    assert f"no box: {mention['why']}, {mention['visible']:.2f}" in shown or str(mention["boxes"][0][0]) in shown


def test_a_page_of_predictions_has_the_boxes_too(run: Run):
    Path("new.jsonl").write_text('{"text": "hi kim", "image": "mine/0.png"}\n')
    answer = ita_here("predict", str(run.folder), "new.jsonl", "--json")
    (mention,) = json.loads(answer.out)["mentions"]
    assert ita_here("predict", str(run.folder), "new.jsonl", "--html", "page.html").code == 0
    (entry,) = data_of(Path("page.html").read_text())["entries"]
    (shown,) = entry["answers"]["I+T"]
    assert {name: shown[name] for name in ("boxes", "visible", "why")} == {
        name: mention[name] for name in ("boxes", "visible", "why")
    }


def test_an_evaluation_scores_the_boxes(run: Run):
    answer = ita_here("evaluate", str(run.folder), "mine", "--split", "dev", "--json")
    found = json.loads(answer.out)["grounding"]["dev"]
    assert found["grounder"]["groundability"]["mentions"] == 2
    assert found["grounder"]["views"]["text"]["gmner"]["support"] == 2
    assert "GMNER" in ita_here("evaluate", str(run.folder), "mine").out


def test_an_evaluation_of_a_run_without_a_grounder_says_that_boxes_do_not_count(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ita_pipeline.runs.predictor.load_grounder", lambda _: None)
    answer = ita_here("evaluate", str(run.folder), "mine")
    assert "boxes are not scored" in answer.err
    assert "GMNER" not in answer.out


def test_training_says_if_no_mention_has_a_box():
    post = make_post("Ada", "1", Span(0, 1, "PER", boxes=()))
    reader: Any = SimpleNamespace(read=lambda posts, _: [NOTHING for _ in posts])
    with logged_messages(logging.WARNING) as messages:
        assert train_grounder([post], reader) is None
    assert messages == ["no grounder was trained: no mention of the train posts has a box"]


def test_the_boxes_of_a_run_are_read_again(run: Run):
    read = read_grounded(run, "test", "text+image")
    assert read is not None
    gold, predicted = read
    boxes = [span.boxes for post in load_dataset("mine", None, Path()).splits["test"] for span in post.gold or ()]
    assert [span.boxes for post in gold for span in post.gold or ()] == boxes
    assert all(span.boxes is not None for spans in predicted for span in spans)


def test_a_comparison_tests_the_boxes_too(run: Run):
    found = json.loads(ita_here("compare", str(run.folder), str(run.folder), "--json").out)
    assert found["grounded"]["text"]["difference"] == 0
    assert "I+T with boxes" in ita_here("compare", str(run.folder), str(run.folder)).out


def test_an_exported_model_grounds_too(run: Run, tmp_path: Path):
    exported = export_model(run.folder, tmp_path / "out")
    found = next(iter(predict.load(exported.folder).predict_all(load_dataset("mine", None, Path()).splits["test"])))
    assert all(mention.visible is not None for mention in found.mentions)


def test_the_report_shows_the_scores_of_boxes_beside_the_floors(run: Run):
    page = run.report.read_text("utf-8")
    assert "Boxes of mentions" in page
    assert "floor: people only" in page


def test_the_demo_says_where_a_mention_is(run: Run):
    service = PredictionService(predict.load(run.folder))
    service.open()
    try:
        with Path("mine/0.png").open("rb") as picture:
            shown = service.predict("hi kim", picture)
        without = service.predict("hi kim", None)
    finally:
        service.close()
    assert [mention.visible is None for mention in shown.views.text] == [False]
    assert [mention.boxes for mention in without.views.text] == [None]


def components() -> dict[str, Any]:
    plan = plan_train("mine", Options(preset="bundled"), TrainOptions(encoder="bert", contexts=("objects",)))
    return RunInputs(plan, read_contexts(plan.contexts, Workspace(Path()).store)).components


def test_only_a_dataset_with_boxes_has_them_in_the_key_of_its_run(run: Run):
    file = Path("mine/tweets.jsonl")
    before, lines = file.read_text(), components()
    try:
        file.write_text(before.replace("[[5, 5, 35, 25]]", "[[5, 5, 35, 26]]"))
        moved = components()
        file.write_text(re.sub(r', "boxes": \[[^}]*', "", before))
        without = components()
    finally:
        file.write_text(before)
    assert "grounding" not in without
    assert {**lines, "grounding": 0} == {**moved, "grounding": 0} == {**without, "grounding": 0}
    assert lines["grounding"] != moved["grounding"]

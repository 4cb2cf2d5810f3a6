"""Tests of exported runs: they predict like the original, have a model card, and contain nothing private."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

import ita_pipeline as ita
from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.runs.export import escape_markdown, export_model
from tests.support.fakes import draw, ita_here
from tests.support.hub_server import hub_server
from tests.support.tiny_encoder import build_bert


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a run; its dataset has a name that means something in Markdown."""
    root = tmp_path_factory.mktemp("work")
    build_bert(root / "private" / "bert")
    posts = root / "private" / "my_<b>posts"
    posts.mkdir()
    lines = [
        {"text": "hi kim", "split": split, "image": "a.png", "mentions": [{"start": 3, "end": 6, "type": "PER"}]}
        for split in ("train", "dev", "test")
    ]
    draw(posts / "a.png", "red", (300, 200))
    (posts / "tweets.jsonl").write_text("\n".join(map(json.dumps, lines)))
    settings = ("--preset", "bundled", "--encoder", str(root / "private" / "bert"), "--set", "training.epochs=1")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        answer = ita_here("train", "--dataset", str(posts), "--contexts", "ocr", *settings)
    assert answer.code == 0, answer.err
    return root


@pytest.fixture
def exported(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (run,) = (trained / "runs").glob("*/*")
    answer = ita_here("export-model", run, "--to", "new/model")
    assert answer.code == 0, answer.err
    assert "new/model/README.md" in answer.out.splitlines()
    return Path("new/model").absolute()


def test_an_exported_run_predicts_like_the_original_in_any_folder(trained: Path, exported: Path, tmp_path: Path):
    (run,) = (trained / "runs").glob("*/*")
    moved = Path(shutil.move(exported, tmp_path / "elsewhere"))
    one, other = ita.load(run).predict("hi kim and lou"), ita.load(moved).predict("hi kim and lou")
    assert one.mentions == other.mentions
    assert one.view == "text"
    answer = ita_here("predict", moved, "--text", "hi kim", "--json")
    assert json.loads(answer.out)["schema"] == "ita.prediction/1"


def test_a_dry_run_lists_what_would_be_uploaded_and_an_upload_does_it(
    trained: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
):
    (run,) = (trained / "runs").glob("*/*")
    names = {file.name for file in exported.iterdir()}
    with hub_server(monkeypatch) as hub:
        answer = ita_here("export-model", run, "--push", "ada/ashby", "--dry-run", "--to", "other")
        rows = [line.split() for line in answer.out.splitlines()]
        assert {name: int(size.replace(",", "")) for size, name in rows}.keys() == names
        assert f"would go to other and {hub.url}/ada/ashby (private)" in answer.err
        assert (hub.requests, Path("other").exists()) == ([], False)
        answer = ita_here("export-model", run, "--push", "ada/ashby")
        assert answer.code == 0, answer.err
        assert f"to {hub.url}/ada/ashby (private)" in answer.err
        assert hub.repositories["ada/ashby"].files.keys() == names


def test_an_export_makes_the_graph_of_a_run_that_has_none(trained: Path, tmp_path: Path):
    (run,) = (trained / "runs").glob("*/*")
    assert ita.load(run).notes == []
    older = Path(shutil.copytree(run, tmp_path / "older"))
    (older / "model" / "model.onnx").unlink()
    assert ita_here("export-model", older, "--to", tmp_path / "refused").code == 3
    answer = ita_here("export-model", older, "--to", tmp_path / "new", "--onnx")
    assert answer.code == 0, answer.err
    one, other = ita.load(run).predict("hi kim"), ita.load(tmp_path / "new").predict("hi kim")
    assert one.mentions == other.mentions
    graph = (run / "model" / "model.onnx").read_bytes()
    assert (tmp_path / "new" / "model.onnx").read_bytes() == graph
    assert str(trained).encode() not in graph


def test_an_export_in_integers_says_its_scores_and_needs_no_other_weights(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(trained)
    (run,) = (trained / "runs").glob("*/*")
    answer = ita_here("export-model", run, "--to", tmp_path / "new", "--onnx", "int8")
    assert answer.code == 0, answer.err
    dev = json.loads((run / "scores.json").read_text())["dev"]
    fp32 = ", ".join(
        f"{name} {100 * dev[view]['micro']['f1']:.2f}" for name, view in (("T", "text"), ("I+T", "text+image"))
    )
    assert f"dev F1: onnx {fp32}; onnx-int8 T " in answer.err
    small = ita.load(tmp_path / "new", runtime="onnx-int8").predict("hi kim")
    (tmp_path / "new" / "model.safetensors").unlink()
    assert ita.load(tmp_path / "new", runtime="onnx-int8").predict("hi kim").mentions == small.mentions
    assert ita_here("predict", tmp_path / "new", "--text", "hi kim").code == 3


def test_an_exported_run_predicts_a_text_with_its_image(exported: Path):
    prediction = ita.load(exported).predict("hi kim", image=draw(Path("b.png"), "blue", (300, 200)))
    assert (prediction.post.text, prediction.failed) == ("hi kim", "")


def test_an_exported_run_loads_with_from_pretrained(exported: Path):
    from transformers import AutoModel, AutoTokenizer

    from ita_pipeline.ner.tagger import Tagger

    model = AutoModel.from_pretrained(exported)
    assert isinstance(model, Tagger)
    assert AutoTokenizer.from_pretrained(exported).is_fast


def test_the_model_card_shows_the_scores_and_inputs_without_markup_of_the_data(trained: Path, exported: Path):
    (run,) = (trained / "runs").glob("*/*")
    record, text = json.loads((run / "run.json").read_text()), (exported / "README.md").read_text()
    _, header, body = text.split("---\n", 2)
    content = yaml.safe_load(header)
    scores = json.loads((run / "scores.json").read_text())
    assert content["library_name"] == "ita-pipeline"
    (result,) = content["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == round(scores["test"]["text"]["micro"]["f1"], 4)
    assert "trained on my\\_\\<b\\>posts" in body
    assert "<b>" not in body
    for value in [record["key"], record["stage_keys"]["ocr"], record["components"]["sentences"]["train"][:12]]:
        assert value in body
    assert "| seed | 1 |" in body
    assert "| PER | " in body
    assert "## Limits" in body


def test_an_exported_run_contains_no_posts_images_or_local_paths(trained: Path, exported: Path):
    for file in exported.iterdir():
        content = file.read_bytes()
        assert str(trained).encode() not in content, file.name
        assert b"hi kim" not in content, file.name
    assert {file.name for file in exported.iterdir()} >= {
        "config.json",
        "model.safetensors",
        "run.json",
        "scores.json",
    }
    assert not list(exported.glob("*.png"))


def test_the_checksums_of_an_exported_run_are_valid(exported: Path):
    done = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=exported, capture_output=True)
    assert done.returncode == 0


def test_an_export_refuses_existing_targets_and_missing_runs(trained: Path, exported: Path, tmp_path: Path):
    (run,) = (trained / "runs").glob("*/*")
    with pytest.raises(UsageError, match="already exists"):
        export_model(run, exported)
    with pytest.raises(MissingError, match="no run nothing"):
        export_model("nothing", tmp_path / "x")
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    (copy / "model" / "model.safetensors").unlink()
    with pytest.raises(MissingError, match="has no weights"):
        export_model(copy, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_markup_is_escaped_in_the_model_card():
    assert escape_markdown("a|b\n`c` [d](e) <f> *g* _h_") == r"a\|b \`c\` \[d\](e) \<f\> \*g\* \_h\_"


@pytest.mark.parametrize("name", ["vocab.txt", "special_tokens_map.json"])
def test_a_link_out_of_a_run_is_not_published(trained: Path, tmp_path: Path, name: str):
    (run,) = (trained / "runs").glob("*/*")
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    (tmp_path / "secret").write_text("{}")
    (copy / "model" / name).symlink_to(tmp_path / "secret")
    with pytest.raises(UsageError, match=f"{name} is a link to .*secret, which is not in the run's folder"):
        export_model(copy, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_run_in_the_cache_of_the_hub_consists_of_links_to_its_blobs(trained: Path, tmp_path: Path):
    (run,) = (trained / "runs").glob("*/*")
    export_model(run, tmp_path / "snapshots" / "1")
    (tmp_path / "blobs").mkdir()
    for file in (tmp_path / "snapshots" / "1").glob("*.json"):
        file.rename(tmp_path / "blobs" / file.name).resolve()
        file.symlink_to(tmp_path / "blobs" / file.name)
    assert export_model(tmp_path / "snapshots" / "1", tmp_path / "new").is_complete

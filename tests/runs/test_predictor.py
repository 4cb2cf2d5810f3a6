"""Tests of prediction with a run: its folder is untrusted, so no code of it runs, and its weights are checked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

import ita_pipeline as ita
from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.formats.hf_datasets import posts_in
from ita_pipeline.corpus.posts import Span
from ita_pipeline.ner.encoders import find_encoder, load_encoder
from ita_pipeline.ner.prediction import ScoredSpan
from ita_pipeline.ner.tagger import Tagger
from ita_pipeline.ner.views import View
from ita_pipeline.runs import predictor
from stages.base import StageError
from tests.support import fakes
from tests.support.tiny_encoder import build_bert
from tests.support.trained_run import trained as trained  # a fixture


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_a_moved_run_predicts(run: Path):
    (prediction,) = ita.load(run).predict([ita.Post.from_text("hi kim")])
    assert prediction.view == "text"


def test_a_long_post_is_read_in_windows_and_contexts_that_are_cut_are_noted(run: Path):
    predictor = ita.load(run)
    post = ita.Post.from_text("hi kim " * 100)
    predictor.tag([(post, ("a short context",))])
    assert predictor.notes == []
    (mentions,) = predictor.tag([(post, ("word " * 40,))])
    assert all(mention.end <= len(post.text) for mention in mentions)
    note = "contexts of a post were cut: they have the room that the post leaves of 64 sub-tokens, at least half"
    assert predictor.notes == [note]


def test_a_run_passes_on_what_determines_results_and_not_how_they_are_computed(run: Path):
    record = json.loads((run / "run.json").read_text())
    record["stages"]["ocr"] |= {"page_mode": 6, "memory": 99999, "timeout": 9999}
    record["stages"]["knowledge"] = {
        "endpoint": "http://x/v1",
        "model": "m",
        "shots": 2,
        "tries": 20,
        "max_requests": 9,
    }
    record["contexts"]["order"] = ["ocr", "knowledge"]
    (run / "run.json").write_text(json.dumps(record))
    stages = {stage.name: stage for stage in ita.load(run, changes={"ocr": {"timeout": 7, "page_mode": 3}}).stages}
    ocr, knowledge = stages["ocr"].config, stages["knowledge"].config
    assert (ocr.page_mode, ocr.memory, ocr.timeout) == (6, 2048, 7)
    assert (knowledge.endpoint, knowledge.shots, knowledge.tries, knowledge.max_requests) == (
        "http://x/v1",
        2,
        4,
        None,
    )


def test_code_in_the_folder_of_a_run_is_not_executed(run: Path):
    marker = run / "was-run"
    (run / "model" / "evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass Evil: pass\n")
    for name, part in (("tokenizer_config.json", "AutoTokenizer"), ("config.json", "AutoModel")):
        file = run / "model" / name
        content = json.loads(file.read_text())
        content["auto_map"] = {part: ["evil.Evil", "evil.Evil"] if "Token" in part else "evil.Evil"}
        if "Token" in part:
            content["tokenizer_class"] = "Evil"
        file.write_text(json.dumps(content))
    answer = fakes.ita_here("predict", run, "--text", "hi kim", stdin="y\ny\n")
    assert not marker.exists()
    assert "Traceback" not in answer.err


def test_missing_weights_are_an_error(run: Path):
    file = run / "model" / "model.safetensors"
    weights = {name: tensor for name, tensor in load_file(file).items() if not name.startswith("linear.")}
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(StageError, match=r"lacks 2 weights .* linear\."):
        ita.load(run, runtime="torch")


def test_truncated_weights_are_an_error_message(run: Path):
    file = run / "model" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    answer = fakes.ita_here("predict", run, "--text", "hi kim", "--runtime", "torch")
    assert answer.code == 3
    assert "could not be loaded" in answer.err
    refused = fakes.ita_here("predict", run, "--text", "hi kim")
    assert refused.code == 3
    assert "are not those that model.onnx was made from" in refused.err
    assert "--runtime torch" in refused.err
    assert "Traceback" not in answer.err


def test_an_encoder_with_renamed_weights_is_refused(tmp_path: Path):
    folder = build_bert(tmp_path / "bert")
    renamed = {f"foo.{name}": tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(StageError, match="lacks"):
        load_encoder(find_encoder(str(folder)))


def test_posts_with_surrogates_blank_lines_and_any_suffix_are_read(run: Path):
    piped = fakes.ita_here(
        "predict", run, "--jsonl", "-", "--json", stdin='\ufeff{"text": "hi \\ud83d kim"}\n\n{"text": ""}\n'
    )
    assert piped.code == 0, piped.err
    assert [json.loads(line)["text"] for line in piped.out.splitlines()] == ["hi \ufffd kim", ""]
    Path("posts.txt").write_text('{"text": "hi"}\n')
    named = fakes.ita_here("predict", run, "--jsonl", "posts.txt", "--json")
    assert json.loads(named.out)["text"] == "hi"


def test_a_malformed_line_is_an_error_after_the_predictions_before_it(run: Path):
    answer = fakes.ita_here("predict", run, "--jsonl", "-", "--json", stdin='{"text": "hi"}\n{nonsense\n')
    assert answer.code == 2
    assert len(answer.out.splitlines()) == 1
    assert "standard input, line 2" in answer.err


def test_a_cold_prediction_loads_only_what_it_needs(run: Path):
    lines = [
        "import sys",
        "from ita_pipeline.cli import main",
        f"sys.argv = ['ita', 'predict', {str(run)!r}, '--text', 'hi kim']",
        "try: main()",
        "finally: print(*sys.modules)",
    ]
    answer = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in answer.stdout.splitlines()[-1].split()}
    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "transformers", "onnx", "scipy", "sklearn", "pandas", "sympy", "datasets", "cv2"}


def test_a_run_without_graph_predicts_with_torch_and_says_so(run: Path):
    expected = ita.load(run).predict("hi kim")
    (run / "model" / "model.onnx").unlink()
    record = json.loads((run / "run.json").read_text())
    del record["graphs"]
    (run / "run.json").write_text(json.dumps(record))
    tagger = ita.load(run)
    assert [mention.text for mention in tagger.predict("hi kim").mentions] == [m.text for m in expected.mentions]
    assert "has no ONNX graph" in " ".join(tagger.notes)
    assert fakes.ita_here("predict", run, "--text", "hi kim", "--runtime", "onnx").code == 3


def test_the_model_folder_loads_with_the_auto_classes(run: Path):
    model, tokenizer = AutoModel.from_pretrained(run / "model"), AutoTokenizer.from_pretrained(run / "model")
    again = Tagger.from_pretrained(run / "model")
    assert type(model) is Tagger
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert tokenizer("hi kim", add_special_tokens=False)["input_ids"]


@pytest.fixture
def finds(run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that takes every second word for a mention, with this and that probability."""

    def all_of(_: object, views: list[View], pad: int) -> list[list[ScoredSpan]]:
        places = [range(1, len(view.positions), 2) for view in views]
        return [[ScoredSpan(Span(n, n + 1, "PER"), 0.3 if n % 4 == 1 else 0.8) for n in row] for row in places]

    monkeypatch.setattr(predictor, "tag_views", all_of)
    return run


def test_improbable_mentions_are_left_out(finds: Path):
    text = "hi kim and lou"
    assert [m.text for m in ita.load(finds).predict(text).mentions] == ["kim", "lou"]
    assert [m.text for m in ita.load(finds, min_confidence=0.8).predict(text).mentions] == ["lou"]


def test_the_minimum_confidence_is_an_option(run: Path):
    for least, texts in (("0", ["kim"]), ("1", [])):
        answer = fakes.ita_here("predict", run, "--text", "hi kim", "--json", "--min-confidence", least)
        assert [m["text"] for m in json.loads(answer.out)["mentions"]] == texts
    wrong = fakes.ita_here("predict", run, "--text", "hi kim", "--min-confidence", "50")
    assert (wrong.code, "must be between 0 and 1" in wrong.err) == (2, True)


def test_a_dataset_gets_columns_of_predictions(finds: Path):
    rows = datasets.Dataset.from_dict({"tokens": [["hi", "kim"], []], "ner_tags": [[0, 7], []], "n": [1, 2]})
    predicted = ita.load(finds).predict_dataset(datasets.DatasetDict(test=rows))["test"]
    assert predicted["n"] == [1, 2]
    assert predicted["predicted_mentions"] == [
        [{"start": 3, "end": 6, "text": "kim", "type": "PER", "score": 0.3}],
        [],
    ]
    assert predicted["predicted_view"] == ["text", "text"]
    again = ita.load(finds, min_confidence=0.5).predict_dataset(predicted)
    assert again["predicted_mentions"] == [[], []]


def test_a_saved_dataset_is_predicted_and_saved(run: Path, tmp_path: Path):
    texts = {"text": ["hi kim", None], "id": ["a", "b"]}
    datasets.DatasetDict(train=datasets.Dataset.from_dict(texts)).save_to_disk(tmp_path / "saved")
    answer = fakes.ita_here("predict", run, "--source", tmp_path / "saved", "--json")
    assert [json.loads(line)["id"] for line in answer.out.splitlines()] == ["a", "b"]
    to = tmp_path / "predicted"
    assert fakes.ita_here("predict", run, "--source", tmp_path / "saved", "--to", to).code == 0
    written = datasets.load_from_disk(to)["train"]
    assert [len(row) for row in written["predicted_mentions"]] == [1, 0]
    refused = fakes.ita_here("predict", run, "--source", tmp_path / "saved", "--to", to)
    assert (refused.code, "Traceback" in refused.err) == (2, False)


def test_a_dataset_without_posts_is_refused(run: Path):
    with pytest.raises(UsageError, match="has no posts: its columns are n"):
        ita.load(run).predict_dataset(datasets.Dataset.from_dict({"n": [1]}))


def test_images_of_a_dataset_are_files_while_it_is_read(run: Path, tmp_path: Path):
    fakes.draw(tmp_path / "red.png", "red", (40, 30))
    rows = datasets.Dataset.from_dict({"text": ["hi kim"], "image": [str(tmp_path / "red.png")]})
    with posts_in({"test": rows.cast_column("image", datasets.Image())}) as posts:
        (post,) = posts
        assert post.picture is not None
        assert post.picture.read_bytes() == (tmp_path / "red.png").read_bytes()
    assert not post.picture.exists()

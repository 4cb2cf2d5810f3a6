"""A run's folder is untrusted: no code of it runs, and what it lacks is not made up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import ita_pipeline as ita
from ita_pipeline.ner.encoders import find_encoder, load_encoder
from stages.base import StageError
from tests import fakes
from tests.tiny_encoder import build_bert


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    build_bert(root / "bert")
    (root / "mine").mkdir()
    lines = [
        {"text": "hi kim", "split": split, "mentions": [{"start": 3, "end": 6, "type": "PER"}]}
        for split in ("train", "dev", "test")
    ]
    (root / "mine" / "tweets.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        settings = ("--preset", "bundled", "--encoder", "bert", "--set", "training.epochs=1")
        answer = fakes.ita("train", "--dataset", "mine", *settings)
    assert answer.code == 0, answer.err
    (run,) = (root / "runs" / "mine").iterdir()
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_a_moved_run_still_predicts(run: Path):
    (found,) = ita.load(run).predict([ita.Post.from_text("hi kim")])
    assert found.view == "text"


def test_code_in_the_folder_is_never_run(run: Path):
    marker = run / "was-run"
    (run / "model" / "evil.py").write_text(f"open({str(marker)!r}, 'w')\nclass Evil: pass\n")
    for name, part in (("tokenizer_config.json", "AutoTokenizer"), ("config.json", "AutoModel")):
        file = run / "model" / name
        content = json.loads(file.read_text())
        content["auto_map"] = {part: ["evil.Evil", "evil.Evil"] if "Token" in part else "evil.Evil"}
        if "Token" in part:
            content["tokenizer_class"] = "Evil"
        file.write_text(json.dumps(content))
    answer = fakes.ita("predict", run, "--text", "hi kim", stdin="y\ny\n")
    assert not marker.exists()
    assert "Traceback" not in answer.err


def test_weights_that_are_lacking_are_not_made_up(run: Path):
    file = run / "model" / "model.safetensors"
    weights = {name: tensor for name, tensor in load_file(file).items() if not name.startswith("linear.")}
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(StageError, match=r"lacks 2 weights .* linear\."):
        ita.load(run)


def test_a_cut_file_is_a_sentence(run: Path):
    file = run / "model" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    answer = fakes.ita("predict", run, "--text", "hi kim")
    assert answer.code == 3
    assert "could not be loaded" in answer.err
    assert "Traceback" not in answer.err


def test_an_encoder_whose_weights_have_other_names_is_refused(tmp_path: Path):
    folder = build_bert(tmp_path / "bert")
    renamed = {f"foo.{name}": tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(StageError, match="lacks"):
        load_encoder(find_encoder(str(folder)))


def test_odd_text_is_read(run: Path):
    piped = fakes.ita(
        "predict", run, "--jsonl", "-", "--json", stdin='\ufeff{"text": "hi \\ud83d kim"}\n\n{"text": ""}\n'
    )
    assert piped.code == 0, piped.err
    assert [json.loads(line)["text"] for line in piped.out.splitlines()] == ["hi \ufffd kim", ""]
    Path("posts.txt").write_text('{"text": "hi"}\n')
    named = fakes.ita("predict", run, "--jsonl", "posts.txt", "--json")
    assert json.loads(named.out)["text"] == "hi"


def test_a_bad_line_of_a_pipe_ends_it_after_the_good_ones(run: Path):
    answer = fakes.ita("predict", run, "--jsonl", "-", "--json", stdin='{"text": "hi"}\n{nonsense\n')
    assert answer.code == 2
    assert len(answer.out.splitlines()) == 1
    assert "standard input, line 2" in answer.err

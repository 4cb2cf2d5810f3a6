"""Runtimes: ONNX Runtime finds what torch finds, and a graph that does not belong to its weights is refused."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file

from ita_pipeline.core.errors import MissingError
from ita_pipeline.ner.config import ObjectiveConfig
from ita_pipeline.ner.graphs import write_graph
from ita_pipeline.ner.prediction import ScoredSpan, tag_views
from ita_pipeline.ner.runtimes import MAX_MEMORY, GraphRecord, LoadedTagger, OnnxRuntime, TorchRuntime, load_tagger
from ita_pipeline.ner.tagger import new_tagger
from stages.base import StageError
from tests.support.tiny_encoder import load
from tests.support.tiny_tagger import TYPES

FLOAT = onnx.TensorProto.FLOAT


@dataclass
class Saved:
    folder: Path
    graphs: Mapping[str, GraphRecord]


@pytest.fixture(scope="module")
def saved(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """A random tagger that reads word shapes, in a folder with its graph."""
    folder = tmp_path_factory.mktemp("tagger")
    encoder, tokenizer = load(encoder_folder)
    torch.manual_seed(1)
    tagger = new_tagger(encoder, TYPES, 0.1, 64, ObjectiveConfig(), word_shapes=True).eval()
    assert tagger.shapes is not None
    with torch.no_grad():
        for parameter in (*tagger.crf.parameters(), tagger.shapes.weight):
            parameter.normal_()
        tagger.linear.weight.normal_(std=0.5)
    tagger.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Saved(folder, {"onnx": write_graph(tagger, folder)})


@pytest.fixture
def damaged(saved: Saved, tmp_path: Path) -> Saved:
    """A copy that a test may damage."""
    return Saved(Path(shutil.copytree(saved.folder, tmp_path / "tagger")), saved.graphs)


def find(loaded: LoadedTagger) -> list[list[ScoredSpan]]:
    posts = [
        (["Ada", "spoke", "in", "LEEDS", "#now", "2024"], ["a woman", "Leeds"]),
        (["so", "\u200d", "it", "is"], []),
        (["x"], ["y" * 90]),
        ([f"word{n}" for n in range(40)], ["a context without room"]),
        ([], ["a sign"]),
    ]
    views = [loaded.encoder.encode(words, contexts) for words, contexts in posts]
    assert len(views[3].rows) > 1
    return tag_views(loaded.runtime, views, loaded.encoder.pad)


def test_onnx_runtime_finds_what_torch_finds(saved: Saved):
    onnx, other = (load_tagger(saved.folder, saved.graphs, runtime) for runtime in ("auto", "torch"))
    assert (type(onnx.runtime), type(other.runtime)) == (OnnxRuntime, TorchRuntime)
    found, expected = find(onnx), find(other)
    assert sum(map(len, expected)) > 5
    assert [[m.span for m in post] for post in found] == [[m.span for m in post] for post in expected]
    scores = [[m.score for m in post] for post in found]
    assert scores == [pytest.approx([m.score for m in post], abs=1e-4) for post in expected]


def test_a_graph_has_neither_weights_nor_names_of_files_of_this_machine(saved: Saved):
    graph = (saved.folder / "model.onnx").read_bytes()
    weights = load_file(saved.folder / "model.safetensors")
    assert not [name for name, tensor in weights.items() if tensor.ndim == 2 and tensor.numpy().tobytes() in graph]
    assert not any(name in graph for name in (b".py", b"/home", str(Path.cwd()).encode(), b"site-packages"))


def test_a_tagger_without_graph_is_computed_by_torch_and_says_so(saved: Saved):
    loaded = load_tagger(saved.folder, {})
    assert type(loaded.runtime) is TorchRuntime
    assert "has no ONNX graph, so torch computes it" in loaded.note
    with pytest.raises(MissingError, match="no graph for the runtime onnx-int8"):
        load_tagger(saved.folder, saved.graphs, "onnx-int8")


def test_a_graph_that_is_not_the_recorded_one_is_refused(damaged: Saved):
    file = damaged.folder / "model.onnx"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(StageError, match=r"model.onnx is not the one that run.json names") as caught:
        load_tagger(damaged.folder, damaged.graphs)
    assert "--runtime torch" in caught.value.hint
    file.unlink()
    with pytest.raises(StageError, match=r"model.onnx cannot be read"):
        load_tagger(damaged.folder, damaged.graphs)


def test_a_graph_with_other_weights_is_refused(damaged: Saved):
    file = damaged.folder / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"})
    with pytest.raises(StageError, match=r"are not those that model.onnx was made from"):
        load_tagger(damaged.folder, damaged.graphs)
    assert type(load_tagger(damaged.folder, damaged.graphs, "torch").runtime) is TorchRuntime


def test_the_graph_of_another_tagger_is_refused(damaged: Saved):
    config = damaged.folder / "config.json"
    config.write_text(config.read_text().replace('"LOC"', '"LOC",\n    "ORG"'))
    with pytest.raises(StageError, match="is that of another tagger"):
        load_tagger(damaged.folder, damaged.graphs)


def test_a_damaged_configuration_or_tokenizer_is_an_error(damaged: Saved):
    (damaged.folder / "tokenizer.json").write_text("{}")
    with pytest.raises(StageError, match=r"the files of the tokenizer in .* are damaged"):
        load_tagger(damaged.folder, damaged.graphs)
    (damaged.folder / "config.json").write_text("[]")
    with pytest.raises(StageError, match=r"config.json is not the configuration of a tagger"):
        load_tagger(damaged.folder, damaged.graphs)


def replace_graph(saved: Saved, *nodes: onnx.NodeProto, **constants: np.ndarray) -> Mapping[str, GraphRecord]:
    """Write another graph that reads the same, and return a record of it, as a stranger would."""
    graph = onnx.load(saved.folder / "model.onnx", load_external_data=False).graph
    outputs = [onnx.helper.make_tensor_value_info(name, FLOAT, None) for name in ("emissions", "moves")]
    values = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
    content = onnx.helper.make_graph(nodes, "g", graph.input, outputs, values)
    model = onnx.helper.make_model(content, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    (saved.folder / "model.onnx").write_bytes(model.SerializeToString())
    digest = hashlib.sha256(model.SerializeToString()).hexdigest()
    return {"onnx": GraphRecord(sha256=digest, weights=saved.graphs["onnx"].weights)}


def test_a_loop_without_an_end_is_left(damaged: Saved, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ita_pipeline.ner.runtimes.MAX_SECONDS", 0.3)
    info, node = onnx.helper.make_tensor_value_info, onnx.helper.make_node
    body = onnx.helper.make_graph(
        [node("Identity", ["go"], ["on"]), node("Identity", ["old"], ["new"])],
        "body",
        [info("n", onnx.TensorProto.INT64, []), info("go", onnx.TensorProto.BOOL, []), info("old", FLOAT, [1])],
        [info("on", onnx.TensorProto.BOOL, []), info("new", FLOAT, [1])],
    )
    loop = node("Loop", ["many", "yes", "x"], ["emissions"], body=body)
    constants = {"many": np.array(10**6), "yes": np.array(True), "x": np.ones(1, np.float32)}
    graphs = replace_graph(damaged, loop, node("Identity", ["x"], ["moves"]), **constants)
    with pytest.raises(StageError, match="graph takes longer than"):
        load_tagger(damaged.folder, graphs, "onnx")


def test_a_graph_gets_no_more_memory_than_its_limit(damaged: Saved):
    nodes = [onnx.helper.make_node("Expand", ["x", "size"], ["emissions"])]
    nodes.append(onnx.helper.make_node("Identity", ["x"], ["moves"]))
    size = np.array([MAX_MEMORY // 4 + 1])
    graphs = replace_graph(damaged, *nodes, x=np.ones(1, np.float32), size=size)
    with pytest.raises(StageError, match=r"smaller than requested|Available memory"):
        load_tagger(damaged.folder, graphs, "onnx")

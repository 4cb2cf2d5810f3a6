"""Classifiers of timm: the kind of an object, by any model that was trained on ImageNet.

The setting `timm/NAME` selects one. NAME is a model of the hub's owner `timm` (`timm/resnet50.a1_in1k`), another
owner's model (`timm/owner/name`), or a folder (`timm/models/mine`) with `config.json` and `model.safetensors` as
timm writes them. The kinds are those of `kinds.yaml`, matched with the model's label list by WordNet synset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from PIL.Image import Image

from stages.base import StageError
from stages.batching import batched
from stages.models.identity import is_folder
from stages.models.loading import fetch_file, pick_device, read_config, require_weights, wrap_load_errors
from stages.models.sizes import check_parameters, read_checked_config
from stages.objects.attributes import find_likeliest_kind, load_kinds
from stages.objects.hub_detectors import pad_elongated
from stages.objects.schema import TIMM_PREFIX, ScoredLabel

BATCH_SIZE = 16

KNOWN_MODEL = "name a classifier trained on ImageNet-1k or ImageNet-22k, such as timm/resnet50.a1_in1k"

# Together these lists contain every synset of every ImageNet list that timm has.
LONGEST_LISTS = ("imagenet-22k-ms", "imagenet-21k-goog")


class TimmClassifier:
    """An `Attributor` that names kinds. Several threads may call it at once."""

    def __init__(self, model: str, identity: str, device: str) -> None:
        """Load `model`, exactly the weights of `identity`.

        Raises:
            StageError: The model is incomplete, not safetensors, not a classifier of timm, or not one of ImageNet.
        """
        synsets = read_class_synsets(model, read_config(model, identity))
        self.kinds = map_kinds(synsets)
        if not self.kinds:
            raise StageError(f"the model {model} has no class that matches a detected object", KNOWN_MODEL)
        self.device = pick_device(device)
        self.model = _load_classifier(model, identity).to(self.device)
        self.transform = _build_transform(model, self.model)

    def accepts(self, label: str) -> bool:
        """Return whether the model has classes that are kinds of `label`."""
        return label in self.kinds

    def classify(self, crops: Sequence[Image], labels: Sequence[str], floor: float) -> list[list[ScoredLabel]]:
        """Return for each crop the likeliest kind of its label, if its probability is at least `floor`."""
        rows = [row for batch in batched(crops, BATCH_SIZE) for row in self.compute_probabilities(batch)]
        return [find_likeliest_kind(row, self.kinds[label], floor) for row, label in zip(rows, labels, strict=True)]

    def compute_probabilities(self, crops: Sequence[Image]) -> np.ndarray:
        """Return the probabilities (crops, classes)."""
        import torch

        pixels = torch.stack([self.transform(pad_elongated(crop)) for crop in crops])
        with torch.inference_mode():
            return self.model(pixels.to(self.device)).float().softmax(1).cpu().numpy()


def model_name(attributes: str) -> str:
    """Return the hub name or folder in a value of `objects.attributes`.

    `timm/NAME` remains unchanged, a hub name, unless NAME is a folder, a path or another owner's model.
    """
    name = attributes.removeprefix(TIMM_PREFIX)
    if not attributes.startswith(TIMM_PREFIX) or not name or is_folder(attributes):
        return attributes
    is_other = "/" in name or name.startswith((".", "~")) or is_folder(name)
    return name if is_other else attributes


def reject_timm(model: str, identity: str) -> None:
    """Raise a `StageError` if `model`, named without the prefix `timm/`, is a classifier of timm."""
    if _is_written_by_timm(read_config(model, identity)):
        hint = f"use objects.attributes={TIMM_PREFIX}{model}"
        raise StageError(f"the model {model} is a classifier of timm", hint)


def read_class_synsets(model: str, config: Mapping[str, Any]) -> Mapping[int, str]:
    """Return the WordNet synset of each class number, from the label names in `config.json` or the class count.

    Raises:
        StageError: The configuration is not timm's, or the labels are not ImageNet's.
    """
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    if not _is_written_by_timm(config):
        hint = "give a model saved by timm; name a CLIP or SigLIP model without timm/"
        raise StageError(f"the model {model} has no config.json of a timm classifier", hint)
    nested = config.get("pretrained_cfg")
    settings = {**(nested if isinstance(nested, dict) else {}), **config}
    count, names = settings.get("num_classes"), settings.get("label_names")
    if not isinstance(count, int):
        raise StageError(f"the config.json of the model {model} has no number of classes", KNOWN_MODEL)
    if not names:
        subset = infer_imagenet_subset({"num_classes": count})
        if subset is None:
            raise StageError(f"the model {model} has {count} classes, which no list of ImageNet has", KNOWN_MODEL)
        return dict(enumerate(ImageNetInfo(subset).label_names()))
    synsets = _number_labels(names, count)
    known = {synset for subset in LONGEST_LISTS for synset in ImageNetInfo(subset).label_names()}
    if not synsets or not known.issuperset(synsets.values()):
        message = f"the label names of the model {model} are not a synset of ImageNet for each class"
        raise StageError(message, KNOWN_MODEL)
    return synsets


def map_kinds(synsets: Mapping[int, str]) -> Mapping[str, Mapping[int, str]]:
    """Return the kinds of `load_kinds` with the class numbers of a model whose classes are `synsets`.

    A label is left out if the model has no class for any of its kinds.
    """
    from timm.data.imagenet_info import ImageNetInfo

    thousand = ImageNetInfo("imagenet-1k").label_names()
    classes = {synset: number for number, synset in synsets.items()}
    kinds = {
        label: {classes[thousand[n]]: name for n, name in names.items() if thousand[n] in classes}
        for label, names in load_kinds().items()
    }
    return {label: names for label, names in kinds.items() if names}


def _is_written_by_timm(config: Mapping[str, Any]) -> bool:
    """Return whether a `config.json` is timm's; that of transformers has a `model_type`."""
    return isinstance(config.get("architecture"), str) and "model_type" not in config


def _number_labels(names: Any, count: int) -> dict[int, str]:
    """Return label names by class number, or nothing if they do not fit `count` classes.

    They are a list with a name for each class, or a JSON object, which may leave classes out.
    """
    if isinstance(names, list):
        return {number: str(name) for number, name in enumerate(names)} if len(names) == count else {}
    if not isinstance(names, dict) or not all(number.isdecimal() and int(number) < count for number in names):
        return {}
    return {int(number): str(name) for number, name in names.items()}


def _load_classifier(model: str, identity: str) -> Any:
    """Return the network in evaluation mode on the CPU, in float32.

    Raises:
        StageError: Files are missing or damaged, or weights are missing that timm would initialize at random.
    """
    import timm
    from safetensors import safe_open

    config, weights = (fetch_file(model, identity, name) for name in ("config.json", "model.safetensors"))
    # timm would fall back to a pickle, or follow a source that config.json names.
    others = dict.fromkeys(("source", "state_dict", "url", "hf_hub_id"))
    overlay = {**others, "file": str(weights), "custom_load": False}
    with wrap_load_errors(model):
        source = f"local-dir:{config.parent}"
        build = partial(timm.create_model, source, pretrained_cfg_overlay=overlay)
        check_parameters(model, read_checked_config(model, config), [weights], build)
        network: Any = timm.create_model(source, pretrained=True, pretrained_cfg_overlay=overlay)
        with safe_open(weights, "pt") as opened:
            stored = set(opened.keys())
    expected = set(network.state_dict())
    if network.num_classes != network.pretrained_cfg["num_classes"]:
        # timm has replaced the head by a random one.
        message = f"the config.json of the model {model} has two different numbers of classes"
        raise StageError(message, "save the model again with timm, or name another one")
    if stored <= expected:  # in other files timm renames the weights
        require_weights(model, network, expected - stored)
    return network.eval()


def _build_transform(model: str, network: Any) -> Any:
    """Return the function that turns a crop into the input of the network (3, height, width)."""
    from timm.data.config import resolve_model_data_config
    from timm.data.transforms_factory import create_transform

    with wrap_load_errors(model):
        config = resolve_model_data_config(network)
        if config["input_size"][0] != 3:
            raise StageError(f"the model {model} does not take color images", KNOWN_MODEL)
        return create_transform(**config, is_training=False)

"""The choice of a detector by `objects.detector`, and of a classifier for attributes by `objects.attributes`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from PIL.Image import Image

from stages.base import Identity
from stages.models.identity import digest_json, identify
from stages.models.libraries import opencv_version, package_version
from stages.objects import efficientnet, nanodet
from stages.objects.attributes import digest_attribute_list, digest_kinds
from stages.objects.boxes import Boxes
from stages.objects.schema import EFFICIENTNET, NANODET, NO_ATTRIBUTES, ObjectsConfig, ScoredLabel
from stages.objects.vocabulary import read_vocabulary


class Detector(Protocol):
    """A model that finds objects. Several threads may call it at once."""

    def detect(self, images: Sequence[Image], floor: float) -> list[Boxes]:
        """Return the boxes of each image with a score of at least `floor`."""
        ...


class Attributor(Protocol):
    """A model that names attributes of objects. Several threads may call it at once."""

    def accepts(self, label: str) -> bool:
        """Return whether the model has attributes for objects with this label; crops of others are skipped."""
        ...

    def classify(self, crops: Sequence[Image], labels: Sequence[str], floor: float) -> list[list[ScoredLabel]]:
        """Return for each crop, whose object has the label of the same index, attributes that score `floor`."""
        ...


def identify_models(config: ObjectsConfig) -> Identity:
    """Return the exact weights of both models, the digests of their words, and the versions of libraries.

    Raises:
        StageError: A model is not on this machine, and the hub does not have it or is offline; or the vocabulary is
            invalid.
    """
    detector, attributor = _identify_detector(config), _identify_attributor(config)
    tools = {"opencv": opencv_version()}
    if config.detector == NANODET or config.attributes == EFFICIENTNET:
        tools["onnxruntime"] = package_version("onnxruntime")
    return Identity(
        models={**detector.models, **attributor.models},
        tools={**tools, **detector.tools, **attributor.tools},
        numerics={"dtype": "float32"},
    )


def load_models(config: ObjectsConfig, weights: Mapping[str, str]) -> tuple[Detector, Attributor | None]:
    """Load the detector and the classifier, exactly the `models` of `identify_models`.

    Raises:
        StageError: A model is incomplete or of another kind, or the vocabulary is invalid.
    """
    attributor = None if config.attributes == NO_ATTRIBUTES else _load_attributor(config, weights["attributes"])
    return _load_detector(config, weights["detector"]), attributor


def _identify_detector(config: ObjectsConfig) -> Identity:
    """Return the exact weights, and the digest of the vocabulary if the detector has no classes of its own."""
    if config.detector == NANODET:
        return Identity(models={"detector": f"sha256:{nanodet.SHA256}"})
    from stages.objects.open_vocabulary import find_detector_type

    weights = identify(config.detector, config.detector_revision)
    tools = {}
    if find_detector_type(config.detector, weights):
        tools["vocabulary"] = digest_json(read_vocabulary(config.vocabulary))
    return Identity(models={"detector": weights}, tools=tools)


def _load_detector(config: ObjectsConfig, identity: str) -> Detector:
    if config.detector == NANODET:
        return nanodet.NanoDet()
    from stages.objects.hub_detectors import HubDetector
    from stages.objects.open_vocabulary import find_detector_type

    open_vocabulary_type = find_detector_type(config.detector, identity)
    if open_vocabulary_type is None:
        return HubDetector(config.detector, identity, config.device)
    return open_vocabulary_type(config.detector, identity, config.device, read_vocabulary(config.vocabulary))


def _identify_attributor(config: ObjectsConfig) -> Identity:
    """Return the exact weights, and the digest of the words that the classifier may answer with."""
    if config.attributes == NO_ATTRIBUTES:
        return Identity()
    tools = {"kinds": digest_kinds()} if config.names_kinds else {"attribute list": digest_attribute_list()}
    if config.attributes == EFFICIENTNET:
        efficientnet.find_weights()
        weights, graph = (f"sha256:{digest}" for digest in (efficientnet.SHA256, efficientnet.GRAPH_SHA256))
        return Identity(models={"attributes": weights, "attribute graph": graph}, tools=tools)
    from stages.objects.timm_classifier import model_name

    weights = identify(model_name(config.attributes), config.attributes_revision)
    return Identity(models={"attributes": weights}, tools=tools)


def _load_attributor(config: ObjectsConfig, identity: str) -> Attributor:
    if config.attributes == EFFICIENTNET:
        return efficientnet.EfficientNetLite2()
    from stages.objects.timm_classifier import TimmClassifier, model_name, reject_timm

    if config.names_kinds:
        return TimmClassifier(model_name(config.attributes), identity, config.device)
    reject_timm(config.attributes, identity)
    from stages.objects.zero_shot_attributes import ZeroShotAttributes

    return ZeroShotAttributes(config.attributes, identity, config.device)

"""The stage `objects`: the objects in an image and their attributes, ITA's local alignment (LA).

A detector gives boxes, and a classifier gives attributes of each box. The bundled models `nanodet-g` and
`efficientnet-lite2` need no hub. Other names are models of transformers: a detector, possibly an open-vocabulary
one, and a CLIP-like model that chooses among written-out attributes (ITA took VinVL's 524 of Visual Genome).
`timm/NAME` is a classifier of timm in place of EfficientNet-Lite2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from PIL.Image import Image

from stages.base import Failure, Identity, Item, Stage, guarded
from stages.batching import map_successes
from stages.models.identity import digest_json, identify
from stages.models.libraries import OPENCV_HINT, import_library, opencv_version, package_version
from stages.models.loading import pick_device
from stages.models.threads import count_cores, map_in_threads
from stages.objects import efficientnet, nanodet
from stages.objects.attributes import digest_attribute_list, digest_kinds, find_dominant_color, select_attributes
from stages.objects.boxes import Boxes, suppress
from stages.objects.schema import (
    EFFICIENTNET,
    NANODET,
    NO_ATTRIBUTES,
    Object,
    ObjectsConfig,
    ObjectsValue,
    ScoredLabel,
)
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


class ObjectsStage(Stage[ObjectsConfig]):
    """Detect the objects of each image and name their attributes."""

    name = "objects"
    version = 5
    config_type = ObjectsConfig
    value_type = ObjectsValue

    def __init__(self, config: ObjectsConfig) -> None:
        super().__init__(config)
        self.detector: Detector | None = None
        self.attributor: Attributor | None = None

    @property
    def workers(self) -> int:
        """Number of threads on a CPU."""
        return self.config.workers or count_cores()

    @property
    def batch_size(self) -> int:
        """Several images per thread, since all threads wait for the last image of a batch."""
        return self.config.batch * (self.workers if self.config.is_bundled else 1)

    @property
    def device(self) -> str:
        """The device of both models; the bundled models run on the CPU."""
        return "cpu" if self.config.is_bundled else pick_device(self.config.device)

    def parameters(self) -> dict[str, Any]:
        """Return the settings that are in use, without the names of models and vocabularies."""
        unused = {"detector", "detector_revision", "vocabulary", "attributes", "attributes_revision"}
        if self.config.attributes == NO_ATTRIBUTES:
            unused |= {"attribute_floor", "attribute_side", "attributed"}
        if not self.config.names_kinds:
            unused.add("colour_share")
        return {name: value for name, value in super().parameters().items() if name not in unused}

    def identity(self) -> Identity:
        """Return the exact weights of both models, the digests of their words, and the libraries' versions.

        Raises:
            StageError: A model is not on this machine, and the hub does not have it or is offline; or the
                vocabulary is invalid.
        """
        config = self.config
        detector, attributor = _identify_detector(config), _identify_attributor(config)
        tools = {"opencv": opencv_version()}
        if config.detector == NANODET or config.attributes == EFFICIENTNET:
            tools["onnxruntime"] = package_version("onnxruntime")
        return Identity(
            models={**detector.models, **attributor.models},
            tools={**tools, **detector.tools, **attributor.tools},
            numerics={"dtype": "float32"},
        )

    def open(self) -> None:
        """Load both models, exactly the weights of `identity`.

        Raises:
            StageError: A model is incomplete or of another kind, or the vocabulary is invalid.
        """
        if self.detector is None:
            import_library("cv2", "OpenCV", OPENCV_HINT)
            weights = self.identity().models
            if self.config.attributes != NO_ATTRIBUTES:
                self.attributor = _load_attributor(self.config, weights["attributes"])
            self.detector = _load_detector(self.config, weights["detector"])

    def run(self, items: Sequence[Item]) -> list[ObjectsValue | Failure]:
        """Return one `ObjectsValue` or failure per item: with one thread per image on a CPU, else all at once."""
        self.open()
        if self.device != "cpu":
            return self._process(items)
        return map_in_threads(self._process, items, self.workers)

    def _process(self, items: Sequence[Item]) -> list[ObjectsValue | Failure]:
        return map_successes(self._describe, [guarded(Item.picture, item) for item in items])

    def _describe(self, images: list[Image]) -> list[ObjectsValue]:
        """Call the detector once for all images, and the classifier once for all their crops."""
        if not images:
            return []
        assert self.detector is not None
        config = self.config
        detected = self.detector.detect(images, config.floor)
        boxes = [suppress(each, config.overlap_within, config.overlap_across, config.most) for each in detected]
        attributes = self._name_attributes(images, boxes)
        return [build_value(*parts) for parts in zip(images, boxes, attributes, strict=True)]

    def _name_attributes(self, images: list[Image], boxes: list[Boxes]) -> list[list[list[ScoredLabel]]]:
        """Return the attributes of each box of each image, before the rules."""
        attributes: list[list[list[ScoredLabel]]] = [[[] for _ in each.labels] for each in boxes]
        if self.attributor is None:
            return attributes
        # Crops of a large image take much memory: they are kept only for a classifier that takes several at once.
        is_one_by_one = self.device == "cpu" and self.config.attributes == EFFICIENTNET
        crops: list[tuple[Image, str]] = []
        places: list[list[ScoredLabel]] = []  # where the attributes of each crop go
        for image, detected, lists in zip(images, boxes, attributes, strict=True):
            for number, label in enumerate(detected.labels[: self.config.attributed]):
                x0, y0, x1, y1 = (round(float(side)) for side in detected.xyxy[number])
                if min(x1 - x0, y1 - y0) < self.config.attribute_side:
                    continue
                crop = image.crop((x0, y0, x1, y1))
                if self.config.names_kinds:  # without colors
                    lists[number] += self._find_color(crop)
                if not self.attributor.accepts(label):
                    continue
                if is_one_by_one:
                    lists[number] += self._classify_batch([(crop, label)])[0]
                else:
                    crops.append((crop, label))
                    places.append(lists[number])
        for place, scored in zip(places, self._classify(crops), strict=True):
            place += scored
        return attributes

    def _find_color(self, crop: Image) -> list[ScoredLabel]:
        """Return the color that dominates a crop, if there is one.

        Grey is left out: white looks grey in the shade, and more objects are white than grey.
        """
        color, share = find_dominant_color(np.asarray(crop))
        return [(color, share)] if share >= self.config.colour_share and color != "grey" else []

    def _classify(self, crops: Sequence[tuple[Image, str]]) -> list[list[ScoredLabel]]:
        """Return the attributes of crops with their labels."""
        if crops and self.device != "cpu" and self.config.attributes == EFFICIENTNET:
            # The detector is on the device, so the classifier has all cores to itself.
            return map_in_threads(self._classify_batch, crops, self.workers)
        return self._classify_batch(crops)

    def _classify_batch(self, crops: Sequence[tuple[Image, str]]) -> list[list[ScoredLabel]]:
        if self.attributor is None or not crops:
            return []
        images, labels = zip(*crops, strict=True)
        return self.attributor.classify(images, labels, self.config.attribute_floor)


def build_value(image: Image, boxes: Boxes, attributes: list[list[ScoredLabel]]) -> ObjectsValue:
    """Return the stage's value for the boxes of an image with their attributes."""
    objects: list[Object] = []
    for label, score, sides, scored in zip(boxes.labels, boxes.scores, boxes.xyxy, attributes, strict=True):
        x0, y0, x1, y1 = (round(float(side), 1) for side in sides)
        chosen = select_attributes(label, scored)
        objects.append(Object(label=label, score=round(float(score), 4), box=(x0, y0, x1, y1), attributes=chosen))
    return ObjectsValue(width=image.width, height=image.height, objects=tuple(objects))


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

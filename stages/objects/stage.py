"""The stage `objects`: the objects in an image and their attributes, ITA's local alignment (LA).

A detector gives boxes, and a classifier gives attributes of each box. The bundled models `nanodet-g` and
`efficientnet-lite2` need no hub. Other names are models of transformers: a detector, possibly an open-vocabulary
one, and a CLIP-like model that chooses among written-out attributes (ITA took VinVL's 524 of Visual Genome).
`timm/NAME` is a classifier of timm in place of EfficientNet-Lite2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stages.base import Failure, Identity, Item, Stage, Value, guarded
from stages.batching import map_successes
from stages.models.devices import pick_device
from stages.models.libraries import OPENCV_HINT, import_library, opencv_version, package_version
from stages.models.threads import count_cores, map_in_threads
from stages.objects.attributes import select_attributes
from stages.objects.attributors import Attributor, identify_attributor, load_attributor
from stages.objects.detectors import Detector, digest_vocabulary, identify_detector, load_detector
from stages.objects.schema import (
    EFFICIENTNET,
    NANODET,
    NO_ATTRIBUTES,
    Object,
    ObjectsConfig,
    ObjectsValue,
    ScoredLabel,
)

if TYPE_CHECKING:
    from PIL.Image import Image

    from stages.objects.boxes import Boxes


@dataclass(frozen=True, slots=True)
class DetectedImage:
    """The boxes of an image of this size in pixels, with the crops to classify and the colors, by box number."""

    size: tuple[int, int]
    boxes: Boxes
    crops: dict[int, Image]
    colors: dict[int, ScoredLabel]

    def build_value(self, attributes: dict[int, list[ScoredLabel]]) -> ObjectsValue:
        """Return the stage's value with the attributes of each box."""
        objects = [self._build_object(number, attributes.get(number, [])) for number in range(len(self.boxes))]
        return ObjectsValue(width=self.size[0], height=self.size[1], objects=tuple(objects))

    def _build_object(self, number: int, attributes: list[ScoredLabel]) -> Object:
        label = self.boxes.labels[number]
        color = [self.colors[number]] if number in self.colors else []
        x0, y0, x1, y1 = (round(float(side), 1) for side in self.boxes.xyxy[number])
        return Object(
            label=label,
            score=round(float(self.boxes.scores[number]), 4),
            box=(x0, y0, x1, y1),
            attributes=select_attributes(label, [*color, *attributes]),
        )


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
        """Return the exact weights of both models, the digests of their words, and the libraries' versions."""
        detector = identify_detector(self.config)
        attributor = identify_attributor(self.config)
        tools = {"opencv": opencv_version()}
        if self.config.detector == NANODET or self.config.attributes == EFFICIENTNET:
            tools["onnxruntime"] = package_version("onnxruntime")
        tools |= {**digest_vocabulary(self.config, detector), **attributor.tools}
        models = {"detector": detector, **attributor.models}
        return Identity(models=models, tools=tools, numerics={"dtype": "float32"})

    def open(self) -> None:
        """Load both models."""
        if self.detector is not None:
            return
        import_library("cv2", "OpenCV", OPENCV_HINT)
        models = self.identity().models
        if self.config.attributes != NO_ATTRIBUTES:
            self.attributor = load_attributor(self.config, models["attributes"])
        self.detector = load_detector(self.config, models["detector"])

    def run(self, items: Sequence[Item]) -> list[Value | Failure]:
        """Return one `ObjectsValue` or failure per item: with one thread per image on a CPU, else all at once."""
        self.open()
        if self.device != "cpu":
            return self._process(items)
        return map_in_threads(self._process, items, self.workers)

    def _process(self, items: Sequence[Item]) -> list[Value | Failure]:
        """Call the detector once for all images, and the classifier once for all their crops."""
        images = [guarded(Item.picture, item) for item in items]
        detected = map_successes(self._detect, images)
        return [*map_successes(self._describe, detected)]

    def _detect(self, images: list[Image]) -> list[DetectedImage]:
        assert self.detector is not None
        boxes = self.detector.detect(images, self.config.floor) if images else []
        return [self._crop_boxes(image, detected) for image, detected in zip(images, boxes, strict=True)]

    def _crop_boxes(self, image: Image, boxes: Boxes) -> DetectedImage:
        from stages.objects.boxes import suppress

        config = self.config
        boxes = suppress(boxes, config.overlap_within, config.overlap_across, config.most)
        detected = DetectedImage(image.size, boxes, {}, {})
        if self.attributor is None:
            return detected
        for number in range(min(len(boxes), config.attributed)):
            x0, y0, x1, y1 = (round(float(side)) for side in boxes.xyxy[number])
            if min(x1 - x0, y1 - y0) < config.attribute_side:
                continue
            crop = image.crop((x0, y0, x1, y1))
            color = self._find_color(crop)
            if color is not None:
                detected.colors[number] = color
            if self.attributor.accepts(boxes.labels[number]):
                detected.crops[number] = crop
        return detected

    def _find_color(self, crop: Image) -> ScoredLabel | None:
        """Return the color that dominates a crop, if the classifier names kinds but no colors.

        Grey is left out: white looks grey in the shade, and more objects are white than grey.
        """
        import numpy as np

        from stages.objects.colors import find_dominant_color

        if not self.config.names_kinds:
            return None
        color, share = find_dominant_color(np.asarray(crop))
        return (color, share) if share >= self.config.colour_share and color != "grey" else None

    def _describe(self, images: list[DetectedImage]) -> list[ObjectsValue]:
        crops = [(crop, image.boxes.labels[number]) for image in images for number, crop in image.crops.items()]
        attributes = iter(self._classify(crops))
        return [image.build_value({number: next(attributes) for number in image.crops}) for image in images]

    def _classify(self, crops: Sequence[tuple[Image, str]]) -> list[list[ScoredLabel]]:
        """Return the attributes of crops with their labels."""
        if not crops:
            return []
        if self.device != "cpu" and self.config.attributes == EFFICIENTNET:
            # The detector is on the device, so the classifier has all cores to itself.
            return map_in_threads(self._classify_batch, crops, self.workers)
        return self._classify_batch(crops)

    def _classify_batch(self, crops: Sequence[tuple[Image, str]]) -> list[list[ScoredLabel]]:
        assert self.attributor is not None
        images, labels = zip(*crops, strict=True)
        return self.attributor.classify(images, labels, self.config.attribute_floor)

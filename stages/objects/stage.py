"""The things in the picture and what they are like: ITA's local alignment (LA).

Boxes come from a detector and attributes from a classifier that looks at each box. `nanodet-g` with
`efficientnet-lite2` needs no hub; any other names are a detector of transformers, of which some are asked with the
words of a vocabulary, and a CLIP-like model that chooses among written-out attributes (ITA took VinVL's 524, from
Visual Genome). `timm/NAME` is a classifier of timm in place of EfficientNet-Lite2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from stages.base import (
    Failure,
    Identity,
    Item,
    Stage,
    Value,
    guarded,
)
from stages.models.devices import pick_device
from stages.models.identity import identify
from stages.models.libraries import import_opencv, opencv_version, package_version
from stages.models.loading import read_model_type
from stages.models.threads import count_cores, map_in_threads
from stages.objects.efficientnet import ANIMALS, FUR
from stages.objects.open_vocabulary import WORDED
from stages.objects.schema import (
    EFFICIENTNET,
    NANODET,
    NO_ATTRIBUTES,
    Attribute,
    Object,
    ObjectsConfig,
    ObjectsValue,
)
from stages.objects.timm_classifier import TimmClassifier, is_timm, model_of, refuse_timm

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from stages.objects.boxes import Boxes


PEOPLE = frozenset(
    ("person", "people", "human", "man", "men", "woman", "women", "boy", "girl", "child", "children", "baby")
)


class Detector(Protocol):
    """May be asked from several threads at once."""

    def detect(self, pictures: Sequence[Image], floor: float) -> list[Boxes]: ...


class Attributor(Protocol):
    """May be asked from several threads at once."""

    def knows(self, label: str) -> bool: ...

    def classify(
        self, crops: Sequence[Image], labels: Sequence[str], floor: float
    ) -> list[list[tuple[str, float]]]: ...


@dataclass(frozen=True, slots=True)
class Seen:
    """Boxes in a picture, the crops of those that may get attributes, and what is known of their colours."""

    size: tuple[int, int]
    boxes: Boxes
    crops: dict[int, Image]
    colours: dict[int, tuple[str, float]]

    def labelled_crops(self) -> list[tuple[Image, str]]:
        return [(crop, self.boxes.labels[index]) for index, crop in self.crops.items()]

    def value(self, attributes: dict[int, list[tuple[str, float]]]) -> ObjectsValue:
        boxes, (width, height) = self.boxes, self.size

        def said(index: int) -> list[tuple[str, float]]:
            colour = [self.colours[index]] if index in self.colours else []
            return [*colour, *attributes.get(index, [])]

        objects = tuple(
            Object(
                label=label,
                score=round(float(boxes.scores[index]), 4),
                box=rounded(boxes.xyxy[index]),
                attributes=described(label, said(index)),
            )
            for index, label in enumerate(boxes.labels)
        )
        return ObjectsValue(width=width, height=height, objects=objects)


class ObjectsStage(Stage[ObjectsConfig]):
    name = "objects"
    version = 5
    config_type = ObjectsConfig
    value_type = ObjectsValue

    def __init__(self, config: ObjectsConfig) -> None:
        super().__init__(config)
        self.detector: Detector | None = None
        self.attributor: Attributor | None = None

    @property
    def batch_size(self) -> int:
        # Threads wait for the last picture of a batch, so that there are several for each.
        return self.config.batch * ((self.config.workers or count_cores()) if self.bundled else 1)

    def parameters(self) -> dict[str, Any]:
        unused = {"detector", "detector_revision", "vocabulary", "attributes", "attributes_revision"}
        if self.config.attributes == NO_ATTRIBUTES:
            unused |= {"attribute_floor", "attribute_side", "attributed"}
        if not self.names_kinds:
            unused.add("colour_share")
        return {name: value for name, value in super().parameters().items() if name not in unused}

    def identity(self) -> Identity:
        """The exact weights of both models, the words that they are asked with or may answer with, and the versions
        of OpenCV and, where it computes, ONNX Runtime.
        """
        from stages.objects import efficientnet as imagenet
        from stages.objects import efficientnet as kinds
        from stages.objects import nanodet, vocabulary
        from stages.objects.zero_shot_attributes import attribute_digest

        config = self.config
        tools = {"opencv": opencv_version()}
        models = {
            "detector": f"sha256:{nanodet.SHA256}"
            if config.detector == NANODET
            else identify(config.detector, config.detector_revision)
        }
        if config.detector == NANODET or config.attributes == EFFICIENTNET:
            tools["onnxruntime"] = package_version("onnxruntime")
        if self.asks_with_words(models["detector"]):
            tools["vocabulary"] = vocabulary.digest(vocabulary.words_of(config.vocabulary))
        if self.names_kinds:
            tools["kinds"] = kinds.digest()
        if config.attributes == EFFICIENTNET:
            imagenet.find_weights()
            models["attributes"] = f"sha256:{imagenet.SHA256}"
            models["attribute graph"] = f"sha256:{imagenet.GRAPH_SHA256}"
        elif config.attributes != NO_ATTRIBUTES:
            models["attributes"] = identify(model_of(config.attributes), config.attributes_revision)
            if not self.names_kinds:
                tools["attribute list"] = attribute_digest()
        return Identity(models=models, tools=tools, numerics={"dtype": "float32"})

    def asks_with_words(self, identity: str) -> bool:
        name = self.config.detector
        return name != NANODET and read_model_type(name, identity) in WORDED

    @property
    def names_kinds(self) -> bool:
        """Whether the attributes are ImageNet's names of kinds, which never include a color."""
        return self.config.attributes == EFFICIENTNET or is_timm(self.config.attributes)

    @property
    def bundled(self) -> bool:
        return {self.config.detector, self.config.attributes} <= {NANODET, EFFICIENTNET, NO_ATTRIBUTES}

    @property
    def device(self) -> str:
        return "cpu" if self.bundled else pick_device(self.config.device)

    def run(self, items: Sequence[Item]) -> list[Value | Failure]:
        """On a CPU one thread a picture, on another device all pictures at once."""
        self.open()
        if self.device != "cpu":
            return self.look(items)
        return map_in_threads(self.look, items, self.config.workers or count_cores())

    def open(self) -> None:
        if self.detector is not None:
            return
        import_opencv()
        models = self.identity().models
        if self.config.attributes != NO_ATTRIBUTES:
            self.attributor = self.open_attributor(models["attributes"])
        self.detector = self.open_detector(models["detector"])

    def open_attributor(self, identity: str) -> Attributor:
        from stages.objects.efficientnet import EfficientNetLite2
        from stages.objects.zero_shot_attributes import ZeroShotAttributes

        name, device = self.config.attributes, self.config.device
        if name == EFFICIENTNET:
            return EfficientNetLite2()
        if is_timm(name):
            return TimmClassifier(model_of(name), identity, device)
        refuse_timm(name, identity)
        return ZeroShotAttributes(name, identity, device)

    def open_detector(self, identity: str) -> Detector:
        from stages.objects.hub_detectors import HubDetector
        from stages.objects.nanodet import NanoDet
        from stages.objects.open_vocabulary import worded_detector
        from stages.objects.vocabulary import words_of

        name, device = self.config.detector, self.config.device
        if name == NANODET:
            return NanoDet()
        if self.asks_with_words(identity):
            return worded_detector(name, identity, device, words_of(self.config.vocabulary))
        return HubDetector(name, identity, device)

    def look(self, items: Sequence[Item]) -> list[Value | Failure]:
        """The detector is asked once, about all pictures, and the attributor once, about all their crops."""
        assert self.detector is not None
        pictures = [guarded(lambda item: item.picture(), item) for item in items]
        readable = [picture for picture in pictures if not isinstance(picture, Failure)]
        found = iter(self.detector.detect(readable, self.config.floor) if readable else ())
        looks = [p if isinstance(p, Failure) else self.seen(p, next(found)) for p in pictures]
        crops = [crop for seen in looks if isinstance(seen, Seen) for crop in seen.labelled_crops()]
        said = iter(self.attributes_of(crops))
        return [
            seen if isinstance(seen, Failure) else seen.value({index: next(said) for index in seen.crops})
            for seen in looks
        ]

    def attributes_of(self, crops: Sequence[tuple[Image, str]]) -> list[list[tuple[str, float]]]:
        if self.attributor is None or not crops:
            return []
        if self.device != "cpu" and self.config.attributes == EFFICIENTNET:
            # The detector is on the device, and the classifier has all cores to itself.
            return map_in_threads(self.classified, crops, self.config.workers or count_cores())
        return self.classified(crops)

    def classified(self, crops: Sequence[tuple[Image, str]]) -> list[list[tuple[str, float]]]:
        assert self.attributor is not None
        pictures, labels = [crop for crop, _ in crops], [label for _, label in crops]
        return self.attributor.classify(pictures, labels, self.config.attribute_floor)

    def seen(self, picture: Image, found: Boxes) -> Seen:
        from stages.objects.boxes import suppress

        config = self.config
        boxes = suppress(found, config.overlap_within, config.overlap_across, config.most)
        crops: dict[int, Image] = {}
        colours: dict[int, tuple[str, float]] = {}
        for index in range(min(len(boxes), config.attributed) if self.attributor else 0):
            x0, y0, x1, y1 = (round(float(side)) for side in boxes.xyxy[index])
            if min(x1 - x0, y1 - y0) < config.attribute_side:
                continue
            crop = picture.crop((x0, y0, x1, y1))
            colour = self.colour_of(crop)
            if colour is not None:
                colours[index] = colour
            if self.attributor and self.attributor.knows(boxes.labels[index]):
                crops[index] = crop
        return Seen(picture.size, boxes, crops, colours)

    def colour_of(self, crop: Image) -> tuple[str, float] | None:
        """One colour where it dominates, beside a classifier of ImageNet, which knows none. White in the shade
        looks grey, and more things are white than grey: so nothing is called grey.
        """
        import numpy as np

        from stages.objects.colours import dominant_colour

        if not self.names_kinds:
            return None
        colour, share = dominant_colour(np.asarray(crop))
        return (colour, share) if share >= self.config.colour_share and colour != "grey" else None


def rounded(xyxy: np.ndarray) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (round(float(side), 1) for side in xyxy)
    return x0, y0, x1, y1


def described(label: str, attributes: Sequence[tuple[str, float]]) -> tuple[Attribute, ...]:
    """Attributes of a box; never a colour of a person, whose clothes would be taken for them, and of an animal none
    but those of fur.
    """
    from stages.objects.zero_shot_attributes import attribute_list

    colours = set(attribute_list().groups["colour"])
    unsaid = colours if not PEOPLE.isdisjoint(label.lower().split()) else set[str]()
    if label.lower() in ANIMALS:
        unsaid = colours - FUR
    ordered = sorted(attributes, key=lambda found: -found[1])
    return tuple(Attribute(label=word, score=round(score, 4)) for word, score in ordered if word not in unsaid)

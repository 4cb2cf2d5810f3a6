"""The things in the picture and what they are like: ITA's local alignment (LA).

Boxes come from a detector and attributes from a classifier that looks at each box. `nanodet-g` with
`efficientnet-lite2` needs no hub; any other names are a detector of `AutoModelForObjectDetection` and a
CLIP-like model that chooses among written-out attributes (ITA took VinVL's 524, from Visual Genome).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import Field

from stages import hub
from stages.base import (
    EXECUTION,
    SEMANTIC,
    Failure,
    Frozen,
    Identity,
    Item,
    Label,
    Score,
    Stage,
    StageConfig,
    Value,
    guarded,
)

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from stages.detection import Boxes

NANODET = "nanodet-g"
EFFICIENTNET = "efficientnet-lite2"
NO_ATTRIBUTES = "none"
UNIT = Field(ge=0, le=1)
PEOPLE = frozenset(
    ("person", "people", "human", "man", "men", "woman", "women", "boy", "girl", "child", "children", "baby")
)


class ObjectsConfig(StageConfig):
    """`floor` and `attribute_floor` bound what the cache keeps; contexts may ask for more, never less."""

    detector: Annotated[str, SEMANTIC] = NANODET
    detector_revision: Annotated[str, SEMANTIC] = "main"
    floor: Annotated[float, SEMANTIC, UNIT] = 0.2
    overlap_within: Annotated[float, SEMANTIC, UNIT] = 0.5
    overlap_across: Annotated[float, SEMANTIC, UNIT] = 0.65
    most: Annotated[int, SEMANTIC, Field(ge=1)] = 50
    attributes: Annotated[str, SEMANTIC] = EFFICIENTNET
    attributes_revision: Annotated[str, SEMANTIC] = "main"
    attribute_floor: Annotated[float, SEMANTIC, UNIT] = 0.3
    attribute_side: Annotated[int, SEMANTIC, Field(ge=1)] = 32
    attributed: Annotated[int, SEMANTIC, Field(ge=0)] = 12
    colour_share: Annotated[float, SEMANTIC, UNIT] = 0.5
    batch: Annotated[int, EXECUTION, Field(ge=1)] = 8
    device: Annotated[str, EXECUTION] = "auto"


class Attribute(Frozen):
    label: Label
    score: Score


class Object(Frozen):
    """`box` is xyxy in pixels of the upright picture; attributes best first."""

    label: Label
    score: Score
    box: tuple[float, float, float, float]
    attributes: tuple[Attribute, ...]


class ObjectsValue(Value):
    """Objects by falling score."""

    width: int
    height: int
    objects: tuple[Object, ...]


def tag(label: str, attributes: Sequence[str]) -> str:
    """ "attr obj". A finer word for the same thing replaces the label: no "soccer ball sports ball"."""
    kind = label.split()[-1].lower()
    finer = [word for word in attributes if word.split()[-1].lower() == kind]
    others = [word for word in attributes if word not in finer]
    return " ".join([*others, *(finer[:1] or [label])])


class Detector(Protocol):
    def detect(self, picture: Image, floor: float) -> Boxes: ...


class Attributor(Protocol):
    def classify(self, crops: Sequence[Image], floor: float) -> list[list[tuple[str, float]]]: ...


class ObjectsStage(Stage[ObjectsConfig]):
    name = "objects"
    version = 1
    config_type = ObjectsConfig
    value_type = ObjectsValue

    def __init__(self, config: ObjectsConfig) -> None:
        super().__init__(config)
        self.detector: Detector | None = None
        self.attributor: Attributor | None = None

    @property
    def batch_size(self) -> int:
        return self.config.batch

    def parameters(self) -> dict[str, Any]:
        unused = {"detector", "detector_revision", "attributes", "attributes_revision"}
        if self.config.attributes == NO_ATTRIBUTES:
            unused |= {"attribute_floor", "attribute_side", "attributed"}
        if self.config.attributes != EFFICIENTNET:
            unused.add("colour_share")
        return {name: value for name, value in super().parameters().items() if name not in unused}

    def identity(self) -> Identity:
        """The exact weights of both models."""
        from stages import imagenet, nanodet
        from stages.transformers_vision import attribute_digest

        config = self.config
        tools = {}
        models = {
            "detector": f"sha256:{nanodet.SHA256}"
            if config.detector == NANODET
            else hub.identify(config.detector, config.detector_revision)
        }
        if config.attributes == EFFICIENTNET:
            imagenet.find_weights()
            models["attributes"] = f"sha256:{imagenet.SHA256}"
        elif config.attributes != NO_ATTRIBUTES:
            models["attributes"] = hub.identify(config.attributes, config.attributes_revision)
            tools["attribute list"] = attribute_digest()
        return Identity(models=models, tools=tools, numerics={"dtype": "float32"})

    def run(self, items: Sequence[Item]) -> list[Value | Failure]:
        self.open()
        return [guarded(self.look, item) for item in items]

    def open(self) -> None:
        if self.detector is not None:
            return
        from stages.imagenet import EfficientNetLite2
        from stages.nanodet import NanoDet
        from stages.transformers_vision import HubDetector, ZeroShotAttributes

        config, models = self.config, self.identity().models
        if config.attributes == EFFICIENTNET:
            self.attributor = EfficientNetLite2()
        elif config.attributes != NO_ATTRIBUTES:
            self.attributor = ZeroShotAttributes(config.attributes, models["attributes"], config.device)
        self.detector = (
            NanoDet()
            if config.detector == NANODET
            else HubDetector(config.detector, models["detector"], config.device)
        )

    def look(self, item: Item) -> ObjectsValue:
        from stages.detection import suppress

        assert self.detector is not None
        config, picture = self.config, item.picture()
        boxes = suppress(
            self.detector.detect(picture, config.floor),
            config.overlap_within,
            config.overlap_across,
            config.most,
        )
        attributes = self.attributes_of(picture, boxes)
        return ObjectsValue(
            width=picture.width,
            height=picture.height,
            objects=tuple(
                Object(
                    label=label,
                    score=round(float(boxes.scores[index]), 4),
                    box=rounded(boxes.xyxy[index]),
                    attributes=attributes.get(index, ()),
                )
                for index, label in enumerate(boxes.labels)
            ),
        )

    def attributes_of(self, picture: Image, boxes: Boxes) -> dict[int, tuple[Attribute, ...]]:
        """Attributes of the best boxes that are large enough to say anything."""
        crops: dict[int, Image] = {}
        for index in range(min(len(boxes), self.config.attributed)):
            x0, y0, x1, y1 = (round(float(side)) for side in boxes.xyxy[index])
            if min(x1 - x0, y1 - y0) >= self.config.attribute_side:
                crops[index] = picture.crop((x0, y0, x1, y1))
        if not crops or self.attributor is None:
            return {}
        found = self.attributor.classify(list(crops.values()), self.config.attribute_floor)
        return {
            index: described(boxes.labels[index], [*self.colour_of(crop), *attributes])
            for (index, crop), attributes in zip(crops.items(), found, strict=True)
        }

    def colour_of(self, crop: Image) -> list[tuple[str, float]]:
        """One colour where it dominates, beside EfficientNet, which knows none."""
        import numpy as np

        from stages.colours import dominant_colour

        if self.config.attributes != EFFICIENTNET:
            return []
        colour, share = dominant_colour(np.asarray(crop))
        return [(colour, share)] if share >= self.config.colour_share else []


def rounded(xyxy: np.ndarray) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (round(float(side), 1) for side in xyxy)
    return x0, y0, x1, y1


def described(label: str, attributes: Sequence[tuple[str, float]]) -> tuple[Attribute, ...]:
    """Attributes of a box; never a colour of a person, whose clothes would be taken for them."""
    from stages.transformers_vision import attribute_list

    person = not PEOPLE.isdisjoint(label.lower().split())
    unsaid = attribute_list().groups["colour"] if person else ()
    ordered = sorted(attributes, key=lambda found: -found[1])
    return tuple(Attribute(label=word, score=round(score, 4)) for word, score in ordered if word not in unsaid)

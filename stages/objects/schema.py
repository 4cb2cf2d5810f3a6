"""Settings and values of the stage `objects`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from stages.base import EXECUTION, MODEL, SEMANTIC, Frozen, Label, Score, StageConfig, Value
from stages.objects.vocabulary import COMMON

NANODET = "nanodet-g"

EFFICIENTNET = "efficientnet-lite2"

TIMM_PREFIX = "timm/"

NO_ATTRIBUTES = "none"


# An attribute with its score, before the rules of `stages.objects.attributes`.
ScoredLabel = tuple[str, float]


class ObjectsConfig(StageConfig):
    """Settings of the stage. `floor` and `attribute_floor` limit the cache; contexts may set higher minimums.

    Attributes:
        detector: `nanodet-g`, or the hub name or folder of a detector.
        detector_revision: The branch, tag or commit on the hub.
        vocabulary: The words for an open-vocabulary detector; see `stages.objects.vocabulary.read_vocabulary`.
        floor: Minimum score of a box.
        overlap_within: Maximum intersection over union of boxes with the same label.
        overlap_across: Maximum intersection over union of boxes with different labels.
        most: Maximum number of boxes per image.
        attributes: `efficientnet-lite2`, `none`, `timm/NAME`, or the hub name or folder of a model like CLIP.
        attributes_revision: The branch, tag or commit on the hub.
        attribute_floor: Minimum score of an attribute.
        attribute_side: Minimum side in pixels of a box with attributes.
        attributed: Maximum number of boxes with attributes per image.
        colour_share: Minimum share of the pixels for a color.
        batch: Number of images per thread or device at once.
        workers: Number of threads on a CPU; 0 for all cores.
        device: Device of torch, or `auto`.
    """

    detector: Annotated[str, SEMANTIC, MODEL] = NANODET
    detector_revision: Annotated[str, SEMANTIC] = "main"
    vocabulary: Annotated[str, SEMANTIC] = COMMON
    floor: Annotated[Score, SEMANTIC] = 0.2
    overlap_within: Annotated[Score, SEMANTIC] = 0.5
    overlap_across: Annotated[Score, SEMANTIC] = 0.65
    most: Annotated[int, SEMANTIC, Field(ge=1)] = 50
    attributes: Annotated[str, SEMANTIC, MODEL] = EFFICIENTNET
    attributes_revision: Annotated[str, SEMANTIC] = "main"
    attribute_floor: Annotated[Score, SEMANTIC] = 0.3
    attribute_side: Annotated[int, SEMANTIC, Field(ge=1)] = 32
    attributed: Annotated[int, SEMANTIC, Field(ge=0)] = 12
    colour_share: Annotated[Score, SEMANTIC] = 0.5
    batch: Annotated[int, EXECUTION, Field(ge=1)] = 16
    workers: Annotated[int, EXECUTION, Field(ge=0)] = 0
    device: Annotated[str, EXECUTION] = "auto"

    @property
    def names_kinds(self) -> bool:
        """Whether the attributes are kinds by ImageNet, which never include a color."""
        return self.attributes == EFFICIENTNET or self.attributes.startswith(TIMM_PREFIX)

    @property
    def is_bundled(self) -> bool:
        """Whether both models are bundled ones, which need neither torch nor the hub."""
        return {self.detector, self.attributes} <= {NANODET, EFFICIENTNET, NO_ATTRIBUTES}


class Attribute(Frozen):
    """What an object is like, or its kind."""

    label: Label
    score: Score


class Object(Frozen):
    """A detected object. `box` is xyxy in pixels of the upright image; attributes are best first."""

    label: Label
    score: Score
    box: tuple[float, float, float, float]
    attributes: tuple[Attribute, ...]


class ObjectsValue(Value):
    """The objects of an image of this size in pixels, by falling score."""

    width: int
    height: int
    objects: tuple[Object, ...]


def tag(label: str, attributes: Sequence[str]) -> str:
    """Return attributes and label, as in "red bus".

    A kind with the label's noun replaces the label, as in "soccer ball" for a sports ball.
    """
    noun = label.split()[-1].lower()
    kinds = [word for word in attributes if word.split()[-1].lower() == noun]
    others = [word for word in attributes if word not in kinds]
    return " ".join([*others, *(kinds[:1] or [label])])

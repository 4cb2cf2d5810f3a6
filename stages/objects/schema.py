"""Settings and values of the stage `objects`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from stages.base import (
    EXECUTION,
    MODEL,
    SEMANTIC,
    Frozen,
    Label,
    Score,
    StageConfig,
    Value,
)
from stages.objects.vocabulary import COMMON

NANODET = "nanodet-g"
EFFICIENTNET = "efficientnet-lite2"
NO_ATTRIBUTES = "none"


UNIT = Field(ge=0, le=1)


class ObjectsConfig(StageConfig):
    """`floor` and `attribute_floor` bound what the cache keeps; contexts may ask for more, never less.

    `vocabulary` is what `stages.objects.vocabulary.words_of` takes.
    """

    detector: Annotated[str, SEMANTIC, MODEL] = NANODET
    detector_revision: Annotated[str, SEMANTIC] = "main"
    vocabulary: Annotated[str, SEMANTIC] = COMMON  # for detectors that are asked with words
    floor: Annotated[float, SEMANTIC, UNIT] = 0.2
    overlap_within: Annotated[float, SEMANTIC, UNIT] = 0.5
    overlap_across: Annotated[float, SEMANTIC, UNIT] = 0.65
    most: Annotated[int, SEMANTIC, Field(ge=1)] = 50
    attributes: Annotated[str, SEMANTIC, MODEL] = EFFICIENTNET
    attributes_revision: Annotated[str, SEMANTIC] = "main"
    attribute_floor: Annotated[float, SEMANTIC, UNIT] = 0.3
    attribute_side: Annotated[int, SEMANTIC, Field(ge=1)] = 32
    attributed: Annotated[int, SEMANTIC, Field(ge=0)] = 12
    colour_share: Annotated[float, SEMANTIC, UNIT] = 0.5
    batch: Annotated[int, EXECUTION, Field(ge=1)] = 16
    workers: Annotated[int, EXECUTION, Field(ge=0)] = 0  # on a CPU; 0 is all cores
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

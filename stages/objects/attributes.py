"""Attributes of objects: words that classifiers choose from, dominant colors, and the rules that all follow.

Zero-shot models choose from a written-out list. Classifiers of ImageNet name kinds of objects by its classes, such
as breeds of dogs.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from stages.models.identity import digest_json
from stages.objects.schema import Attribute, ScoredLabel

ATTRIBUTES_FILE = Path(__file__).parent / "attributes.yaml"

KINDS_FILE = Path(__file__).parent / "kinds.yaml"

PEOPLE = frozenset(
    ("person", "people", "human", "man", "men", "woman", "women", "boy", "girl", "child", "children", "baby")
)

ANIMALS = frozenset(
    ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "teddy bear")
)

# The other colors in a crop of an animal are those of its surroundings, such as the green of a lawn.
FUR_COLORS = frozenset(("black", "white", "brown", "grey"))


# sRGB centers of the eleven basic color terms (Berlin and Kay 1969), several for those that vary in lightness.
PALETTE = {
    "black": [(15, 15, 15), (35, 35, 35)],
    "grey": [(90, 90, 90), (130, 130, 130), (170, 170, 170)],
    "white": [(225, 225, 225), (250, 250, 250)],
    "red": [(200, 25, 30), (140, 20, 25)],
    "orange": [(245, 130, 20)],
    "yellow": [(245, 215, 30), (220, 190, 60)],
    "green": [(40, 150, 50), (25, 90, 35), (130, 190, 60)],
    "blue": [(30, 80, 190), (20, 40, 110), (90, 160, 220), (0, 0, 255), (0, 0, 128), (40, 170, 200)],
    "purple": [(120, 40, 150), (140, 20, 215)],
    "pink": [(245, 150, 190), (225, 60, 140)],
    "brown": [(110, 65, 30), (150, 100, 60), (60, 35, 20)],
}

SAMPLE_SIDE = 48  # pixels


@dataclass(frozen=True, slots=True)
class AttributeList:
    """Groups of words that exclude each other, and the sentences that the words are inserted into."""

    prompt: str
    neutral: str
    groups: dict[str, list[str]]

    @property
    def words(self) -> list[str]:
        """The words of all groups."""
        return [word for group in self.groups.values() for word in group]

    @property
    def sentences(self) -> list[str]:
        """The neutral sentence, then one sentence per word."""
        return [self.neutral, *(self.prompt.format(word) for word in self.words)]


@functools.cache
def load_attribute_list(path: Path = ATTRIBUTES_FILE) -> AttributeList:
    """Return the content of `attributes.yaml`."""
    return AttributeList(**yaml.safe_load(path.read_text("utf-8")))


def digest_attribute_list(path: Path = ATTRIBUTES_FILE) -> str:
    """Return the digest of the content of `attributes.yaml`."""
    attributes = load_attribute_list(path)
    return digest_json([attributes.prompt, attributes.neutral, list(attributes.groups.items())])


@functools.cache
def load_kinds() -> Mapping[str, Mapping[int, str]]:
    """Return the names of kinds by class number of ImageNet-1k, for each label of the detector that has kinds."""
    return yaml.safe_load(KINDS_FILE.read_text("utf-8"))


def digest_kinds() -> str:
    """Return the digest of the content of `kinds.yaml`."""
    return digest_json([[label, list(names.items())] for label, names in load_kinds().items()])


def find_likeliest_kind(probabilities: np.ndarray, names: Mapping[int, str], floor: float) -> list[ScoredLabel]:
    """Return the likeliest kind with its probability, or nothing if that is below `floor`.

    Args:
        probabilities: Probabilities (classes,) among all classes, so that a crop of something else has no kind.
        names: Names of the possible kinds by class number.
        floor: Minimum probability.
    """
    best = max(names, key=lambda number: probabilities[number])
    return [(names[best], float(probabilities[best]))] if probabilities[best] >= floor else []


def select_attributes(label: str, attributes: Sequence[ScoredLabel]) -> tuple[Attribute, ...]:
    """Return the attributes that suit the label, best first.

    People get no color, since the color of their clothes would be attributed to them. Animals get only colors of
    fur.
    """
    colors = set(load_attribute_list().groups["colour"])
    excluded = colors if not PEOPLE.isdisjoint(label.lower().split()) else set[str]()
    if label.lower() in ANIMALS:
        excluded = colors - FUR_COLORS
    ordered = sorted(attributes, key=lambda attribute: -attribute[1])
    return tuple(Attribute(label=word, score=round(score, 4)) for word, score in ordered if word not in excluded)


def find_dominant_color(crop: np.ndarray) -> tuple[str, float]:
    """Return the most frequent basic color in the middle of an RGB crop (h, w, 3), and its share of the pixels."""
    import cv2

    height, width = crop.shape[:2]
    middle = crop[height // 5 : max(1, height - height // 5), width // 5 : max(1, width - width // 5)]
    sample = cv2.resize(middle, (SAMPLE_SIDE, SAMPLE_SIDE), interpolation=cv2.INTER_AREA)
    centers, colors = _palette_centers()
    # |a - b|² without |a|², which is the same for all centers.
    distances = (centers**2).sum(axis=1) - 2 * _convert_to_lab(sample.reshape(-1, 1, 3))[:, 0] @ centers.T
    counts = np.bincount(colors[distances.argmin(axis=1)], minlength=len(PALETTE))
    return list(PALETTE)[counts.argmax()], float(counts.max() / counts.sum())


@functools.cache
def _palette_centers() -> tuple[np.ndarray, np.ndarray]:
    """Return the palette's centers as L*a*b* (n, 3), and the number of each center's color (n,)."""
    centers = np.array([center for shades in PALETTE.values() for center in shades], np.uint8)
    colors = [number for number, shades in enumerate(PALETTE.values()) for _ in shades]
    return _convert_to_lab(centers[:, None])[:, 0], np.array(colors)


def _convert_to_lab(rgb: np.ndarray) -> np.ndarray:
    """Return uint8 RGB pixels (n, 1, 3) as CIE L*a*b* with half the lightness, since it matters less than hue."""
    import cv2

    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) * np.array([0.5, 1, 1], np.float32)

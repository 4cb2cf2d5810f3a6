"""Attributes of objects: the words that classifiers choose from, and the rules that all attributes follow.

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

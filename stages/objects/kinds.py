"""Kinds of detected objects that ImageNet's classes name, such as breeds of dogs."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stages.models.identity import digest_json
from stages.objects.schema import ScoredLabel

if TYPE_CHECKING:
    import numpy as np


KINDS_FILE = Path(__file__).parent / "kinds.yaml"


@functools.cache
def load_kinds() -> Mapping[str, Mapping[int, str]]:
    """Return the names of kinds by class number of ImageNet-1k, for each label of the detector that has kinds."""
    import yaml

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

"""Which finer words there are for a thing that the detector names: `kinds.yaml`, and which colours animals have.

Asked freely, the classifier names whatever else is in the crop ("broccoli" for the girl who holds it).
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

WRITTEN = Path(__file__).parent / "kinds.yaml"
# No dog is green, but the lawn under it is.
ANIMALS = frozenset(
    ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "teddy bear")
)
FUR = frozenset(("black", "white", "brown", "grey"))


@functools.cache
def kinds() -> Mapping[str, Mapping[int, str]]:
    """The names of kinds by the number of their class in ImageNet-1k, and those by the detector's word for them."""
    import yaml

    return yaml.safe_load(WRITTEN.read_text("utf-8"))


def digest() -> str:
    """sha256 of what `kinds.yaml` says, whatever its layout and its comments."""
    said = json.dumps([[label, list(names.items())] for label, names in kinds().items()])
    return f"sha256:{hashlib.sha256(said.encode()).hexdigest()}"

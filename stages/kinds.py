"""Which finer words there are for a thing that the detector names: `kinds.yaml`, and which colours animals have.

Asked freely, the classifier names whatever else is in the crop ("broccoli" for the girl who holds it).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

WRITTEN = Path(__file__).parent / "kinds.yaml"
# The names of kinds by the number of their class, and those by the detector's word for what they are kinds of.
KINDS: Mapping[str, Mapping[int, str]] = yaml.safe_load(WRITTEN.read_text("utf-8"))
# No dog is green, but the lawn under it is.
ANIMALS = frozenset(
    ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "teddy bear")
)
FUR = frozenset(("black", "white", "brown", "grey"))

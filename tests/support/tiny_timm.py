"""Small random classifiers of timm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.tiny_models import seed

SCHOOL_BUS, BEAGLE, BROCCOLI = "n04146614", "n02088364", "n07714990"
THOUSAND, ALL = "imagenet-1k", "imagenet-22k"


def synsets_of(subset: str) -> list[str]:
    from timm.data.imagenet_info import ImageNetInfo

    return ImageNetInfo(subset).label_names()


def build_timm(
    folder: Path,
    labels: Sequence[str],
    likely: Sequence[str] = (),
    architecture: str = "test_vit",
    **settings: Any,
) -> Path:
    """Save a random checkpoint as timm does; the `likely` labels get most of the probability."""
    import timm
    import torch
    from timm.models import save_for_hf

    seed()
    model: Any = timm.create_model(architecture, num_classes=len(labels))
    with torch.no_grad():
        for label in likely:
            model.get_classifier().bias[list(labels).index(label)] += 20
    save_for_hf(model, str(folder), model_config=settings, safe_serialization=True)
    return folder

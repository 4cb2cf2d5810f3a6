"""The choice of a detector by `objects.detector`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from stages.models.identity import digest_json, identify
from stages.objects.schema import NANODET, ObjectsConfig
from stages.objects.vocabulary import read_vocabulary

if TYPE_CHECKING:
    from PIL.Image import Image

    from stages.objects.boxes import Boxes


class Detector(Protocol):
    """A model that finds objects. Several threads may call it at once."""

    def detect(self, images: Sequence[Image], floor: float) -> list[Boxes]:
        """Return the boxes of each image with a score of at least `floor`."""
        ...


def identify_detector(config: ObjectsConfig) -> str:
    """Return the identity of the detector's weights.

    Raises:
        StageError: The model is not on this machine, and the hub does not have it or is offline.
    """
    if config.detector == NANODET:
        from stages.objects.nanodet import SHA256

        return f"sha256:{SHA256}"
    return identify(config.detector, config.detector_revision)


def digest_vocabulary(config: ObjectsConfig, identity: str) -> dict[str, str]:
    """Return the digest of the words that the detector looks for as a tool; empty if it has classes of its own.

    Raises:
        StageError: The vocabulary is invalid.
    """
    if not _takes_words(config, identity):
        return {}
    return {"vocabulary": digest_json(read_vocabulary(config.vocabulary))}


def load_detector(config: ObjectsConfig, identity: str) -> Detector:
    """Load the detector of the settings.

    Raises:
        StageError: The model is incomplete or not a detector, or the vocabulary is invalid.
    """
    if config.detector == NANODET:
        from stages.objects.nanodet import NanoDet

        return NanoDet()
    if _takes_words(config, identity):
        from stages.objects.open_vocabulary import load_open_vocabulary_detector

        words = read_vocabulary(config.vocabulary)
        return load_open_vocabulary_detector(config.detector, identity, config.device, words)
    from stages.objects.hub_detectors import HubDetector

    return HubDetector(config.detector, identity, config.device)


def _takes_words(config: ObjectsConfig, identity: str) -> bool:
    if config.detector == NANODET:
        return False
    from stages.objects.open_vocabulary import is_open_vocabulary

    return is_open_vocabulary(config.detector, identity)

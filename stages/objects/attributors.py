"""The choice of a classifier for attributes by `objects.attributes`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from stages.base import Identity
from stages.models.identity import identify
from stages.objects.attributes import digest_attribute_list
from stages.objects.kinds import digest_kinds
from stages.objects.schema import EFFICIENTNET, NO_ATTRIBUTES, ObjectsConfig, ScoredLabel

if TYPE_CHECKING:
    from PIL.Image import Image


class Attributor(Protocol):
    """A model that names attributes of objects. Several threads may call it at once."""

    def accepts(self, label: str) -> bool:
        """Return whether the model has attributes for objects with this label; crops of others are skipped."""
        ...

    def classify(self, crops: Sequence[Image], labels: Sequence[str], floor: float) -> list[list[ScoredLabel]]:
        """Return for each crop, whose object has the label of the same index, attributes that score `floor`."""
        ...


def identify_attributor(config: ObjectsConfig) -> Identity:
    """Return the classifier's exact weights, and the digest of the words that it may answer with.

    Raises:
        StageError: The model is missing.
    """
    if config.attributes == NO_ATTRIBUTES:
        return Identity()
    tools = {"kinds": digest_kinds()} if config.names_kinds else {"attribute list": digest_attribute_list()}
    if config.attributes == EFFICIENTNET:
        from stages.objects.efficientnet import GRAPH_SHA256, SHA256, find_weights

        find_weights()
        models = {"attributes": f"sha256:{SHA256}", "attribute graph": f"sha256:{GRAPH_SHA256}"}
        return Identity(models=models, tools=tools)
    from stages.objects.timm_classifier import model_name

    models = {"attributes": identify(model_name(config.attributes), config.attributes_revision)}
    return Identity(models=models, tools=tools)


def load_attributor(config: ObjectsConfig, identity: str) -> Attributor:
    """Load the classifier of the settings, which must not be `none`.

    Raises:
        StageError: The model is incomplete, or of another kind.
    """
    if config.attributes == EFFICIENTNET:
        from stages.objects.efficientnet import EfficientNetLite2

        return EfficientNetLite2()
    from stages.objects.timm_classifier import TimmClassifier, model_name, reject_timm

    if config.names_kinds:
        return TimmClassifier(model_name(config.attributes), identity, config.device)
    reject_timm(config.attributes, identity)
    from stages.objects.zero_shot_attributes import ZeroShotAttributes

    return ZeroShotAttributes(config.attributes, identity, config.device)

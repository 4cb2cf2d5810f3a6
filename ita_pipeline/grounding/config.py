"""Settings of the grounder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ita_pipeline.core.config import parse_config
from stages.base import Frozen

NO_MODEL = "none"


class GroundingConfig(Frozen):
    """Settings of the grounder (`grounding.…`).

    With `mention`, the detector of the stage `objects`, which must be an open-vocabulary one, is also asked for the
    words and the type of each mention, once the tagger has found it. `similarity` is the hub name or folder of a
    CLIP or SigLIP model that compares mentions with the objects that were detected, or `none`.
    """

    query: Literal["none", "mention"] = "none"
    similarity: str = NO_MODEL
    similarity_revision: str = "main"

    @property
    def looks(self) -> bool:
        """Whether a model looks at the picture again once the mentions are known."""
        return self.query != "none" or self.similarity != NO_MODEL

    @classmethod
    def parse(cls, changes: Mapping[str, object]) -> GroundingConfig:
        """Read the settings of a command.

        Raises:
            UsageError: a setting is unknown or impossible.
        """
        return parse_config(cls, dict(changes), "grounding", "grounding")

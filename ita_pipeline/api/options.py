"""Options that the API accepts, and the types of their values."""

from __future__ import annotations

from ita_pipeline.extraction.options import Options
from ita_pipeline.extraction.shard import Shard
from stages.base import FailureKind

__all__ = ["FailureKind", "Options", "Shard"]

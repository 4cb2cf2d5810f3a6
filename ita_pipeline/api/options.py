"""Options that the API accepts, and the types of their values."""

from __future__ import annotations

from ita_pipeline.extraction.options import Options, Shard
from stages.base import FailureKind

__all__ = ["FailureKind", "Options", "Shard"]

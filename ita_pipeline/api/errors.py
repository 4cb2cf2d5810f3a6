"""Errors that functions of the API raise in addition to those of `ita_pipeline.errors`."""

from __future__ import annotations

from stages.base import StageError

__all__ = ["StageError"]

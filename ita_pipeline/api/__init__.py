"""The Python API, file by file the twin of `cli/`; `ita_pipeline` exports its functions.

May import all packages below it but not `server`; never prints and never parses arguments.
To add an option of a command, add it to the function of the same name here and to the module of `cli/`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ita_pipeline.api import (
        cache,
        config,
        data,
        doctor,
        exchange,
        extract,
        predict,
        report,
        runs,
        status,
        train,
    )
    from stages.base import StageError

__all__ = [
    "StageError",
    "cache",
    "config",
    "data",
    "doctor",
    "exchange",
    "extract",
    "predict",
    "report",
    "runs",
    "status",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import on first use, so that each command loads only what it needs."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "StageError":
        return import_module("stages.base").StageError
    return import_module(f"{__name__}.{name}")

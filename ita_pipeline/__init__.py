"""Named entity recognition in tweets that also reads the picture.

The functions here are the commands of `ita`:

    import ita_pipeline as ita

    ita.extract("images/")
    run = ita.train("example").run
    for prediction in ita.predict(run.folder, posts):
        ...
    ita.report(run.folder, "report.html")
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import FunctionType
from typing import Any

from ita_pipeline.core import errors
from ita_pipeline.core.arguments import check_types

# Where the public functions and classes are defined; `__init__.pyi` says the same to type checkers.
_DEFINITIONS = {
    "api.extract": ("extract",),
    "api.predict": ("evaluate", "explain", "load", "predict", "predict_page", "predict_parts"),
    "api.report": ("compare", "compare_page", "report"),
    "api.runs": ("find_run", "list_runs", "name_run", "remove_run", "unname_run"),
    "api.status": ("status", "why"),
    "api.train": ("train", "train_series"),
    "corpus.posts": ("Post",),
    "engines.ray.cluster": ("RayPool",),
    "extraction.options": ("Options",),
    "reports.writer": ("ReportOptions",),
    "runs.compare": ("Variations",),
    "runs.plan": ("TrainOptions",),
    "server.serve": ("demo",),
}
# What `ita data` and `ita export-model` do: `ita.data.check("example")`, `ita.model_export.export_model(…)`.
_MODULES = {
    "data": "api.data",
    "exporting": "api.exchange",
    "importing": "corpus.importing",
    "model_export": "runs.export",
}

__all__ = sorted(["errors", *_MODULES, *(name for names in _DEFINITIONS.values() for name in names)])  # pyright: ignore

# The documented path of the errors; `errors.pyi` says the same to type checkers.
sys.modules["ita_pipeline.errors"] = errors


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import on first use: importing the package costs nothing that is not used."""
    if name in _MODULES:
        return import_module(f"ita_pipeline.{_MODULES[name]}")
    for module, names in _DEFINITIONS.items():
        if name in names:
            found = getattr(import_module(f"ita_pipeline.{module}"), name)
            return check_types(found) if isinstance(found, FunctionType) else found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

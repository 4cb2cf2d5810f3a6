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
from typing import TYPE_CHECKING, Any

from ita_pipeline.core import errors

if TYPE_CHECKING:
    from ita_pipeline.api import data
    from ita_pipeline.api import data as exporting
    from ita_pipeline.api.extract import extract
    from ita_pipeline.api.predict import evaluate, load, predict, predict_parts
    from ita_pipeline.api.report import compare, compare_page, report
    from ita_pipeline.api.status import status, why
    from ita_pipeline.api.train import train, train_series
    from ita_pipeline.corpus import importing
    from ita_pipeline.corpus.posts import Post
    from ita_pipeline.engines.ray.cluster import RayPool
    from ita_pipeline.extraction.options import Options
    from ita_pipeline.reports.writer import ReportOptions
    from ita_pipeline.runs import export as model_export
    from ita_pipeline.runs.plan import TrainOptions
    from ita_pipeline.server.serve import demo

# Where the public names are defined.
_FUNCTIONS = {
    "extract": "api.extract",
    "status": "api.status",
    "why": "api.status",
    "train": "api.train",
    "train_series": "api.train",
    "evaluate": "api.predict",
    "load": "api.predict",
    "predict": "api.predict",
    "predict_parts": "api.predict",
    "demo": "server.serve",
    "compare": "api.report",
    "compare_page": "api.report",
    "report": "api.report",
    "Options": "extraction.options",
    "Post": "corpus.posts",
    "RayPool": "engines.ray.cluster",
    "ReportOptions": "reports.writer",
    "TrainOptions": "runs.plan",
}
# What `ita data` and `ita export-model` do: `ita.data.check("example")`, `ita.model_export.export_model(…)`.
_MODULES = {
    "data": "api.data",
    "exporting": "api.data",
    "importing": "corpus.importing",
    "model_export": "runs.export",
}

__all__ = [
    "Options",
    "Post",
    "RayPool",
    "ReportOptions",
    "TrainOptions",
    "compare",
    "compare_page",
    "data",
    "demo",
    "errors",
    "evaluate",
    "exporting",
    "extract",
    "importing",
    "load",
    "model_export",
    "predict",
    "predict_parts",
    "report",
    "status",
    "train",
    "train_series",
    "why",
]

# The documented path of the errors; `errors.pyi` says the same to type checkers.
sys.modules["ita_pipeline.errors"] = errors


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import on first use: importing the package costs nothing that is not used."""
    if name in _MODULES:
        return import_module(f"ita_pipeline.{_MODULES[name]}")
    if name in _FUNCTIONS:
        return getattr(import_module(f"ita_pipeline.{_FUNCTIONS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

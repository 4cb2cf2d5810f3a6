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

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ita_pipeline.corpus.posts import Post
    from ita_pipeline.pipeline import (
        Options,
        RayPool,
        ReportOptions,
        TrainOptions,
        compare,
        compare_page,
        demo,
        evaluate,
        extract,
        load,
        predict,
        predict_parts,
        report,
        status,
        train,
        train_series,
        why,
    )

__all__ = [
    "Options",
    "Post",
    "RayPool",
    "ReportOptions",
    "TrainOptions",
    "compare",
    "compare_page",
    "demo",
    "evaluate",
    "extract",
    "load",
    "predict",
    "predict_parts",
    "report",
    "status",
    "train",
    "train_series",
    "why",
]

# What `ita data` and `ita export-model` do: `ita.data.check("example")`, `ita.model_export.export_model(…)`.
MODULES = ("data", "exporting", "importing", "model_export")


def __getattr__(name: str) -> Any:
    """Import on first use: importing the package costs nothing that is not used."""
    if name in MODULES:
        return import_module(f"ita_pipeline.{name}")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "Post":
        from ita_pipeline.corpus.posts import Post

        return Post
    from ita_pipeline import pipeline

    return getattr(pipeline, name)

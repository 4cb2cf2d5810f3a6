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

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ita_pipeline.corpus.posts import Post
    from ita_pipeline.pipeline import (
        Options,
        ReportOptions,
        TrainOptions,
        compare,
        extract,
        load,
        predict,
        report,
        status,
        train,
        train_series,
        why,
    )

__all__ = [
    "Options",
    "Post",
    "ReportOptions",
    "TrainOptions",
    "compare",
    "extract",
    "load",
    "predict",
    "report",
    "status",
    "train",
    "train_series",
    "why",
]


def __getattr__(name: str) -> Any:
    """Import on first use: importing the package costs nothing that is not used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "Post":
        from ita_pipeline.corpus.posts import Post

        return Post
    from ita_pipeline import pipeline

    return getattr(pipeline, name)

"""Runs of a series."""

from __future__ import annotations

from ita_pipeline.ner.config import Objective
from ita_pipeline.runs.compare import SeriesRun


def series_run(contexts: str, seed: int, f1: float, objective: Objective = "aligned") -> SeriesRun:
    """Return a run with this F1 in view T, and half of it in view I+T."""
    split = {"text": f1, "text+image": f1 / 2}
    return SeriesRun(
        dataset="x",
        contexts=contexts,
        seed=seed,
        run=f"runs/x/{contexts}{seed}",
        new=True,
        objective=objective,
        f1={"dev": split, "test": split},
    )

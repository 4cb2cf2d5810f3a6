"""The seeds and the result table of `ita train` with several runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ita_pipeline.cli.console import table
from ita_pipeline.core.errors import UsageError

if TYPE_CHECKING:
    from ita_pipeline.api.train import Mean, RunSeries


COLUMNS = [("dev", "text"), ("dev", "text+image"), ("test", "text"), ("test", "text+image")]

HEADER = ["dev T", "dev I+T", "test T", "test I+T"]


def parse_seeds(text: str) -> tuple[int, ...]:
    """Parse a list of seeds such as `1,2,3`.

    Raises:
        UsageError: an element is no number.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isascii() and part.isdigit() for part in parts) or (text and not parts):
        raise UsageError(f"--seeds {text} is no list of seeds", "--seeds 1,2,3")
    return tuple(map(int, parts))


def series_table(series: RunSeries) -> str:
    """Format the F1 of every run in percent, and below them the means over several seeds."""
    rows = [
        [run.contexts, str(run.seed), *(f"{100 * run.f1[split][view]:.2f}" for split, view in COLUMNS), run.run]
        for run in series.runs
    ]
    runs = table(["contexts", "seed", *HEADER, "run"], rows)
    if all(len(row.seeds) == 1 for row in series.rows):
        return runs
    means = [
        [row.contexts, str(len(row.seeds)), *(_format_mean(row.f1[split][view]) for split, view in COLUMNS)]
        for row in series.rows
    ]
    return f"{runs}\n\n{table(['contexts', 'seeds', *HEADER], means)}"


def _format_mean(value: Mean) -> str:
    deviation = "" if value.sd is None else f" ± {100 * value.sd:.2f}"
    return f"{100 * value.mean:.2f}{deviation}"

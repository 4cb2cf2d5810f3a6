"""What `ita train` prints of several runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ita_pipeline.cli.console import table
from ita_pipeline.core.errors import UsageError

if TYPE_CHECKING:
    from ita_pipeline.runs.series import Mean, RunSeries


COLUMNS = [("dev", "text"), ("dev", "text+image"), ("test", "text"), ("test", "text+image")]

HEADER = ["dev T", "dev I+T", "test T", "test I+T"]


def seed_numbers(text: str) -> tuple[int, ...]:
    """`1,2,3` as numbers.

    Raises:
        UsageError: it is no list of such.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isascii() and part.isdigit() for part in parts) or (text and not parts):
        raise UsageError(f"--seeds {text} is no list of seeds", "--seeds 1,2,3")
    return tuple(map(int, parts))


def series_table(series: RunSeries) -> str:
    """F1 in percent of every run, and the means of several seeds below."""
    rows = [
        [run.contexts, str(run.seed), *(f"{100 * run.f1[split][view]:.2f}" for split, view in COLUMNS), run.run]
        for run in series.runs
    ]
    printed = table(["contexts", "seed", *HEADER, "run"], rows)
    if all(len(row.seeds) == 1 for row in series.rows):
        return printed
    means = [
        [row.contexts, str(len(row.seeds)), *(shown(row.f1[split][view]) for split, view in COLUMNS)]
        for row in series.rows
    ]
    return f"{printed}\n\n{table(['contexts', 'seeds', *HEADER], means)}"


def shown(value: Mean) -> str:
    deviation = "" if value.sd is None else f" ± {100 * value.sd:.2f}"
    return f"{100 * value.mean:.2f}{deviation}"

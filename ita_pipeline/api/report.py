"""The Python API of `ita report` and `ita compare`."""

from __future__ import annotations

from pathlib import Path

from ita_pipeline.cache.store import Workspace
from ita_pipeline.core.progress import Progress, activity
from ita_pipeline.reports.build import make_report
from ita_pipeline.reports.comparison import report_comparison
from ita_pipeline.reports.thumbnails import Pictures as Pictures
from ita_pipeline.reports.writer import Report, ReportOptions, ReportWriter
from ita_pipeline.runs.compare import Comparison, compare_runs
from ita_pipeline.runs.lookup import find_run


def compare(
    a: str | Path,
    b: str | Path,
    split: str = "test",
    samples: int = 10_000,
    seed: int = 1,
    workspace: Path = Path(),
) -> Comparison:
    """Test whether run B is better than run A on the posts of a split, in both views.

    Raises:
        MissingError: a run does not exist.
        UsageError: the runs were tested on different posts.
    """
    runs = Workspace(workspace).runs
    with activity("resampling the posts"):
        return compare_runs(find_run(a, runs), find_run(b, runs), split, samples, seed)


def compare_page(
    comparison: Comparison, html: Path | str, options: ReportOptions | None = None, progress: Progress | None = None
) -> Report:
    """Write an HTML page about a comparison: the tests, and the posts whose predictions changed.

    Raises:
        UserError: a file of a run cannot be read, or the cache is damaged.
    """
    return report_comparison(comparison, ReportWriter(Path(html), options, progress, example="compare.html"))


def report(
    target: str | Path, html: Path | str, options: ReportOptions | None = None, progress: Progress | None = None
) -> Report:
    """Write an HTML page about a run, a dataset or a folder of pictures.

    Raises:
        UserError: the target does not exist, or nothing has been extracted from the pictures yet.
    """
    return make_report(target, ReportWriter(Path(html), options, progress))

"""The data that the blocks of a run's page are made from, and what several blocks read of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from ita_pipeline.ner.metrics.scores import Score, Scores
from ita_pipeline.ner.training.history import EpochScore
from ita_pipeline.reports.gallery import ReportPost
from ita_pipeline.runs.run import Run, RunRecord, ViewScores

NO_SCORE = Score.of(0, 0, 0)


@dataclass(frozen=True, slots=True)
class RunData:
    """The files of a run, its scores by split, and its posts with their predictions."""

    run: Run
    record: RunRecord
    scores: Mapping[str, ViewScores]
    history: Sequence[EpochScore]
    posts: Sequence[ReportPost] = ()

    @classmethod
    def read(cls, run: Run, posts: Sequence[ReportPost] = ()) -> Self:
        """Read the files of a run.

        Raises:
            UserError: a file is missing or invalid.
        """
        return cls(run, run.record(), run.scores().splits, run.history(), posts)


def list_digests(record: RunRecord, kind: str) -> list[tuple[str, str]]:
    """Return the splits of a run and the digest of each one's `sentences` or `contexts`."""
    digests = record.components.get(kind)
    return [(split, str(digest)) for split, digest in digests.items()] if isinstance(digests, Mapping) else []


def list_f1(scores: Scores, types: Sequence[str]) -> tuple[float, ...]:
    """Return the F1 of these types in percent."""
    return tuple(100 * scores.types.get(name, NO_SCORE).f1 for name in types)

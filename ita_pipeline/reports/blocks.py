"""Blocks of a page about a run: their figures, tables and facts, and the data and texts that they are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from ita_pipeline.ner.metrics.scores import EpochScore, Score, Scores
from ita_pipeline.reports.plots import Figure, TypeScores
from ita_pipeline.reports.posts import ReportPost
from ita_pipeline.runs.run import Run, RunRecord, ViewScores

NO_SCORE = Score.of(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Row:
    """A table row; the first cell names it, `link` is a fragment to link to, `note` explains why it is `strong`.

    `links` are fragments that the other cells link to, "" for none.
    """

    cells: tuple[str, ...]
    links: tuple[str, ...] = ()
    strong: bool = False
    note: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of formatted cells; the first `words` columns are text, the others numbers.

    A `folded` table is closed until the reader opens it.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    folded: bool = False
    words: int = 1


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and its value, a headline or a fact of a block; `note` follows the value."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """One section of the page; `id` is the fragment that links to it. A `folded` one is closed at first."""

    id: str
    title: str
    lead: str = ""
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    facts: tuple[Fact, ...] = ()
    folded: bool = False


@dataclass(frozen=True, slots=True)
class RunSection:
    """The part of a page about one run, or about two runs that are compared.

    `headlines` are numbers at the top of the page, their notes what to compare them with.
    """

    about: str
    command: str
    headlines: tuple[Fact, ...]
    blocks: tuple[Block, ...]


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


def pair_types(first: Scores, second: Scores) -> TypeScores:
    """Return the two scores of each type, by name; those of a type that is missing are zero."""
    names = sorted({*first.types, *second.types})
    return [(name, first.types.get(name, NO_SCORE), second.types.get(name, NO_SCORE)) for name in names]

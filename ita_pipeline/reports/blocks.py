"""Parts of a page about a run: blocks of figures, tables and facts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A table row; the first cell names it, `link` is a fragment to link to, `note` explains why it is `strong`."""

    cells: tuple[str, ...]
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
class Figure:
    """A drawing as data URIs for light and dark pages, with its alternative text; sizes are in CSS pixels."""

    title: str
    alt: str
    light: str
    dark: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and its value, a headline or a fact of a block; `note` follows the value."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """One section of the page; `id` is the fragment that links to it."""

    id: str
    title: str
    lead: str = ""
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class RunSection:
    """The part of a page about one run, or about two runs that are compared.

    `headlines` are numbers at the top of the page, their notes what to compare them with.
    """

    about: str
    command: str
    headlines: tuple[Fact, ...]
    blocks: tuple[Block, ...]

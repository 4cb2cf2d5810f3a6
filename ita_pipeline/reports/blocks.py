"""What a page's run part is made of: blocks of tables, pictures of curves, and facts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """The first cell names the row, and `link`, a fragment, is where it leads; `strong` sets the row off, which
    `note` says in words.
    """

    cells: tuple[str, ...]
    strong: bool = False
    note: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Cells are texts already formatted; the first `words` columns are words, the others numbers. A folded table is
    opened by hand.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    folded: bool = False
    words: int = 1


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing as data URIs for light and dark pages, with its content in words. Sizes are in CSS pixels."""

    title: str
    said: str
    light: str
    dark: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and what stands for it; `code` is set as such, `note` follows it."""

    name: str
    code: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """One section of the page. `id` is the fragment that links to it."""

    id: str
    title: str
    lead: str = ""
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Headline:
    """A number that is read first, with what it is compared to."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class RunPart:
    """What a page says about a run, block by block."""

    about: str
    command: str
    headlines: tuple[Headline, ...]
    blocks: tuple[Block, ...]

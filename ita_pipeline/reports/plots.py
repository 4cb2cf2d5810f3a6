"""Curves and bars as SVG, drawn by matplotlib: once for light pages and once for dark ones.

Colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), which colour-blind people tell apart; lines
differ in dash and marker too, bars in hatching.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ita_pipeline.core.text import escape_hidden
from ita_pipeline.reports.blocks import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


INCHES = (4.5, 2.7)

PIXELS_PER_INCH = 96


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of one kind of page; `series` are told apart on its background."""

    ink: str
    soft: str
    page: str
    series: tuple[str, ...]


LIGHT = Theme("#1d1f24", "#b9b6ae", "#fbfaf7", ("#0072b2", "#d55e00", "#009e73", "#a04c80"))

DARK = Theme("#e8e6e1", "#4a4f58", "#16181c", ("#56b4e9", "#e69f00", "#2fc79a", "#dd9fc4"))

STYLES = (("o", "--"), ("s", "-"), ("^", ":"), ("D", "-."))

HATCHES = ("//", "", "..", "xx")


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers under one name; `place` chooses its colour, dash and marker, the same in every drawing. `errors` are
    the lengths of whiskers to either side, NaN for none.
    """

    name: str
    values: tuple[float, ...]
    place: int
    errors: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Interval:
    """A number and the interval around it; `place` as in `Series`."""

    name: str
    middle: float
    low: float
    high: float
    place: int


@dataclass(frozen=True, slots=True)
class Points:
    """Pairs of numbers in 0..1 under one name; `place` as in `Series`."""

    name: str
    across: tuple[float, ...]
    up: tuple[float, ...]
    place: int


def curves(title: str, said: str, label: str, series: Sequence[Series], kept: int | None = None) -> Figure:
    """Values by epoch, counted from 1; `kept` marks an epoch."""

    def draw(axes: Axes, theme: Theme) -> None:
        for line in series:
            marker, dash = STYLES[line.place % len(STYLES)]
            epochs = range(1, len(line.values) + 1)
            colour = theme.series[line.place % len(theme.series)]
            every = max(1, len(line.values) // 12)
            style: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 4, "markevery": every}
            axes.plot(epochs, line.values, dash, label=line.name, **style)
        if kept is not None:
            axes.axvline(kept, color=theme.ink, linewidth=0.8)
            low, high = axes.get_ylim()
            axes.annotate(
                "kept", (kept, high), xytext=(3, -9), textcoords="offset points", color=theme.ink, fontsize=8
            )
            axes.set_ylim(low, high)
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        whole_numbers(axes)

    return figure(title, said, draw)


def bars(title: str, said: str, label: str, names: Sequence[str], series: Sequence[Series]) -> Figure:
    """Bars side by side, one group a name."""

    def draw(axes: Axes, theme: Theme) -> None:
        width = 0.8 / len(series)
        for number, line in enumerate(series):
            places = [group + (number - (len(series) - 1) / 2) * width for group in range(len(names))]
            colour = theme.series[line.place % len(theme.series)]
            hatch = HATCHES[line.place % len(HATCHES)]
            whiskers: dict[str, Any] = (
                {"yerr": line.errors, "ecolor": theme.ink, "capsize": 3} if line.errors else {}
            )
            drawn = axes.bar(
                places, line.values, width * 0.92, color=colour, label=line.name, edgecolor=theme.page, **whiskers
            )
            for bar in drawn:
                bar.set_hatch(hatch)
            axes.bar_label(drawn, fmt="%.0f", fontsize=7, color=theme.ink, padding=1)
        axes.set_xticks(range(len(names)), [short(name) for name in names])
        axes.set_ylabel(label)
        axes.margins(y=0.12)

    return figure(title, said, draw)


def reliability(title: str, said: str, series: Sequence[Points]) -> Figure:
    """Precision over probability, beside the line on which they are equal."""

    def draw(axes: Axes, theme: Theme) -> None:
        axes.plot((0, 100), (0, 100), color=theme.soft, linewidth=1)
        for line in series:
            marker, dash = STYLES[line.place % len(STYLES)]
            colour = theme.series[line.place % len(theme.series)]
            across, up = ([100 * number for number in numbers] for numbers in (line.across, line.up))
            axes.plot(across, up, dash, color=colour, marker=marker, markersize=4, label=line.name)
        axes.set_xlim(0, 102)
        axes.set_ylim(0, 102)
        axes.set_xlabel("probability, %")
        axes.set_ylabel("right, %")

    return figure(title, said, draw)


def intervals(title: str, said: str, label: str, lines: Sequence[Interval]) -> Figure:
    """Numbers with their intervals beside each other, and the line of zero."""

    def draw(axes: Axes, theme: Theme) -> None:
        axes.axvline(0, color=theme.ink, linewidth=0.8)
        for row, line in enumerate(lines):
            marker, _ = STYLES[line.place % len(STYLES)]
            around = [[line.middle - line.low], [line.high - line.middle]]
            colour = theme.series[line.place % len(theme.series)]
            axes.errorbar([line.middle], [row], xerr=around, fmt=marker, color=colour, capsize=5, markersize=7)
        axes.set_yticks(range(len(lines)), [short(line.name) for line in lines])
        axes.set_ylim(len(lines) - 0.4, -0.6)
        axes.set_xlabel(label)
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", visible=True)

    return figure(title, said, draw)


def short(name: str) -> str:
    seen = escape_hidden(name)
    return seen if len(seen) <= 12 else f"{seen[:11]}…"


def whole_numbers(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))


def figure(title: str, said: str, draw: Callable[[Axes, Theme], None]) -> Figure:
    width, height = (round(inches * PIXELS_PER_INCH) for inches in INCHES)
    return Figure(title, said, drawn(draw, LIGHT), drawn(draw, DARK), width, height)


def drawn(draw: Callable[[Axes, Theme], None], theme: Theme) -> str:
    """An SVG as a data URI; the same numbers give the same bytes."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    with matplotlib.rc_context(settings(theme)), warnings.catch_warnings():
        canvas = Canvas(figsize=INCHES, layout="constrained")
        FigureCanvasSVG(canvas)
        axes = canvas.add_subplot()
        draw(axes, theme)
        if axes.get_legend_handles_labels()[1]:
            canvas.legend(loc="outside upper right", ncols=4, frameon=False, handlelength=2.6, columnspacing=1.2)
        out = io.BytesIO()
        # Which glyphs the drawing's own font lacks does not matter: the browser sets the text.
        warnings.filterwarnings("ignore", "Glyph")
        canvas.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(out.getvalue()).decode()


def settings(theme: Theme) -> dict[Any, Any]:
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": "ita",
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": theme.ink,
        # Names of types stand in a drawing; a dollar sign in one is no formula.
        "text.parse_math": False,
        "axes.edgecolor": theme.soft,
        "axes.labelcolor": theme.ink,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "grid.color": theme.soft,
        "grid.linewidth": 0.5,
        "hatch.color": theme.page,
        "hatch.linewidth": 0.8,
        "xtick.color": theme.ink,
        "ytick.color": theme.ink,
        "lines.linewidth": 1.6,
    }

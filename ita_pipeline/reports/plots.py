"""Curves and bars as SVG, drawn by matplotlib: once for light pages and once for dark ones.

Colors are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), which color-blind people can distinguish;
lines also differ in dash and marker, bars in hatching.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ita_pipeline.core.text import escape_hidden
from ita_pipeline.ner.metrics.scores import Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# The file plots.mplstyle beside this module, as matplotlib names it.
STYLE = "ita_pipeline.reports.plots"

INCHES = (4.5, 2.7)

PIXELS_PER_INCH = 96

MAX_NAME_LENGTH = 12

MAX_MARKERS = 12


@dataclass(frozen=True, slots=True)
class Theme:
    """Colors of light or dark pages; those of `series` are distinguishable on the background `page`."""

    ink: str
    soft: str
    page: str
    series: tuple[str, ...]


LIGHT = Theme("#1d1f24", "#b9b6ae", "#fbfaf7", ("#0072b2", "#d55e00", "#009e73", "#a04c80"))

DARK = Theme("#e8e6e1", "#4a4f58", "#16181c", ("#56b4e9", "#e69f00", "#2fc79a", "#dd9fc4"))

MARKERS = ("o", "s", "^", "D")

DASHES = ("--", "-", ":", "-.")

HATCHES = ("//", "", "..", "xx")

Draw = Callable[["Axes", Theme], None]

TypeScores = Sequence[tuple[str, Score, Score]]
"""The names of types, each with the two scores to compare."""


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
class PlotSeries:
    """Numbers under one name.

    `style` is the index of the color, dash, marker and hatching, below 4 and the same in every figure. `x` are the
    positions of the values if they are not given by their order. `errors` are the lengths of the whiskers to
    either side, NaN for none.
    """

    name: str
    values: tuple[float, ...]
    style: int
    errors: tuple[float, ...] = ()
    x: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Interval:
    """A number with the interval around it; `style` as in `PlotSeries`."""

    name: str
    middle: float
    low: float
    high: float
    style: int


def draw_curves(title: str, alt: str, label: str, series: Sequence[PlotSeries], kept: int | None = None) -> Figure:
    """Draw values by epoch, counted from 1; `kept` is an epoch to mark."""
    from matplotlib.ticker import MaxNLocator

    def draw(axes: Axes, theme: Theme) -> None:
        for line in series:
            epochs = range(1, len(line.values) + 1)
            every = max(1, len(line.values) // MAX_MARKERS)
            axes.plot(epochs, line.values, markevery=every, **_line_style(line, theme))
        if kept is not None:
            axes.axvline(kept, color=theme.ink, linewidth=0.8)
            low, high = axes.get_ylim()
            text: dict[str, Any] = {"color": theme.ink, "fontsize": 8}
            axes.annotate("kept", (kept, high), xytext=(3, -9), textcoords="offset points", **text)
            axes.set_ylim(low, high)
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))

    return _make_figure(title, alt, draw)


def draw_bars(title: str, alt: str, names: Sequence[str], series: Sequence[PlotSeries]) -> Figure:
    """Draw F1 in percent as bars side by side, one group per name."""

    def draw(axes: Axes, theme: Theme) -> None:
        width = 0.8 / len(series)
        for number, line in enumerate(series):
            offset = (number - (len(series) - 1) / 2) * width
            positions = [group + offset for group in range(len(names))]
            whiskers: dict[str, Any] = {"yerr": line.errors or None, "ecolor": theme.ink, "capsize": 3}
            colors: dict[str, Any] = {"color": theme.series[line.style], "edgecolor": theme.page}
            bars = axes.bar(positions, line.values, width * 0.92, label=line.name, **colors, **whiskers)
            for bar in bars:
                bar.set_hatch(HATCHES[line.style])
            axes.bar_label(bars, fmt="%.0f", fontsize=7, color=theme.ink, padding=1)
        axes.set_xticks(range(len(names)), [_shorten(name) for name in names])
        axes.set_ylabel("F1, %")
        axes.margins(y=0.12)

    return _make_figure(title, alt, draw)


def draw_type_bars(title: str, alt: str, labels: tuple[str, str], types: TypeScores) -> Figure:
    """Draw the two F1 of each type."""
    first = PlotSeries(labels[0], tuple(100 * score.f1 for _, score, _ in types), 0)
    second = PlotSeries(labels[1], tuple(100 * score.f1 for _, _, score in types), 1)
    return draw_bars(title, alt, [name for name, _, _ in types], [first, second])


def draw_reliability(title: str, alt: str, series: Sequence[PlotSeries]) -> Figure:
    """Draw precision over probability (`x`), both in percent, beside the line on which they are equal."""

    def draw(axes: Axes, theme: Theme) -> None:
        axes.plot((0, 100), (0, 100), color=theme.soft, linewidth=1)
        for line in series:
            axes.plot(line.x, line.values, **_line_style(line, theme))
        axes.set_xlim(0, 102)
        axes.set_ylim(0, 102)
        axes.set_xlabel("probability, %")
        axes.set_ylabel("right, %")

    return _make_figure(title, alt, draw)


def draw_intervals(title: str, alt: str, label: str, intervals: Sequence[Interval]) -> Figure:
    """Draw numbers with their intervals in rows, and a line at zero."""

    def draw(axes: Axes, theme: Theme) -> None:
        axes.axvline(0, color=theme.ink, linewidth=0.8)
        for row, interval in enumerate(intervals):
            lengths = [[interval.middle - interval.low], [interval.high - interval.middle]]
            marker, color = MARKERS[interval.style], theme.series[interval.style]
            axes.errorbar([interval.middle], [row], xerr=lengths, fmt=marker, color=color, capsize=5, markersize=7)
        axes.set_yticks(range(len(intervals)), [_shorten(interval.name) for interval in intervals])
        axes.set_ylim(len(intervals) - 0.4, -0.6)
        axes.set_xlabel(label)
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", visible=True)

    return _make_figure(title, alt, draw)


def _line_style(line: PlotSeries, theme: Theme) -> dict[str, Any]:
    style = line.style
    return {"label": line.name, "linestyle": DASHES[style], "color": theme.series[style], "marker": MARKERS[style]}


def _shorten(name: str) -> str:
    visible = escape_hidden(name)
    return visible if len(visible) <= MAX_NAME_LENGTH else f"{visible[: MAX_NAME_LENGTH - 1]}…"


def _make_figure(title: str, alt: str, draw: Draw) -> Figure:
    width, height = (round(inches * PIXELS_PER_INCH) for inches in INCHES)
    return Figure(title, alt, _render_svg(draw, LIGHT), _render_svg(draw, DARK), width, height)


def _render_svg(draw: Draw, theme: Theme) -> str:
    """Return an SVG as a data URI; the same numbers give the same bytes."""
    from matplotlib import style
    from matplotlib.figure import Figure as Canvas

    colors = {
        **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), theme.ink),
        **dict.fromkeys(("axes.edgecolor", "grid.color"), theme.soft),
        "hatch.color": theme.page,
    }
    with style.context([STYLE, colors]), warnings.catch_warnings():
        canvas = Canvas(figsize=INCHES, layout="constrained")
        axes = canvas.add_subplot()
        draw(axes, theme)
        if axes.get_legend_handles_labels()[1]:
            canvas.legend(loc="outside upper right", ncols=4, frameon=False, handlelength=2.6, columnspacing=1.2)
        buffer = io.BytesIO()
        # Glyphs missing from matplotlib's font do not matter: the browser sets the text.
        warnings.filterwarnings("ignore", "Glyph")
        canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()

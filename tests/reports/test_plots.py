"""Tests of the figures: SVG for light and dark pages, the same bytes every time, and names as plain text."""

from __future__ import annotations

import base64
from xml.etree import ElementTree

from ita_pipeline.reports.plots import DARK, LIGHT, Figure, PlotSeries, draw_bars, draw_curves

SERIES = [PlotSeries("T", (10.0, 20.0, 30.0), 0), PlotSeries("I+T", (15.0, 40.0, 60.0), 1)]


def svg(source: str) -> str:
    head, _, data = source.partition(",")
    assert head == "data:image/svg+xml;base64"
    text = base64.b64decode(data).decode()
    ElementTree.fromstring(text.encode())
    return text


def texts(figure: Figure) -> set[str]:
    root = ElementTree.fromstring(svg(figure.light).encode())
    return {"".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")}


def test_curves_are_drawn_for_light_and_dark_pages():
    figure = draw_curves("F1 on dev", "rising", "F1, %", SERIES, kept=2)
    light, dark = svg(figure.light), svg(figure.dark)
    assert all(colour in light for colour in LIGHT.series[:2])
    assert all(colour in dark for colour in DARK.series[:2])
    assert {"T", "I+T", "epoch", "kept"} <= texts(figure)


def test_the_same_numbers_give_the_same_bytes():
    one, other = (draw_curves("a", "b", "c", SERIES) for _ in range(2))
    assert one == other


def test_names_of_types_are_plain_text():
    names = ["$x^2$", "<b>", "B-a\\frac", "a very long name of a type", "\x1b[m"]
    series = [PlotSeries("T", (1.0, 0.0, 50.0, 100.0, 2.0), 0)]
    assert {"$x^2$", "<b>", "B-a\\frac", "a very long…", "␛[m"} <= texts(draw_bars("t", "s", names, series))


def test_a_single_epoch_can_be_drawn():
    assert "epoch" in texts(draw_curves("a", "b", "c", [PlotSeries("T", (0.0,), 0)], kept=1))

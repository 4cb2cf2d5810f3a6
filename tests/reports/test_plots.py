"""Curves: SVG for both kinds of page, the same bytes every time, and no name is taken for a formula."""

from __future__ import annotations

import base64
from xml.etree import ElementTree

from ita_pipeline.reports.blocks import Figure
from ita_pipeline.reports.plots import DARK, LIGHT, Series, bars, curves

SERIES = [Series("T", (10.0, 20.0, 30.0), 0), Series("I+T", (15.0, 40.0, 60.0), 1)]


def svg(source: str) -> str:
    head, _, data = source.partition(",")
    assert head == "data:image/svg+xml;base64"
    text = base64.b64decode(data).decode()
    ElementTree.fromstring(text.encode())
    return text


def texts(figure: Figure) -> set[str]:
    root = ElementTree.fromstring(svg(figure.light).encode())
    return {"".join(found.itertext()).strip() for found in root.iter("{http://www.w3.org/2000/svg}text")}


def test_curves_are_drawn_for_light_and_dark_pages():
    figure = curves("F1 on dev", "rising", "F1, %", SERIES, kept=2)
    light, dark = svg(figure.light), svg(figure.dark)
    assert all(colour in light for colour in LIGHT.series[:2])
    assert all(colour in dark for colour in DARK.series[:2])
    assert {"T", "I+T", "epoch", "kept"} <= texts(figure)


def test_the_same_numbers_give_the_same_bytes():
    one, other = (curves("a", "b", "c", SERIES) for _ in range(2))
    assert one == other


def test_names_of_types_are_text_whatever_they_are():
    names = ["$x^2$", "<b>", "B-a\\frac", "a very long name of a type", "\x1b[m"]
    series = [Series("T", (1.0, 0.0, 50.0, 100.0, 2.0), 0)]
    assert {"$x^2$", "<b>", "B-a\\frac", "a very long…", "␛[m"} <= texts(bars("t", "s", "F1", names, series))


def test_a_single_epoch_is_a_curve_too():
    assert "epoch" in texts(curves("a", "b", "c", [Series("T", (0.0,), 0)], kept=1))

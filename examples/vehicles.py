"""Vehicles for the example pictures; the dark under them is what puts them on the road."""

from __future__ import annotations

import math

from drawing import WHITE, Canvas, Colour, both, disc, ellipse, polygon, rounded, stroke
from people import dark
from things import GLASS, ground_shadow


def wheel(canvas: Canvas, x: float, y: float, radius: float) -> None:
    canvas.paint(disc(x, y, radius), (30, 30, 32), radius * 0.2, 0.8)
    canvas.paint(disc(x, y, radius * 0.58), (172, 176, 182), radius * 0.15, 0.9)
    for step in range(5):
        angle = step * 2 * math.pi / 5
        spoke = (x + math.cos(angle) * radius * 0.5, y + math.sin(angle) * radius * 0.5)
        canvas.paint(stroke(radius * 0.1, (x, y), spoke), (70, 72, 78))
    canvas.paint(disc(x, y, radius * 0.14), (60, 62, 66))


def bus(canvas: Canvas, x: float, y: float, wide: float, colour: Colour, sign: str = "", side: str = "") -> None:
    """A bus from the side, lower left corner at `x`, `y`; `sign` is over the door, `side` on the panel."""
    u = wide / 100
    ground_shadow(canvas, x - u, x + wide + 2 * u, y, 3 * u)
    body = rounded(x, y - 44 * u, x + wide, y - 4 * u, 5 * u)
    canvas.paint(body, (colour, dark(colour, 0.72)), 4 * u, 0.8)
    canvas.paint(rounded(x + 6 * u, y - 46 * u, x + 70 * u, y - 43 * u, 1.5 * u), dark(colour, 0.7))
    canvas.paint(rounded(x + 2 * u, y - 33 * u, x + 97 * u, y - 19 * u, 2 * u), (28, 34, 42))
    for step in range(6):
        left = x + (3 + step * 13) * u
        canvas.paint(rounded(left, y - 32.5 * u, left + 12 * u, y - 19.5 * u, 1 * u), GLASS)
    canvas.paint(rounded(x + 94 * u, y - 33 * u, x + 100 * u, y - 14 * u, 2 * u), GLASS)
    canvas.paint(rounded(x + 82 * u, y - 33 * u, x + 93 * u, y - 6 * u, 1 * u), (30, 34, 40))
    for left in (82.8, 87.8):
        canvas.paint(rounded(x + left * u, y - 32 * u, x + (left + 4.4) * u, y - 7 * u, 1 * u), GLASS)
    canvas.paint(rounded(x, y - 9 * u, x + wide, y - 4 * u, 2 * u), (44, 46, 50))
    for at in (19, 70):
        canvas.paint(disc(x + at * u, y - 5.5 * u, 7.4 * u), (18, 18, 20))
        wheel(canvas, x + at * u, y - 5.5 * u, 6.2 * u)
    canvas.paint(ellipse(x + 97 * u, y - 13 * u, x + 100 * u, y - 9 * u), (250, 240, 200))
    if sign:
        canvas.paint(rounded(x + 24 * u, y - 42 * u, x + 92 * u, y - 34 * u, 1 * u), (16, 16, 18))
        canvas.write(sign, (x + 27 * u, y - 40.7 * u, x + 89 * u, y - 35.3 * u), (255, 214, 120), 0.02)
    if side:
        canvas.write(side, (x + 27 * u, y - 17 * u, x + 62 * u, y - 10 * u), WHITE, 0.02)


def bus_front(canvas: Canvas, x: float, y: float, wide: float, colour: Colour, sign: str) -> None:
    """A bus coming towards the camera; `x` is its middle, `y` the road under it."""
    u = wide / 100
    ground_shadow(canvas, x - 54 * u, x + 58 * u, y, 6 * u)
    for side in (-1, 1):
        canvas.paint(
            rounded(x + side * 36 * u - 8 * u, y - 16 * u, x + side * 36 * u + 8 * u, y, 3 * u), (22, 22, 24)
        )
    canvas.paint(
        rounded(x - 50 * u, y - 118 * u, x + 50 * u, y - 7 * u, 9 * u),
        (colour, dark(colour, 0.7)),
        8 * u,
        0.9,
    )
    canvas.paint(rounded(x - 42 * u, y - 114 * u, x + 42 * u, y - 95 * u, 3 * u), (14, 14, 16))
    canvas.write(sign, (x - 38 * u, y - 110 * u, x + 38 * u, y - 99 * u), (255, 214, 120), 0.02)
    canvas.paint(rounded(x - 46 * u, y - 92 * u, x + 46 * u, y - 42 * u, 5 * u), (26, 30, 36))
    canvas.paint(rounded(x - 44 * u, y - 90 * u, x - 1 * u, y - 44 * u, 4 * u), GLASS)
    canvas.paint(rounded(x + 1 * u, y - 90 * u, x + 44 * u, y - 44 * u, 4 * u), GLASS)
    canvas.paint(
        polygon(
            (x - 40 * u, y - 46 * u),
            (x - 22 * u, y - 88 * u),
            (x - 10 * u, y - 88 * u),
            (x - 28 * u, y - 46 * u),
        ),
        (178, 206, 224),
    )
    for side in (-1, 1):
        canvas.paint(stroke(2 * u, (x + side * 10 * u, y - 42 * u), (x + side * 34 * u, y - 50 * u)), (20, 20, 22))
        canvas.paint(
            ellipse(x + side * 37 * u - 8 * u, y - 34 * u, x + side * 37 * u + 8 * u, y - 22 * u),
            ((255, 250, 230), (210, 206, 190)),
            2 * u,
        )
        canvas.paint(
            rounded(x + side * 57 * u - 4 * u, y - 88 * u, x + side * 57 * u + 4 * u, y - 66 * u, 2 * u),
            (34, 34, 38),
            2 * u,
        )
    canvas.paint(rounded(x - 50 * u, y - 18 * u, x + 50 * u, y - 7 * u, 4 * u), (46, 48, 54), 3 * u)
    canvas.paint(rounded(x - 16 * u, y - 17 * u, x + 16 * u, y - 9 * u, 1 * u), (236, 232, 210))


def car(canvas: Canvas, x: float, y: float, wide: float, colour: Colour) -> None:
    """A car from the side, its lower left corner at `x`, `y`."""
    u = wide / 100
    ground_shadow(canvas, x + 2 * u, x + wide, y, 3 * u)
    roof = polygon(
        (x + 18 * u, y - 23 * u),
        (x + 31 * u, y - 36 * u),
        (x + 40 * u, y - 39 * u),
        (x + 60 * u, y - 38.5 * u),
        (x + 70 * u, y - 34 * u),
        (x + 82 * u, y - 22 * u),
    )
    body = polygon(
        (x + 2 * u, y - 8 * u),
        (x + 1 * u, y - 16 * u),
        (x + 4 * u, y - 23 * u),
        (x + 20 * u, y - 25 * u),
        (x + 78 * u, y - 25 * u),
        (x + 93 * u, y - 20 * u),
        (x + 99 * u, y - 14 * u),
        (x + 99 * u, y - 7 * u),
        (x + 94 * u, y - 5 * u),
        (x + 6 * u, y - 5 * u),
    )
    canvas.paint(both(roof, body), (colour, dark(colour, 0.6)), 3 * u, 0.9)
    canvas.paint(
        polygon(
            (x + 24 * u, y - 24 * u),
            (x + 34 * u, y - 35 * u),
            (x + 48 * u, y - 36.5 * u),
            (x + 48 * u, y - 24 * u),
        ),
        GLASS,
    )
    canvas.paint(
        polygon(
            (x + 51 * u, y - 24 * u),
            (x + 51 * u, y - 36.5 * u),
            (x + 61 * u, y - 36 * u),
            (x + 67 * u, y - 33 * u),
            (x + 76 * u, y - 24 * u),
        ),
        GLASS,
    )
    for at in (49.5, 29, 76):
        canvas.paint(stroke(0.5 * u, (x + at * u, y - 23 * u), (x + at * u, y - 8 * u)), dark(colour, 0.45))
    for at in (42, 66):
        canvas.paint(rounded(x + at * u, y - 21 * u, x + (at + 6) * u, y - 19.5 * u, 1 * u), dark(colour, 0.4))
    canvas.paint(rounded(x + 1 * u, y - 9 * u, x + 99 * u, y - 5 * u, 2 * u), (40, 40, 44))
    canvas.paint(ellipse(x + 92 * u, y - 19 * u, x + 98 * u, y - 13.5 * u), (250, 246, 220), u)
    canvas.paint(rounded(x + 1 * u, y - 21 * u, x + 5 * u, y - 15 * u, u), (190, 30, 30), u)
    for at in (21, 78):
        canvas.paint(disc(x + at * u, y - 8 * u, 9.8 * u), (18, 18, 20))
        wheel(canvas, x + at * u, y - 8 * u, 8.4 * u)


def train_front(canvas: Canvas, x: float, y: float, wide: float, colour: Colour, sign: str) -> None:
    """A train with a little of its side, coming to a platform; `x`, `y` is the middle of the front's foot."""
    u = wide / 100
    flank = polygon(
        (x + 46 * u, y - 122 * u),
        (x + 260 * u, y - 86 * u),
        (x + 260 * u, y - 34 * u),
        (x + 46 * u, y - 8 * u),
    )
    canvas.paint(flank, (dark(colour, 0.85), dark(colour, 0.55)))
    canvas.paint(
        polygon(
            (x + 46 * u, y - 88 * u),
            (x + 260 * u, y - 70 * u),
            (x + 260 * u, y - 56 * u),
            (x + 46 * u, y - 56 * u),
        ),
        (40, 52, 64),
    )
    for at in (84, 128, 168, 204, 236):
        canvas.paint(
            stroke(2.4 * u, (x + at * u, y - 110 * u + at * 0.14 * u), (x + at * u, y - 14 * u - at * 0.06 * u)),
            dark(colour, 0.5),
        )
    front = polygon(
        (x - 44 * u, y - 8 * u),
        (x - 50 * u, y - 50 * u),
        (x - 44 * u, y - 104 * u),
        (x - 30 * u, y - 122 * u),
        (x + 30 * u, y - 122 * u),
        (x + 44 * u, y - 104 * u),
        (x + 50 * u, y - 50 * u),
        (x + 44 * u, y - 8 * u),
    )
    canvas.paint(front, (colour, dark(colour, 0.7)), 7 * u, 0.9)
    canvas.paint(rounded(x - 28 * u, y - 118 * u, x + 28 * u, y - 104 * u, 2 * u), (14, 14, 16))
    canvas.write(sign, (x - 25 * u, y - 115 * u, x + 25 * u, y - 107 * u), (255, 214, 120), 0.02)
    canvas.paint(rounded(x - 40 * u, y - 100 * u, x + 40 * u, y - 62 * u, 6 * u), (22, 26, 32))
    canvas.paint(rounded(x - 37 * u, y - 97 * u, x + 37 * u, y - 65 * u, 5 * u), GLASS)
    canvas.paint(stroke(2 * u, (x, y - 98 * u), (x, y - 64 * u)), (22, 26, 32))
    canvas.paint(rounded(x - 49 * u, y - 54 * u, x + 49 * u, y - 30 * u, 3 * u), (240, 196, 40), 3 * u)
    for side in (-1, 1):
        canvas.paint(disc(x + side * 34 * u, y - 42 * u, 7 * u), (250, 248, 232), 2 * u)
        canvas.glow(disc(x + side * 34 * u, y - 42 * u, 6 * u), (255, 252, 236), 5 * u)
    canvas.paint(rounded(x - 40 * u, y - 18 * u, x + 40 * u, y - 4 * u, 3 * u), (36, 38, 42), 3 * u)
    canvas.paint(rounded(x - 8 * u, y - 22 * u, x + 8 * u, y - 8 * u, 2 * u), (70, 72, 76), 2 * u)

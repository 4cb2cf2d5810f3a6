"""Street furniture and other things for the example pictures."""

from __future__ import annotations

import math

from drawing import BLACK, WHITE, Canvas, Colour, Fill, disc, ellipse, polygon, rounded, stroke
from people import dark

GLASS: Fill = ((150, 186, 210), (62, 84, 104))
STEEL: Colour = (150, 154, 160)


def ground_shadow(canvas: Canvas, x0: float, x1: float, y: float, thick: float) -> None:
    canvas.glow(ellipse(x0, y - thick, x1, y + thick), (14, 14, 16), thick * 0.5, 0.75)


def ball(canvas: Canvas, x: float, y: float, radius: float) -> None:
    """A football: a dark pentagon in the middle, five at the rim, seams between them."""
    ground_shadow(canvas, x - radius, x + radius * 1.3, y + radius * 0.95, radius * 0.2)
    canvas.paint(disc(x, y, radius), (236, 236, 232), radius * 0.3, 0.75)

    def corner(at: float, far: float) -> tuple[float, float]:
        return x + math.sin(at) * radius * far, y - math.cos(at) * radius * far

    turn = 2 * math.pi / 5
    canvas.paint(polygon(*(corner(0.2 + k * turn, 0.36) for k in range(5))), (34, 34, 40))
    for k in range(5):
        at = 0.2 + k * turn
        canvas.paint(stroke(radius * 0.035, corner(at, 0.36), corner(at, 0.68)), (70, 70, 76))
        rim = polygon(
            corner(at - 0.36, 0.86),
            corner(at, 0.66),
            corner(at + 0.36, 0.86),
            corner(at + 0.22, 0.985),
            corner(at - 0.22, 0.985),
        )
        canvas.paint(rim, (34, 34, 40))
        canvas.paint(stroke(radius * 0.03, corner(at + 0.36, 0.86), corner(at + turn - 0.36, 0.86)), (90, 90, 96))


def stop_sign(canvas: Canvas, x: float, y: float, radius: float, foot: float) -> None:
    canvas.paint(rounded(x - radius * 0.07, y, x + radius * 0.07, foot), STEEL, radius * 0.05, 0.8)

    def octagon(size: float) -> list[tuple[float, float]]:
        angles = [math.pi / 8 + k * math.pi / 4 for k in range(8)]
        return [(x + math.cos(a) * size, y + math.sin(a) * size) for a in angles]

    canvas.paint(polygon(*octagon(radius)), WHITE, radius * 0.05, 0.5, shadow=radius * 0.15)
    canvas.paint(polygon(*octagon(radius * 0.92)), ((206, 34, 40), (160, 22, 30)))
    canvas.write("STOP", (x - radius * 0.7, y - radius * 0.3, x + radius * 0.7, y + radius * 0.3), WHITE, 0.03)


def traffic_light(canvas: Canvas, x: float, y: float, tall: float, foot: float, lit: int = 2) -> None:
    u = tall / 100
    canvas.paint(rounded(x - 5 * u, y, x + 5 * u, foot), (70, 74, 78), 3 * u, 0.8)
    canvas.paint(rounded(x - 22 * u, y - 50 * u, x + 22 * u, y + 50 * u, 8 * u), (34, 36, 38), 5 * u, 0.9)
    lamps: tuple[Colour, ...] = ((255, 56, 44), (255, 196, 50), (70, 240, 130))
    for number, lamp in enumerate(lamps):
        middle = y + (number - 1) * 31 * u
        canvas.paint(disc(x, middle, 12.5 * u), lamp if number == lit else dark(lamp, 0.26), 3 * u, 0.6)
        if number == lit:
            canvas.glow(disc(x, middle, 12 * u), lamp, 9 * u, 0.8)
            canvas.paint(disc(x, middle, 8 * u), tuple(min(255, c + 70) for c in lamp))
        canvas.paint(
            polygon(
                (x - 15 * u, middle - 4 * u),
                (x - 13 * u, middle - 14 * u),
                (x + 13 * u, middle - 14 * u),
                (x + 15 * u, middle - 4 * u),
                (x + 11 * u, middle - 10 * u),
                (x - 11 * u, middle - 10 * u),
            ),
            (22, 22, 24),
        )


def clock(canvas: Canvas, x: float, y: float, radius: float, hour: float = 10.17) -> None:
    canvas.paint(disc(x, y, radius), (40, 44, 52), radius * 0.1, 0.9, shadow=radius * 0.15)
    canvas.paint(disc(x, y, radius * 0.87), ((246, 246, 240), (222, 222, 214)))

    def hand(turns: float, long: float) -> tuple[float, float]:
        angle = turns * 2 * math.pi
        return x + math.sin(angle) * radius * long, y - math.cos(angle) * radius * long

    for step in range(12):
        wide = radius * (0.07 if step % 3 == 0 else 0.035)
        canvas.paint(stroke(wide, hand(step / 12, 0.68), hand(step / 12, 0.78)), BLACK)
    canvas.paint(stroke(radius * 0.08, (x, y), hand(hour / 12, 0.45)), BLACK)
    canvas.paint(stroke(radius * 0.05, (x, y), hand(hour % 1, 0.66)), BLACK)
    canvas.paint(stroke(radius * 0.025, (x, y), hand(0.6, 0.7)), (200, 40, 40))
    canvas.paint(disc(x, y, radius * 0.06), (200, 40, 40))

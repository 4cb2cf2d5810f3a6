"""What is behind the example pictures' subjects, mostly out of focus, and the boards words stand on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from drawing import WHITE, Canvas, Colour, Fill, disc, ellipse, polygon, rounded, stroke
from people import dark

SKIES: tuple[Fill, ...] = (
    ((138, 182, 228), (226, 233, 237)),
    ((246, 190, 140), (250, 226, 196)),
    ((126, 144, 168), (206, 212, 218)),
    ((96, 156, 220), (204, 226, 240)),
    ((62, 74, 112), (190, 150, 150)),
)


def everywhere(canvas: Canvas) -> tuple[float, float, float, float]:
    return 0, 0, canvas.width, canvas.height


def colour_near(canvas: Canvas, base: Colour, spread: int) -> Colour:
    red, green, blue = (int(min(250, max(10, c + canvas.random.integers(-spread, spread + 1)))) for c in base)
    return red, green, blue


def street(seed: int, blur: float = 4.0) -> Canvas:
    """Houses with windows behind a road, by day or at dusk."""
    canvas = Canvas(seed=seed)
    is_dusk = seed % len(SKIES) == len(SKIES) - 1
    canvas.paint(rounded(0, 0, 640, 340), SKIES[seed % len(SKIES)])
    left = -20.0
    while left < 640:
        wide, tall = float(canvas.random.integers(70, 120)), float(canvas.random.integers(120, 270))
        house(canvas, left, 335 - tall, wide)
        left += wide + 2
    canvas.paint(rounded(0, 330, 640, 480), ((120, 120, 122), (84, 84, 88)))
    canvas.texture(rounded(0, 330, 640, 480), 0.06)
    canvas.paint(rounded(0, 326, 640, 344), (174, 170, 164))
    if is_dusk:
        canvas.pixels *= np.float32([0.62, 0.6, 0.72])
    canvas.blur(blur)
    return canvas


def house(canvas: Canvas, left: float, top: float, wide: float) -> None:
    wall = colour_near(canvas, (168, 152, 140), 34)
    canvas.paint(rounded(left, top, left + wide, 340), (wall, dark(wall, 0.8)), 4, 0.5)
    count = int(wide // 24)
    gap = wide / count
    for row in range(int((326 - top) // 32)):
        for column in range(count):
            x, y = left + (column + 0.5) * gap - 6, top + 12 + row * 32
            lit = canvas.random.random() < 0.12
            canvas.paint(rounded(x, y, x + 12, y + 18), (250, 222, 150) if lit else (74, 90, 108))


def country(seed: int, blur: float = 1.6) -> Canvas:
    """Hills, trees and a road that runs to the horizon."""
    canvas = Canvas(seed=seed)
    canvas.paint(rounded(0, 0, 640, 300), SKIES[seed % len(SKIES)])
    for _ in range(5):
        x, y = canvas.random.uniform(0, 640), canvas.random.uniform(20, 110)
        canvas.glow(ellipse(x - 70, y - 10, x + 70, y + 12), (255, 255, 255), 14, 0.6)
    canvas.paint(ellipse(-160, 200, 420, 480), ((120, 150, 130), (96, 132, 96)))
    canvas.paint(ellipse(260, 215, 860, 480), ((108, 142, 112), (90, 126, 84)))
    canvas.paint(rounded(0, 292, 640, 480), ((116, 150, 74), (84, 122, 52)))
    canvas.texture(rounded(0, 292, 640, 480), 0.1)
    for _ in range(14):
        x, size = canvas.random.uniform(0, 640), canvas.random.uniform(14, 34)
        if abs(x - 340) > 60:
            canvas.paint(disc(x, 290 - size * 0.4, size), colour_near(canvas, (60, 98, 54), 14), 8, 0.7)
    road = polygon((326, 294), (354, 294), (620, 480), (150, 480))
    canvas.paint(road, ((136, 136, 138), (92, 92, 96)))
    canvas.texture(road, 0.07)
    for near in (0.03, 0.14, 0.34, 0.66):
        y, x = 294 + 186 * near, 340 + 45 * near
        wide, tall = 2 + 9 * near, 6 + 44 * near
        canvas.paint(
            polygon((x - wide / 2, y), (x + wide / 2, y), (x + wide, y + tall), (x - wide, y + tall)), WHITE
        )
    canvas.blur(blur)
    return canvas


def pitch(seed: int, blur: float = 1.5) -> Canvas:
    """Mown grass under a crowded stand."""
    canvas = Canvas(seed=seed)
    canvas.paint(rounded(0, 0, 640, 250), ((64, 70, 88), (90, 92, 104)))
    for row in range(9):
        for x in range(-8, 650, 17):
            y = 40 + row * 21
            shirt = colour_near(canvas, (140, 110, 110), 80)
            canvas.paint(ellipse(x + row % 2 * 8 - 7, y + 4, x + row % 2 * 8 + 7, y + 24), shirt)
            canvas.paint(disc(x + row % 2 * 8, y, 4.5), colour_near(canvas, (190, 146, 118), 30))
    canvas.paint(rounded(0, 226, 640, 262), ((230, 230, 226), (190, 190, 190)))
    canvas.paint(rounded(0, 260, 640, 480), ((86, 150, 66), (58, 116, 44)))
    for step in range(0, 7, 2):
        stripe = polygon(
            (step * 110 - 60, 260), (step * 110 + 40, 260), (step * 150 - 60, 480), (step * 150 - 220, 480)
        )
        canvas.paint(stripe, ((96, 162, 74), (68, 128, 50)))
    canvas.texture(rounded(0, 260, 640, 480), 0.1, 1.0)
    canvas.paint(polygon((0, 352), (640, 330), (640, 336), (0, 360)), (226, 236, 220))
    canvas.blur(blur)
    return canvas


def room(seed: int, wall: Colour = (214, 200, 182), blur: float = 3.0, bare: bool = False) -> Canvas:
    """A wall, and unless `bare` a window and a shelf: what stands behind a board spoils reading it."""
    canvas = Canvas(seed=seed)
    canvas.paint(rounded(*everywhere(canvas)), (wall, dark(wall, 0.82)))
    canvas.texture(rounded(*everywhere(canvas)), 0.012, 3)
    if not bare:
        furnish(canvas)
    canvas.blur(blur)
    return canvas


def furnish(canvas: Canvas) -> None:
    canvas.paint(rounded(40, 40, 190, 230, 4), (244, 242, 236), 3)
    canvas.paint(rounded(50, 50, 180, 220), ((190, 218, 240), (226, 236, 230)))
    canvas.paint(rounded(112, 50, 118, 220), (244, 242, 236))
    canvas.paint(rounded(470, 140, 630, 150), (126, 88, 58), 3)
    left = 478.0
    while left < 610:
        wide, tall = canvas.random.uniform(9, 18), canvas.random.uniform(44, 76)
        canvas.paint(rounded(left, 140 - tall, left + wide, 140), colour_near(canvas, (140, 110, 100), 70), 2)
        left += wide + 1


def bokeh(seed: int, base: Fill = ((52, 60, 74), (30, 32, 40))) -> Canvas:
    """Lights far out of focus, as a fast lens shows an evening street."""
    canvas = Canvas(seed=seed)
    canvas.paint(rounded(*everywhere(canvas)), base)
    for _ in range(34):
        x, y = canvas.random.uniform(0, 640), canvas.random.uniform(0, 420)
        warm = colour_near(canvas, (236, 176, 110), 60)
        canvas.glow(disc(x, y, canvas.random.uniform(9, 32)), warm, 1.6, canvas.random.uniform(0.1, 0.4))
    canvas.blur(3.5)
    return canvas


def table(seed: int, wood: Colour = (150, 106, 70)) -> Canvas:
    """A table top seen from above, with its grain."""
    canvas = Canvas(seed=seed)
    canvas.paint(rounded(*everywhere(canvas)), (wood, dark(wood, 0.8)))
    for _ in range(60):
        y, shift = canvas.random.uniform(0, 480), canvas.random.uniform(-14, 14)
        line = stroke(canvas.random.uniform(0.6, 2), (0, y), (220, y + shift), (430, y), (640, y + shift))
        canvas.glow(line, dark(wood, 0.7), 0.8, 0.5)
    canvas.blur(0.8)
    return canvas


def stage(seed: int, hue: Colour = (120, 60, 150)) -> Canvas:
    """A dark stage with beams of light."""
    canvas = Canvas(seed=seed)
    canvas.paint(rounded(*everywhere(canvas)), (dark(hue, 0.35), dark(hue, 0.7)))
    for number in range(6):
        top, spread = 60 + number * 105, canvas.random.uniform(-120, 120)
        beam = polygon((top - 5, 0), (top + 5, 0), (top + spread + 60, 480), (top + spread - 60, 480))
        canvas.glow(beam, colour_near(canvas, (236, 200, 236), 40), 9, 0.16)
        canvas.glow(disc(top, 6, 9), (255, 250, 240), 5, 0.9)
    canvas.blur(1.2)
    return canvas


def sea(seed: int) -> Canvas:
    """Water under an open sky."""
    canvas = Canvas(seed=seed)
    canvas.paint(rounded(0, 0, 640, 250), SKIES[seed % len(SKIES)])
    canvas.paint(ellipse(-200, 190, 330, 330), ((120, 142, 140), (92, 120, 110)))
    canvas.paint(rounded(0, 240, 640, 480), ((96, 150, 180), (36, 84, 120)))
    for _ in range(150):
        y = 244 + 232 * canvas.random.random() ** 1.5
        x, wide = canvas.random.uniform(0, 640), 6 + (y - 240) * 0.16
        canvas.glow(ellipse(x - wide, y - 1, x + wide, y + 1.6), (214, 234, 242), 0.8, 0.5)
    canvas.blur(1.2)
    return canvas


def board(size: tuple[int, int], lines: Sequence[tuple[str, float]], ground: Colour, ink: Colour) -> Canvas:
    """A flat board with lines of text; each line comes with its part of the height, the rest is spacing.

    The rim keeps close to the ground's colour: Tesseract takes text inside a dark frame for a picture. It
    also looks at each colour channel alone, so ink and ground must differ in red, in green and in blue.
    """
    canvas = Canvas(*size)
    wide, tall = size
    canvas.paint(rounded(*everywhere(canvas)), dark(ground, 0.86))
    canvas.paint(rounded(5, 5, wide - 5, tall - 5, 5), ground)
    gap = (tall - 10) * (1 - sum(part for _, part in lines)) / (len(lines) + 1)
    top = 5 + gap
    for text, part in lines:
        canvas.write(text, (wide * 0.07, top, wide * 0.93, top + part * (tall - 10)), ink, 0.015)
        top += part * (tall - 10) + gap
    return canvas


def hang(canvas: Canvas, panel: Canvas, x: float, y: float, turn: float = 0.0, shadow: float = 5) -> None:
    """Put a board on the canvas, its middle at `x`, `y`; `turn` (-1..1) turns it away to one side."""
    half_wide, half_tall = panel.width / 2 * (1 - abs(turn) * 0.25), panel.height / 2
    left, right = half_tall * (1 + turn * 0.22), half_tall * (1 - turn * 0.22)
    corners = [
        (x - half_wide, y - left),
        (x + half_wide, y - right),
        (x + half_wide, y + right),
        (x - half_wide, y + left),
    ]
    canvas.project(panel, corners, shadow)

"""Pictures that say: the name is a person's."""

from __future__ import annotations

import math

from backdrops import board, bokeh, hang, pitch, room, stage, street
from drawing import WHITE, Canvas, Colour, disc, ellipse, polygon, rounded, stroke
from people import bust, dark, figure, looks
from things import ball

TOPS: tuple[Colour, ...] = (
    (70, 100, 160),
    (176, 60, 64),
    (60, 124, 84),
    (212, 164, 60),
    (108, 76, 140),
    (60, 130, 140),
    (90, 92, 100),
)


def top(seed: int) -> Colour:
    return TOPS[seed % len(TOPS)]


def badge(name: str, wide: int = 280, colour: Colour = (200, 44, 50)) -> Canvas:
    tall = round(wide * 0.68)
    canvas = Canvas(wide, tall)
    canvas.paint(rounded(0, 0, wide, tall), WHITE)
    canvas.paint(rounded(0, 0, wide, tall * 0.07), colour)
    canvas.paint(rounded(0, tall * 0.93, wide, tall), colour)
    canvas.write("HELLO", (wide * 0.25, tall * 0.15, wide * 0.75, tall * 0.31), dark(colour, 0.5), 0.02)
    canvas.write("my name is", (wide * 0.22, tall * 0.37, wide * 0.78, tall * 0.51), dark(colour, 0.5), 0.01)
    canvas.write(name, (wide * 0.1, tall * 0.59, wide * 0.9, tall * 0.86), (28, 34, 70), 0.015)
    return canvas


def name_tag(name: str, seed: int) -> Canvas:
    """Someone beside a large name tag."""
    canvas = room(seed, wall=((204, 214, 220), (222, 208, 186), (196, 210, 190))[seed % 3], bare=True)
    bust(canvas, 180, 190, 72, looks(seed, top(seed)))
    hang(canvas, badge(name, 290, ((200, 44, 50), (36, 92, 170), (30, 104, 72))[seed % 3]), 470, 250, shadow=7)
    return canvas


def tag_close(name: str, seed: int) -> Canvas:
    """A name tag on a shirt, from close by: cloth, slanted light, a shallow depth of field."""
    canvas = Canvas(seed=seed)
    cloth = top(seed)
    canvas.paint(rounded(0, 0, 640, 480), (cloth, dark(cloth, 0.6)))
    canvas.texture(rounded(0, 0, 640, 480), 0.05, 0.8)
    for x in (60, 330, 560):
        canvas.glow(stroke(30, (x, 0), (x + 40, 240), (x - 10, 480)), dark(cloth, 0.5), 22, 0.7)
    canvas.paint(stroke(26, (600, 0), (610, 480)), dark(cloth, 0.8), 8, 0.8)
    for y in (90, 300):
        canvas.paint(disc(606, y, 11), WHITE, 4, 0.9, shadow=4)
    canvas.blur(1.8)
    canvas.project(badge(name, 440), [(96, 120), (508, 84), (530, 352), (112, 404)], shadow=12)
    canvas.light((250, 180), 420, 0.45)
    return canvas


def birthday(name: str, seed: int) -> Canvas:
    """People under a banner, with balloons."""
    canvas = room(seed, wall=(230, 206, 190), bare=True)
    for x, y in ((40, 130), (96, 90), (560, 100), (606, 150)):
        colour = TOPS[(seed + x) % len(TOPS)]
        canvas.paint(stroke(1, (x, y), (x + 6, y + 160)), (120, 110, 104))
        canvas.paint(ellipse(x - 30, y - 38, x + 30, y + 36), colour, 12, 0.9)
    banner = board((430, 110), [("HAPPY BIRTHDAY", 0.3), (name, 0.36)], (250, 244, 226), (70, 26, 50))
    hang(canvas, banner, 320, 82, shadow=0)
    for number, x in enumerate((220, 430)):
        bust(canvas, x, 268 - number * 8, 58, looks(seed + number, top(seed + number)))
    return canvas


def speaker(name: str, seed: int) -> Canvas:
    """Someone beside the screen of a talk."""
    canvas = stage(seed, hue=((90, 96, 130), (110, 80, 110))[seed % 2])
    screen = board(
        (370, 230), [("SPEAKER", 0.15), (name, 0.24), ("talk 10:30", 0.13)], (238, 242, 246), (26, 40, 74)
    )
    hang(canvas, screen, 222, 170)
    canvas.paint(rounded(0, 440, 640, 480), ((70, 60, 66), (40, 34, 40)))
    figure(canvas, 520, 462, 350, looks(seed, top(seed)), "wave")
    return canvas


def friends(name: str, seed: int) -> Canvas:
    """Two or three people close to the camera, without a word."""
    del name
    canvas = street(seed, blur=5)
    places = ((190, 200, 64), (430, 190, 66)) if seed % 2 else ((120, 210, 54), (520, 205, 55), (320, 190, 62))
    for number, (x, y, size) in enumerate(places):
        bust(canvas, x, y, size, looks(seed + number * 2, top(seed + number)))
    return canvas


def portrait(name: str, seed: int) -> Canvas:
    """One face before evening lights far out of focus."""
    del name
    canvas = bokeh(seed, ((74, 66, 84), (40, 36, 48)))
    bust(canvas, 330, 190, 82, looks(seed, top(seed)))
    canvas.light((270, 150), 430, 0.4)
    return canvas


def graduate(name: str, seed: int) -> Canvas:
    """A graduate in cap and gown beside a poster."""
    canvas = street(seed, blur=5)
    poster = board(
        (270, 210), [("CONGRATS", 0.18), (name, 0.24), ("class of 2024", 0.13)], (250, 248, 238), (30, 38, 70)
    )
    hang(canvas, poster, 165, 190, shadow=8)
    bust(canvas, 470, 210, 66, looks(seed, (40, 42, 56)))
    cap = polygon((470, 112), (580, 142), (470, 172), (360, 142))
    canvas.paint(rounded(420, 140, 520, 172, 8), (24, 24, 32), 6)
    canvas.paint(cap, ((52, 52, 64), (30, 30, 40)), 3, 0.7)
    canvas.paint(stroke(4, (470, 142), (566, 146), (568, 196)), (226, 180, 60))
    return canvas


def umbrella_walk(name: str, seed: int) -> Canvas:
    """Someone with an umbrella in the rain."""
    del name
    canvas = street(seed * 4 + 2, blur=4)
    figure(canvas, 330, 468, 330, looks(seed, top(seed)), "wave")
    canvas.paint(stroke(5, (389, 150), (389, 60)), (60, 60, 64))
    umbrella(canvas, 372, 150, 165, TOPS[(seed + 3) % len(TOPS)])
    for _ in range(130):
        x, y = canvas.random.uniform(0, 640), canvas.random.uniform(0, 460)
        canvas.glow(stroke(0.8, (x, y), (x - 4, y + 18)), (220, 226, 232), 0.6, 0.7)
    return canvas


def umbrella(canvas: Canvas, x: float, y: float, radius: float, colour: Colour) -> None:
    """A dome of eight panels with a scalloped edge."""
    points = [
        (x + math.cos(a) * radius, y - math.sin(a) * radius * 0.72)
        for a in (math.pi * step / 24 for step in range(25))
    ]
    scallops = [(x - radius + radius * (step + 0.5) / 2, y - 15) for step in range(4)]
    edge = [
        point for step, low in enumerate(scallops) for point in (low, (x - radius + radius * (step + 1) / 2, y))
    ]
    canvas.paint(polygon(*points, *edge), (colour, dark(colour, 0.7)), 14, 0.8)
    for step in range(1, 4):
        rib = (x - radius + radius * step / 2, y - 1)
        canvas.paint(stroke(2, (x, y - radius * 0.72), rib), dark(colour, 0.55))
    canvas.paint(stroke(4, (x, y - radius * 0.72), (x, y - radius * 0.8)), (60, 60, 64))


def player(name: str, seed: int) -> Canvas:
    """Someone with a ball and a banner that cheers for one person."""
    canvas = pitch(seed, blur=7)
    banner = board((280, 130), [("GO", 0.2), (name, 0.3), ("you did it!", 0.17)], (206, 198, 176), (60, 24, 30))
    hang(canvas, banner, 170, 120, shadow=0)
    figure(canvas, 460, 462, 390, looks(seed, top(seed)), "up")
    ball(canvas, 330, 430, 30)
    return canvas

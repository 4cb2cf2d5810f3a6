"""Pictures that say: the name is a person's."""

from __future__ import annotations

import math

from backdrops import board, bokeh, country, hang, pitch, room, sea, stage, street, table
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
WALLS: tuple[Colour, ...] = ((204, 214, 220), (222, 208, 186), (196, 210, 190), (226, 204, 200))
TAGS: tuple[Colour, ...] = ((200, 44, 50), (36, 92, 170), (30, 104, 72))


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
    canvas = room(seed, wall=WALLS[seed % 4], bare=True)
    canvas.show_person(*bust(canvas, canvas.near(180, 20), canvas.near(190, 20), 70, looks(seed, top(seed))))
    tag = badge(name, round(canvas.near(280, 20)), TAGS[seed % 3])
    hang(canvas, tag, 470, canvas.near(230, 60), shadow=7)
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
    slant = canvas.near(0, 22)
    edges = [(96, 110 + slant), (508, 94 - slant), (530, 352 - slant), (112, 384 + slant)]
    canvas.project(badge(name, 440, TAGS[seed // 2 % 3]), edges, shadow=12)
    canvas.light((250, 180), 420, 0.45)
    return canvas


def birthday(name: str, seed: int) -> Canvas:
    """Someone under a banner, with balloons."""
    canvas = room(seed, wall=WALLS[seed // 2 % 4], bare=True)
    for x, y in ((46, 190), (96, 250), (560, 230), (600, 170)):
        colour = TOPS[(seed + x) % len(TOPS)]
        canvas.paint(stroke(1, (x, y), (x + 6, y + 160)), (120, 110, 104))
        canvas.paint(ellipse(x - 30, y - 38, x + 30, y + 36), colour, 12, 0.9)
    wish = canvas.pick("HAPPY BIRTHDAY", "HAPPY 30th", "BEST WISHES")
    banner = board((430, 116), [(wish, 0.26), (name, 0.38)], (250, 244, 226), (70, 26, 50))
    hang(canvas, banner, 320, 78, shadow=0)
    canvas.show_person(*bust(canvas, canvas.near(320, 90), 262, 62, looks(seed, top(seed))))
    return canvas


def speaker(name: str, seed: int) -> Canvas:
    """Someone beside the screen of a talk."""
    canvas = stage(seed, hue=canvas_hue(seed))
    canvas.paint(rounded(0, 440, 640, 480), ((70, 60, 66), (40, 34, 40)))
    lines = [
        (canvas.pick("SPEAKER", "KEYNOTE", "TALK"), 0.15),
        (name, 0.24),
        (canvas.pick("10:30", "room 2"), 0.13),
    ]
    screen = board((370, 230), lines, (238, 242, 246), (26, 40, 74))
    hang(canvas, screen, 222, canvas.near(170, 20))
    pose = canvas.pick("wave", "down", "up")
    who = looks(seed, top(seed))
    canvas.show_person(*figure(canvas, canvas.near(520, 15), 462, canvas.near(350, 20), who, pose))
    return canvas


def canvas_hue(seed: int) -> Colour:
    return ((90, 96, 130), (110, 80, 110), (80, 110, 110))[seed % 3]


def outdoors(seed: int) -> Canvas:
    """A street, the country, a pitch or the sea, far out of focus."""
    canvas = (street, country, pitch, sea)[seed // 2 % 4](seed)
    canvas.blur(4)
    return canvas


def friends(name: str, seed: int) -> Canvas:
    """Someone close to the camera, friends farther behind, and not a word."""
    del name
    canvas = outdoors(seed)
    middle = canvas.near(300, 40)
    for number in range(canvas.pick(1, 2)):
        x = middle + (-1, 1)[number] * canvas.near(215, 20)
        bust(canvas, x, canvas.near(262, 15), 38, looks(seed + number * 2 + 1, top(seed + number + 2)))
    canvas.blur(1.6)
    canvas.show_person(*bust(canvas, middle, canvas.near(190, 15), 72, looks(seed, top(seed))))
    return canvas


def portrait(name: str, seed: int) -> Canvas:
    """One face before evening lights far out of focus."""
    del name
    tone = top(seed * 3 + 1)
    canvas = bokeh(seed, (dark(tone, 0.75), dark(tone, 0.4)))
    canvas.show_person(*bust(canvas, canvas.near(320, 50), canvas.near(190, 15), 80, looks(seed, top(seed))))
    canvas.light((270, 150), 430, 0.4)
    return canvas


def graduate(name: str, seed: int) -> Canvas:
    """A graduate in cap and gown beside a poster."""
    canvas = outdoors(seed)
    wish = canvas.pick("CONGRATS", "WELL DONE", "GRADUATION")
    lines = [(wish, 0.18), (name, 0.24), (f"class of {2015 + seed % 10}", 0.13)]
    hang(canvas, board((270, 210), lines, (250, 248, 238), (30, 38, 70)), 165, canvas.near(200, 30), shadow=8)
    x0, _, x1, y1 = bust(canvas, 470, 210, 66, looks(seed, (40, 42, 56)))
    cap = polygon((470, 112), (580, 142), (470, 172), (360, 142))
    canvas.paint(rounded(420, 140, 520, 172, 8), (24, 24, 32), 6)
    canvas.paint(cap, ((52, 52, 64), (30, 30, 40)), 3, 0.7)
    canvas.paint(stroke(4, (470, 142), (566, 146), (568, 196)), (226, 180, 60))
    canvas.show_person(x0, 112, x1, y1)
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
    lines = [(canvas.pick("GO", "BRAVO"), 0.2), (name, 0.3), (canvas.pick("you did it!", "our hero"), 0.17)]
    hang(canvas, board((280, 130), lines, (206, 198, 176), (60, 24, 30)), 170, canvas.near(130, 25), shadow=0)
    who = looks(seed, top(seed))
    canvas.show_person(*figure(canvas, canvas.near(460, 20), 462, 380, who, canvas.pick("up", "wave")))
    ball(canvas, 320, 430, 30)
    return canvas


def panel_talk(name: str, seed: int) -> Canvas:
    """One or two people, each behind a plate with their name."""
    canvas = room(seed, wall=WALLS[seed % 4], bare=seed % 2 == 1)
    names = name.split(" & ")
    for number in range(len(names)):
        x = 320 if len(names) == 1 else 165 + number * 310
        person = bust(
            canvas, canvas.near(x, 12), canvas.near(170, 15), 60, looks(seed + number, top(seed + number))
        )
        canvas.show_person(*person)
    canvas.paint(rounded(-20, 400, 660, 500), ((140, 100, 66), (100, 70, 46)), 5, 0.7)
    for number, each in enumerate(names):
        x = 320 if len(names) == 1 else 165 + number * 310
        hang(canvas, board((230, 62), [(each, 0.6)], (238, 236, 226), (40, 34, 60)), x, 392, shadow=4)
    return canvas


def phone_call(name: str, seed: int) -> Canvas:
    """A call on a telephone on a table."""
    canvas = table(seed, (TOPS[seed % 7], (150, 106, 70), (96, 84, 80))[seed % 3])
    screen = Canvas(250, 430)
    screen.paint(rounded(0, 0, 250, 430), ((226, 232, 240), (196, 206, 222)))
    screen.write(canvas.pick("incoming call", "missed call", "calling"), (40, 40, 210, 62), (40, 46, 60), 0.005)
    screen.write(name, (26, 84, 224, 128), (20, 26, 44), 0.015)
    screen.paint(disc(125, 210, 54), dark(top(seed + 1), 0.9), 8, 0.6)
    screen.paint(disc(125, 196, 20), (244, 232, 220))
    screen.paint(ellipse(89, 220, 161, 280), (244, 232, 220))
    screen.paint(disc(66, 360, 30), (206, 50, 50), 5, 0.7)
    screen.paint(disc(184, 360, 30), (56, 160, 80), 5, 0.7)
    x, y = canvas.near(300, 80), 240
    canvas.paint(rounded(x - 142, y - 226, x + 142, y + 226, 34), (30, 32, 38), 6, 0.8, shadow=14)
    hang(canvas, screen, x, y, shadow=0)
    return canvas

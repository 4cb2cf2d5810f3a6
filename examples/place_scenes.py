"""Pictures that say: the name is a place's."""

from __future__ import annotations

from backdrops import board, country, hang, sea, street
from drawing import WHITE, Canvas, Colour, disc, ellipse, polygon, rounded, stroke
from people import dark
from things import clock, stop_sign, traffic_light
from vehicles import bus, bus_front, car, train_front

GREEN: Colour = (18, 76, 56)
BLUE: Colour = (24, 50, 96)
INK: Colour = (28, 32, 44)
PAINTS: tuple[Colour, ...] = ((186, 38, 42), (36, 98, 170), (190, 120, 30), (44, 108, 78), (90, 60, 120))


def paint_of(seed: int) -> Colour:
    return PAINTS[seed % len(PAINTS)]


def posts(canvas: Canvas, left: float, right: float, top: float, foot: float) -> None:
    for x in (left, right):
        canvas.paint(rounded(x - 5, top, x + 5, foot), (140, 144, 148), 3, 0.8)


def welcome_sign(name: str, seed: int) -> Canvas:
    """The sign where a town begins."""
    canvas = country(seed + 1)
    x, y = canvas.near(215, 25), canvas.near(165, 25)
    posts(canvas, x - 110, x + 110, y - 20, 420)
    ground, ink = ((WHITE, INK), (GREEN, WHITE), (BLUE, WHITE))[seed % 3]
    count = 2000 + seed * 367 % 7000
    below = canvas.pick(f"pop. {count // 1000},{count % 1000:03d}", "twin town", "a market town")
    lines = [(canvas.pick("WELCOME TO", "YOU ARE IN"), 0.17), (name, 0.27), (below, 0.13)]
    hang(canvas, board((320, 200), lines, ground, ink), x, y, shadow=6)
    if seed % 4:
        car(canvas, canvas.near(390, 30), 430, 210, paint_of(seed))
    return canvas


def distance_sign(name: str, seed: int) -> Canvas:
    """A motorway sign with one or two towns above the traffic."""
    canvas = country(seed, blur=2.2)
    posts(canvas, 140, 500, 40, 400)
    names = name.split(" & ")
    last = f"EXIT {4 + seed % 30}"
    lines = [*((each, 0.3) for each in names), *([(last, 0.25)] if len(names) == 1 else [])]
    hang(canvas, board((400, 176), lines, (GREEN, BLUE)[seed % 2], WHITE), canvas.near(320, 30), 120, shadow=6)
    car(canvas, canvas.near(70, 30), 420, 230, paint_of(seed))
    if seed % 3:
        car(canvas, canvas.near(350, 25), 450, 260, paint_of(seed + 1))
    return canvas


def road_sign_near(name: str, seed: int) -> Canvas:
    """A sign at the roadside seen at an angle in low sun."""
    canvas = country(seed * 4 + 1, blur=5)
    canvas.paint(rounded(286, 250, 304, 480), (120, 124, 128), 5, 0.9)
    below = canvas.pick("please drive carefully", "town of gardens", "historic town")
    lines = [("WELCOME TO", 0.17), (name, 0.3), (below, 0.13)]
    panel = board((480, 260), lines, (WHITE, (250, 240, 200))[seed // 2 % 2], (26, 36, 62))
    slant = canvas.near(0, 20)
    canvas.project(panel, [(80, 84 - slant), (556, 104 + slant), (548, 352), (88, 346)], shadow=9)
    canvas.glow(disc(560, 60, 40), (255, 236, 190), 60, 0.9)
    canvas.light((470, 150), 480, 0.5)
    return canvas


def station(name: str, seed: int) -> Canvas:
    """A platform with a train coming in."""
    canvas = Canvas(seed=seed)
    canvas.paint(rounded(0, 0, 640, 480), ((196, 206, 214), (150, 156, 160)))
    canvas.paint(polygon((0, 300), (640, 268), (640, 480), (0, 480)), ((108, 100, 94), (80, 74, 70)))
    canvas.texture(rounded(0, 270, 640, 480), 0.12)
    canvas.paint(polygon((0, 0), (640, 0), (640, 60), (0, 14)), ((90, 96, 104), (116, 122, 130)))
    canvas.blur(2)
    train_front(canvas, 420, 420, 190, paint_of(seed), name)
    canvas.paint(polygon((0, 350), (250, 330), (330, 480), (0, 480)), ((176, 170, 160), (136, 130, 122)))
    canvas.texture(polygon((0, 350), (250, 330), (330, 480), (0, 480)), 0.06)
    canvas.paint(polygon((230, 331), (246, 330), (326, 480), (296, 480)), (236, 200, 60))
    posts(canvas, 60, 250, 190, 400)
    kind = canvas.pick("STATION", "CENTRAL", "platform 2")
    hang(
        canvas, board((270, 104), [(name, 0.42), (kind, 0.24)], *canvas.pick((BLUE, WHITE), (WHITE, INK))), 165, 190
    )
    clock(canvas, 150, 84, 44, 7.4 + seed)
    return canvas


def bus_street(name: str, seed: int) -> Canvas:
    """A town bus in its street."""
    canvas = street(seed)
    traffic_light(canvas, 586, 150, 150, 360, seed % 3)
    below = canvas.pick("TOWN CENTRE", "OLD TOWN", "CITY CENTRE")
    hang(canvas, board((330, 104), [(name, 0.42), (below, 0.24)], WHITE, INK), canvas.near(210, 20), 100)
    bus(canvas, canvas.near(45, 20), canvas.near(440, 8), 460, paint_of(seed), name, "city bus")
    return canvas


def bus_stop(name: str, seed: int) -> Canvas:
    """A bus coming towards the stop."""
    canvas = street(seed, blur=4)
    if seed % 2:
        car(canvas, 20, 385, 170, paint_of(seed + 2))
    bus_front(canvas, canvas.near(250, 25), 450, canvas.near(255, 15), paint_of(seed), name)
    canvas.paint(rounded(530, 120, 542, 470), (70, 74, 80), 3, 0.8)
    lines = [("BUS STOP", 0.18), (name, 0.24), (f"zone {1 + seed % 5}", 0.16)]
    hang(canvas, board((190, 160), lines, WHITE, INK), 512, canvas.near(140, 12))
    return canvas


def stop_street(name: str, seed: int) -> Canvas:
    """A crossing with a stop sign and a street sign."""
    canvas = street(seed)
    car(canvas, canvas.near(50, 25), canvas.near(428, 10), 300, paint_of(seed))
    stop_sign(canvas, 500, canvas.near(256, 12), 70, 480)
    canvas.paint(rounded(495, 80, 505, 186), (150, 154, 160), 3, 0.8)
    kind = canvas.pick("ROAD", "STREET", "LANE", "SQUARE")
    hang(canvas, board((290, 120), [(name, 0.42), (kind, 0.24)], WHITE, INK), 440, 100, shadow=0)
    return canvas


def harbour(name: str, seed: int) -> Canvas:
    """A picture postcard with boats."""
    canvas = sea(seed)
    for x, y, size in ((150, 300, 0.8), (430, 350, 1.3))[seed % 3 // 2 :]:
        x = canvas.near(x, 40)
        sailboat(canvas, x, y, size, paint_of(seed + int(x)))
    lines = [(canvas.pick("GREETINGS FROM", "WISH YOU WERE IN", "HARBOUR OF"), 0.22), (name, 0.38)]
    hang(canvas, board((350, 130), lines, WHITE, (60, 28, 40)), canvas.near(212, 12), 100)
    return canvas


def sailboat(canvas: Canvas, x: float, y: float, size: float, colour: Colour) -> None:
    canvas.glow(ellipse(x - 80 * size, y + 20 * size, x + 80 * size, y + 36 * size), (24, 56, 80), 8, 0.6)
    hull = polygon(
        (x - 70 * size, y),
        (x + 74 * size, y - 4 * size),
        (x + 54 * size, y + 26 * size),
        (x - 54 * size, y + 26 * size),
    )
    canvas.paint(hull, (colour, dark(colour, 0.6)), 7 * size, 0.8)
    canvas.paint(rounded(x - 30 * size, y - 14 * size, x + 20 * size, y + 1, 4), WHITE, 4, 0.7)
    canvas.paint(stroke(3.4 * size, (x, y), (x, y - 170 * size)), (96, 74, 56))
    main = polygon((x + 5 * size, y - 164 * size), (x + 70 * size, y - 24 * size), (x + 5 * size, y - 22 * size))
    jib = polygon((x - 5 * size, y - 150 * size), (x - 5 * size, y - 20 * size), (x - 62 * size, y - 16 * size))
    canvas.paint(main, (WHITE, (214, 214, 208)), 12 * size, 0.5)
    canvas.paint(jib, ((240, 232, 220), (206, 200, 190)), 12 * size, 0.5)


def map_pin(name: str, seed: int) -> Canvas:
    """A map with a pin."""
    canvas = Canvas(seed=seed)
    canvas.paint(rounded(0, 0, 640, 480), (236, 234, 222))
    for _ in range(7):
        x, y = canvas.random.uniform(0, 640), canvas.random.uniform(0, 480)
        wide, tall = canvas.random.uniform(50, 130), canvas.random.uniform(40, 90)
        canvas.paint(ellipse(x - wide, y - tall, x + wide, y + tall), (208, 228, 192))
    canvas.paint(stroke(40, (-20, 400), (180, 340), (330, 420), (660, 330)), (190, 216, 234))
    for number in range(7):
        a, b = number * 105 + canvas.random.uniform(-40, 40, 2)
        c, d = number * 90 - 40 + canvas.random.uniform(-30, 30, 2)
        for wide, colour in ((9, (206, 202, 194)), (6, WHITE)):
            canvas.paint(stroke(wide, (a, -10), (b, 490)), colour)
            canvas.paint(stroke(wide, (-10, c), (650, d)), colour)
    canvas.paint(stroke(14, (-10, 120), (260, 210), (650, 180)), (226, 170, 90))
    canvas.paint(stroke(10, (-10, 120), (260, 210), (650, 180)), (250, 214, 130))
    pin = ((200, 40, 44), (36, 92, 190))[seed % 2]
    canvas.paint(polygon((320, 290), (262, 186), (378, 186)), pin, 6, 0.7, shadow=8)
    canvas.paint(disc(320, 166, 62), pin, 12, 0.8)
    canvas.paint(disc(320, 166, 24), WHITE, 3)
    hang(
        canvas,
        board((350, 116), [(name, 0.42), (f"{5 + seed % 60} km away", 0.24)], WHITE, INK),
        320,
        385,
        shadow=0,
    )
    return canvas


def skyline(name: str, seed: int) -> Canvas:
    """Towers in the evening behind a road, without a word."""
    del name
    canvas = street(seed * 4 + 1, blur=3)
    car(canvas, canvas.near(45, 20), 420, 230, paint_of(seed))
    car(canvas, canvas.near(350, 25), 440, 250, paint_of(seed + 3))
    traffic_light(canvas, canvas.near(310, 30), 190, 170, 380, seed % 3)
    canvas.light((480, 160), 560, 0.55)
    return canvas

"""Pictures that say: the name is a company's or a team's."""

from __future__ import annotations

from backdrops import board, colour_near, hang, pitch, room, street, table
from drawing import BLACK, WHITE, Canvas, Colour, disc, ellipse, polygon, rounded, stroke
from people import dark
from things import GLASS, ball, ground_shadow
from vehicles import wheel

BRANDS: tuple[Colour, ...] = ((140, 28, 40), (26, 58, 110), (24, 84, 66), (84, 44, 104), (122, 60, 24))
JERSEYS: tuple[Colour, ...] = ((236, 204, 90), (150, 196, 226), (236, 150, 130), (170, 206, 150))
INK: Colour = (30, 30, 42)
TRADES = ("& Co. bakers", "& Co. books", "Ltd. coffee", "& Sons flowers")
RIVALS = ("ROVERS", "UNITED", "CITY", "ATHLETIC")


def brand(seed: int) -> Colour:
    return BRANDS[seed * 7 // 3 % len(BRANDS)]


def scoreboard(name: str, seed: int) -> Canvas:
    """A football ground with the score of one or two teams that the post names."""
    canvas = pitch(seed, blur=3.5)
    home, _, guest = name.partition(" & ")
    head = canvas.pick("FC LEAGUE", "FC CUP", "FC FINAL")
    score = f"{canvas.random.integers(5)} : {canvas.random.integers(4)}"
    lines = [(head, 0.12), (home, 0.2), (score, 0.16), (guest or canvas.pick(*RIVALS), 0.2)]
    ground = canvas.pick((26, 30, 38), (20, 44, 34), (40, 26, 50))
    hang(canvas, board((330, 240), lines, ground, (255, 226, 130)), canvas.near(320, 90), 150, shadow=0)
    ball(canvas, canvas.near(320, 200), canvas.near(400, 20), canvas.near(42, 8))
    return canvas


def ball_close(name: str, seed: int) -> Canvas:
    """A ball on the grass in low light, far too near for the stand to be sharp."""
    canvas = pitch(seed, blur=7)
    below = canvas.pick("FC season tickets", "football club", "FC match day")
    hang(
        canvas,
        board((430, 140), [(name, 0.4), (below, 0.24)], brand(seed), WHITE),
        canvas.near(310, 30),
        canvas.near(175, 15),
        shadow=3,
    )
    ball(canvas, canvas.near(420, 70), 400, canvas.near(48, 8))
    for _ in range(420):
        x, y = canvas.random.uniform(0, 640), canvas.random.uniform(425, 500)
        blade = stroke(1.4, (x, y), (x + canvas.random.uniform(-6, 6), y - canvas.random.uniform(10, 24)))
        canvas.paint(blade, colour_near(canvas, (84, 140, 58), 26))
    canvas.light((260, 210), 460, 0.5)
    return canvas


def shirt(name: str, seed: int) -> Canvas:
    """A team's jersey on a wall."""
    canvas = room(seed, wall=(206, 206, 208), bare=True)
    colour = JERSEYS[seed % len(JERSEYS)]
    body = polygon(
        (220, 120),
        (270, 92),
        (370, 92),
        (420, 120),
        (500, 210),
        (440, 258),
        (412, 220),
        (412, 430),
        (228, 430),
        (228, 220),
        (200, 258),
        (140, 210),
    )
    canvas.paint(body, (colour, dark(colour, 0.8)), 8, 0.5, shadow=10)
    canvas.paint(ellipse(276, 78, 364, 122), dark(colour, 0.6), 4)
    canvas.paint(ellipse(286, 80, 354, 112), dark(colour, 0.3))
    canvas.write(name, (236, 142, 404, 186), INK, 0.02)
    canvas.write(canvas.pick("FC", "football club"), (260, 200, 380, 224), INK, 0.02)
    canvas.write(str(7 + seed % 15), (280, 256, 360, 340), INK, 0.02)
    ball(canvas, canvas.pick(80, 560), 420, canvas.near(36, 6))
    return canvas


def shop(name: str, seed: int) -> Canvas:
    """A shop front."""
    canvas = street(seed)
    colour = brand(seed)
    canvas.paint(rounded(60, 70, 580, 430), ((196, 172, 150), (164, 140, 120)), 3)
    canvas.texture(rounded(60, 70, 580, 430), 0.015)
    canvas.paint(rounded(90, 230, 340, 410, 3), dark(colour, 0.5))
    canvas.paint(rounded(98, 238, 332, 402), GLASS)
    canvas.paint(polygon((110, 402), (180, 238), (230, 238), (160, 402)), (140, 168, 188))
    canvas.paint(rounded(400, 220, 500, 430, 3), dark(colour, 0.7), 3)
    canvas.paint(rounded(412, 234, 488, 360), GLASS)
    canvas.paint(disc(486, 340 + 40, 5), (230, 200, 120), 2)
    for step in range(10):
        awning = polygon(
            (70 + step * 50, 170), (120 + step * 50, 170), (122 + step * 50, 214), (68 + step * 50, 214)
        )
        canvas.paint(awning, WHITE if step % 2 else colour, 4, 0.5)
    hang(
        canvas,
        board((480, 104), [(name, 0.44), (canvas.pick(*TRADES), 0.22)], (238, 230, 214), dark(colour, 0.4)),
        320,
        116,
        shadow=0,
    )
    hang(
        canvas,
        board((130, 92), [("NOW", 0.22), (canvas.pick("HIRING", "OPEN"), 0.28)], (206, 206, 200), (60, 24, 28)),
        262,
        330,
        shadow=0,
    )
    return canvas


def office(name: str, seed: int) -> Canvas:
    """A glass front with a company's sign before it."""
    canvas = street(seed, blur=4)
    canvas.paint(rounded(230, 10, 610, 400), ((96, 130, 156), (66, 92, 116)), 4)
    for row in range(8):
        for column in range(7):
            x, y = 240 + column * 53, 20 + row * 47
            canvas.paint(rounded(x, y, x + 47, y + 41), (colour_near(canvas, (158, 190, 212), 14), (92, 122, 146)))
    canvas.blur(1)
    canvas.paint(rounded(60, 402, 420, 440, 3), ((150, 150, 150), (120, 120, 120)), 4)
    lines = [(name, 0.34), (canvas.pick("Inc. head office", "we are hiring", "Ltd. visitors"), 0.2)]
    sign = board((350, 150), lines, (222, 224, 226), dark(brand(seed), 0.4))
    hang(canvas, sign, canvas.near(240, 15), canvas.near(328, 8), shadow=0)
    return canvas


def ticket(name: str, seed: int) -> Canvas:
    """A season ticket on a table."""
    canvas = table(seed)
    panel = Canvas(460, 230)
    panel.paint(rounded(0, 0, 460, 230), (250, 246, 234))
    panel.paint(rounded(0, 0, 460, 58), brand(seed))
    panel.write(canvas.pick("SEASON TICKET", "HOME MATCH"), (30, 16, 430, 42), WHITE, 0.02)
    panel.write(name, (30, 78, 300, 126), (40, 40, 50), 0.02)
    panel.write(f"FC  ROW {3 + seed % 9}  SEAT {11 + seed}", (30, 160, 300, 186), (40, 40, 50), 0.005)
    for step, wide in enumerate((3, 6, 2, 5, 3, 2, 7, 3, 2, 5)):
        panel.paint(rounded(350 + step * 9, 80, 350 + step * 9 + wide, 200), BLACK)
    slant = canvas.near(0, 24)
    canvas.project(panel, [(92, 108 + slant), (540, 104 - slant), (572, 342 - slant), (76, 352 + slant)], shadow=9)
    canvas.light((230, 160), 470, 0.5)
    return canvas


def van(name: str, seed: int) -> Canvas:
    """A delivery van with a company's name."""
    canvas = street(seed)
    colour = ((240, 240, 236), brand(seed))[seed % 2]
    ink = (dark(brand(seed), 0.5), WHITE)[seed % 2]
    ground_shadow(canvas, 40, 600, 446, 14)
    canvas.paint(rounded(50, 160, 430, 425, 10), (colour, dark(colour, 0.8)), 10, 0.7)
    cab = polygon((424, 218), (510, 218), (566, 316), (596, 330), (600, 424), (424, 424))
    canvas.paint(cab, (dark(colour, 0.96), dark(colour, 0.7)), 10, 0.8)
    canvas.paint(polygon((446, 236), (502, 236), (546, 318), (446, 318)), GLASS)
    canvas.paint(rounded(50, 402, 602, 428, 6), (50, 52, 56))
    canvas.paint(ellipse(576, 344, 600, 376), (252, 246, 220), 4)
    for x in (140, 508):
        canvas.paint(disc(x, 418, 48), (20, 20, 22))
        wheel(canvas, x, 418, 41)
    canvas.write(name, (84, 210, 400, 268), ink, 0.02)
    canvas.write(canvas.pick("Ltd. deliveries", "Inc. services", "logistics"), (130, 312, 350, 346), ink, 0.01)
    return canvas


def laptop(name: str, seed: int) -> Canvas:
    """A laptop with a company's page, and a cup."""
    canvas = room(seed, wall=(186, 196, 200), blur=5, bare=True)
    canvas.paint(rounded(0, 370, 640, 480), ((172, 126, 86), (126, 88, 58)))
    canvas.glow(ellipse(110, 400, 530, 460), (40, 26, 16), 14, 0.7)
    canvas.paint(rounded(140, 90, 500, 350, 10), (168, 170, 176), 4, 0.7)
    lines = [(name, 0.22), (canvas.pick("Inc. careers", "Ltd. about us"), 0.14), ("we are hiring", 0.14)]
    page = board((332, 226), lines, (248, 250, 252), dark(brand(seed), 0.7))
    page.paint(rounded(0, 0, 332, 14), (206, 212, 220))
    hang(canvas, page, 320, 220, shadow=0)
    canvas.paint(polygon((140, 350), (500, 350), (560, 430), (80, 430)), ((196, 198, 204), (160, 162, 168)), 3)
    for row in range(4):
        inset, y = row * 11, 358 + row * 13
        for key in range(13):
            wide = (322 + inset * 2) / 13
            x = 160 - inset + key * wide
            canvas.paint(rounded(x, y, x + wide - 4, y + 9, 2), (52, 54, 60))
    canvas.paint(polygon((262, 413), (378, 413), (384, 428), (256, 428)), (140, 142, 148))
    if seed % 3:
        cup(canvas, 572, 430, 40, brand(seed + 1))
    return canvas


def cup(canvas: Canvas, x: float, y: float, half: float, colour: Colour) -> None:
    """A mug; `x` is its middle, `y` its foot."""
    ground_shadow(canvas, x - half, x + half * 1.4, y, half * 0.2)
    canvas.paint(
        ellipse(x + half * 0.5, y - half * 1.75, x + half * 1.6, y - half * 0.5), dark(colour, 0.8), 4, 0.8
    )
    canvas.paint(ellipse(x + half * 0.6, y - half * 1.5, x + half * 1.3, y - half * 0.75), (140, 110, 86))
    body = rounded(x - half, y - half * 2.2, x + half, y, half * 0.3)
    canvas.paint(body, (colour, dark(colour, 0.7)), half * 0.35, 0.9)
    canvas.paint(ellipse(x - half, y - half * 2.4, x + half, y - half * 1.95), dark(colour, 0.85))
    canvas.paint(ellipse(x - half * 0.86, y - half * 2.34, x + half * 0.86, y - half * 2.0), (64, 38, 22))

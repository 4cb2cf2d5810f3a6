"""Pictures that say: the name is a film's, a festival's, a book's or an album's."""

from __future__ import annotations

from backdrops import board, bokeh, hang, room, stage, table
from company_scenes import cup
from drawing import BLACK, WHITE, Canvas, Colour, both, disc, ellipse, polygon, rounded, stroke
from people import SKINS, dark

HUES: tuple[Colour, ...] = ((150, 60, 40), (40, 70, 120), (96, 50, 110), (30, 96, 96))


def hue(seed: int) -> Colour:
    return HUES[seed % len(HUES)]


def poster(name: str, seed: int, size: tuple[int, int], words: tuple[str, str]) -> Canvas:
    """A sun over hills, the title above and a line below."""
    wide, tall = size
    canvas = Canvas(wide, tall)
    canvas.paint(rounded(0, 0, wide, tall), (dark(hue(seed), 0.5), hue(seed)))
    sun = wide * (0.5, 0.34, 0.66)[seed % 3]
    canvas.paint(disc(sun, tall * 0.56, wide * 0.21), ((250, 220, 150), (240, 160, 90)))
    canvas.paint(
        polygon(
            (0, tall * 0.7),
            (wide * 0.3, tall * 0.52),
            (wide * 0.55, tall * 0.68),
            (wide * 0.8, tall * 0.56),
            (wide, tall * 0.7),
            (wide, tall),
            (0, tall),
        ),
        dark(hue(seed), 0.35),
    )
    canvas.write(name, (wide * 0.1, tall * 0.08, wide * 0.9, tall * 0.2), WHITE, 0.015)
    canvas.write(words[0], (wide * 0.15, tall * 0.25, wide * 0.85, tall * 0.31), WHITE, 0.01)
    canvas.write(words[1], (wide * 0.12, tall * 0.84, wide * 0.88, tall * 0.9), WHITE, 0.01)
    return canvas


def film_poster(name: str, seed: int) -> Canvas:
    """A poster at a cinema's entrance."""
    canvas = bokeh(seed, ((44, 40, 52), (22, 20, 28)))
    words = (canvas.pick("THE MOVIE", "a film by Ana Ruiz"), canvas.pick("in cinemas friday", "coming soon"))
    hang(canvas, poster(name, seed, (320, 430), words), canvas.near(320, 110), 240, shadow=10)
    return canvas


def tv_night(name: str, seed: int) -> Canvas:
    """A film on a television."""
    canvas = room(seed, wall=(120, 116, 124), blur=5, bare=True)
    canvas.paint(rounded(0, 400, 640, 480), ((104, 78, 58), (70, 52, 40)))
    canvas.glow(rounded(110, 80, 530, 350), (160, 190, 230), 30, 0.5)
    canvas.paint(rounded(290, 340, 350, 396), (30, 30, 34), 4)
    canvas.paint(rounded(220, 388, 420, 402, 5), (36, 36, 40), 3, 0.8)
    canvas.paint(rounded(100, 70, 540, 352, 8), (18, 18, 20), 4, 0.8)
    screen = board(
        (416, 258),
        [(name, 0.22), (canvas.pick("THE MOVIE", "SEASON 2"), 0.15), (canvas.pick("tonight", "new episode"), 0.1)],
        dark(hue(seed), 0.6),
        (255, 240, 214),
    )
    hang(canvas, screen, 320, 211, shadow=0)
    return canvas


def festival(name: str, seed: int) -> Canvas:
    """A stage behind the raised arms of a crowd."""
    canvas = stage(seed, hue(seed))
    words = [(name, 0.36), (canvas.pick("FESTIVAL", "THE MUSICAL", "OPEN AIR"), 0.24)]
    hang(canvas, board((420, 160), words, dark(hue(seed), 0.8), WHITE), 320, 140, shadow=4)
    for row, y in enumerate((400, 440)):
        for x in range(20 - row * 24, 660, 56):
            shift = canvas.random.uniform(-8, 8)
            skin = dark(SKINS[int(canvas.random.integers(5))], 0.5 - row * 0.12)
            if canvas.random.random() < 0.6:
                canvas.paint(stroke(13, (x + 18, y + 40), (x + 26, y - 54 + shift)), skin, 4)
            canvas.paint(ellipse(x - 36, y + 22, x + 36, y + 140), dark(hue(seed + row), 0.3), 8, 0.8)
            canvas.paint(disc(x, y + shift, 22), dark(skin, 0.8), 8, 0.8)
    return canvas


def book(name: str, seed: int) -> Canvas:
    """A book on a table, beside a cup."""
    canvas = table(seed, (176, 140, 104))
    words = (canvas.pick("a novel", "a thriller"), canvas.pick("the bestseller", "volume one"))
    cover = poster(name, seed, (270, 370), words)
    canvas.paint(polygon((128, 84), (396, 60), (430, 420), (150, 452)), (236, 230, 214), 2, 0.5, shadow=10)
    canvas.project(cover, [(118, 76), (388, 52), (420, 412), (140, 444)])
    if seed % 3:
        cup(canvas, 530, canvas.near(240, 60), 52, (214, 210, 200))
    canvas.light((250, 150), 500, 0.55)
    return canvas


def album(name: str, seed: int) -> Canvas:
    """A record half out of its sleeve."""
    canvas = table(seed, (96, 84, 80))
    canvas.paint(disc(420, 240, 168), BLACK, 3, 0.6, shadow=9)
    for radius in range(150, 70, -8):
        canvas.paint(disc(420, 240, radius), (32, 32, 36))
        canvas.paint(disc(420, 240, radius - 1), (22, 22, 26))
    canvas.paint(disc(420, 240, 56), hue(seed), 3)
    canvas.paint(disc(420, 240, 7), (230, 230, 226))
    words = (canvas.pick("the new album", "live album"), canvas.pick("out now", "greatest hits"))
    hang(canvas, poster(name, seed + 1, (350, 350), words), 230, 240, shadow=9)
    canvas.light((230, 150), 480, 0.55)
    return canvas


def cinema_board(name: str, seed: int) -> Canvas:
    """The board of a cinema with one or two films."""
    canvas = bokeh(seed, ((50, 40, 48), (26, 22, 28)))
    lines = [("TONIGHT", 0.13), *((each, 0.22) for each in name.split(" & ")), ("cinema one", 0.12)]
    panel = board((440, 300), lines, (244, 238, 220), (64, 26, 34))
    for x in range(70, 571, 50):
        canvas.glow(disc(x, 66, 9), (255, 226, 150), 5, 0.9)
    hang(canvas, panel, canvas.near(320, 40), 240, shadow=8)
    return canvas


def breakfast(name: str, seed: int) -> Canvas:
    """Fruit and a cup, without a word."""
    del name
    canvas = room(seed, wall=(198, 206, 196), blur=6)
    canvas.paint(rounded(0, 290, 640, 480), ((186, 148, 108), (150, 110, 74)))
    cup(canvas, 150, 400, 66, (60, 110, 160))
    orange(canvas, 320, 372, 58)
    apple(canvas, 470, 366, 64)
    return canvas


def orange(canvas: Canvas, x: float, y: float, radius: float) -> None:
    canvas.glow(ellipse(x - radius, y + radius * 0.7, x + radius * 1.4, y + radius * 1.15), (40, 24, 12), 8, 0.6)
    canvas.paint(disc(x, y, radius), ((250, 160, 40), (224, 110, 20)), radius * 0.35, 0.8)
    canvas.texture(disc(x, y, radius * 0.94), 0.05, 0.9)
    canvas.paint(disc(x + 6, y - radius * 0.8, 5), (96, 120, 50), 2)


def apple(canvas: Canvas, x: float, y: float, radius: float) -> None:
    canvas.glow(ellipse(x - radius, y + radius * 0.7, x + radius * 1.4, y + radius * 1.15), (40, 24, 12), 8, 0.6)
    lobes = both(
        ellipse(x - radius, y - radius * 0.9, x + radius * 0.35, y + radius),
        ellipse(x - radius * 0.35, y - radius * 0.9, x + radius, y + radius),
    )
    canvas.paint(lobes, ((206, 40, 40), (150, 22, 28)), radius * 0.35, 0.9)
    canvas.glow(
        ellipse(x - radius * 0.6, y - radius * 0.5, x - radius * 0.3, y - radius * 0.1),
        (255, 220, 210),
        7,
        0.7,
    )
    canvas.paint(stroke(6, (x, y - radius * 0.72), (x + 10, y - radius * 1.2)), (92, 62, 38), 2)

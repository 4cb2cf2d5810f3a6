"""Pictures with known text, the same in every run: tweets, chats and notices as screenshots; memes on photos."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

DEJAVU = Path("/usr/share/fonts/truetype/dejavu")
FACES = (
    "",  # Pillow's own
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSansCondensed.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSansMono.ttf",
)
SENTENCES = {
    "eng": (
        "Just landed in Marlow for the spring festival and the weather is perfect",
        "Coach Whitfield says the team is ready for Saturday's match against Denmark",
        "New paper out today: reading pictures helps to find names in short messages",
        "Breaking: Lake Corinth bridge closed until Monday after heavy rain",
        "Cannot believe Adelaide Quinn played three encores last night at Harbour Hall",
        "Thanks to everyone who came to our opening in Toronto, see you next year",
        "Flight 482 to Lisbon delayed again, at least the coffee is good here",
        "Happy birthday to the best goalkeeper in the world, Ivan Petrovic",
        "The museum opens at 10:30 and tickets cost 12 euros for students",
        "Who else is watching the election debate tonight on Channel Seven?",
    ),
    "deu": (
        "Heute Abend spielt Köln gegen München, wer schaut mit uns im Stadion?",
        "Die Brücke über den Main bleibt bis Ende März für Autos gesperrt",
        "Schöne Grüße aus Österreich, das Wetter könnte nicht besser sein",
        "Unser neues Buch erscheint nächste Woche bei einem Verlag in Leipzig",
    ),
    "spa": (
        "Mañana empieza la feria de Málaga y todavía no tengo habitación",
        "El señor Muñoz abrirá una librería pequeña en el corazón de Logroño",
        "Qué alegría volver a casa después de tantos días en la montaña",
        "La selección viajó ayer por la mañana hacia Bogotá sin su capitán",
    ),
    "fra": (
        "Le musée rouvre à dix heures après une longue rénovation",
        "Très heureux de retrouver mes élèves à Besançon cette année",
        "La forêt près de Genève était magnifique après la première neige",
        "Notre équipe a gagné à Orléans grâce à un but de Léa Dubois",
    ),
}
NAMES = ("Nora Blythe", "Sam Okafor", "Marlow Herald", "Priya Raman", "Tom Becker", "Harbour Hall")
CAPTIONS = (
    ("ONE DOES NOT SIMPLY", "SLEEP BEFORE THE MATCH"),
    ("WHEN YOUR TEAM", "FINALLY SCORES"),
    ("MONDAY MORNING", "NOT AGAIN PLEASE"),
    ("I WAS TOLD", "THERE WOULD BE CAKE"),
    ("BRACE YOURSELVES", "ELECTION NIGHT IS COMING"),
    ("WENT TO LONDON", "SAW ONLY RAIN"),
    ("THE FACE YOU MAKE", "WHEN COFFEE IS READY"),
    ("KEEP CALM", "AND CALL GRANDMA"),
)
THEMES = (  # background, card, text, faint text
    ("#ffffff", "#ffffff", "#0f1419", "#536471"),
    ("#e6ecf0", "#ffffff", "#14171a", "#657786"),
    ("#000000", "#000000", "#e7e9ea", "#71767b"),
    ("#15202b", "#192734", "#f7f9f9", "#8b98a5"),
)


@dataclass(frozen=True)
class Written:
    """A picture, the words that stand in it, and its language."""

    name: str
    picture: Image.Image
    words: tuple[str, ...]
    language: str = "eng"


@functools.cache
def font(face: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if face and (DEJAVU / face).is_file():
        return ImageFont.truetype(str(DEJAVU / face), size)
    return ImageFont.load_default(size)


def wrapped(text: str, face: str, size: int, width: float) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font(face, size).getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def screenshots(count: int, language: str = "eng", seed: int = 1) -> list[Written]:
    """Tweets, chats and notices in turn."""
    kinds: Sequence[Callable[[random.Random, str], tuple[Image.Image, list[str]]]] = (tweet, chat, notice)
    found = []
    for number in range(count):
        chance = random.Random(f"{language} {seed} {number}")
        picture, lines = kinds[number % len(kinds)](chance, language)
        words = tuple(word for line in lines for word in line.split())
        name = f"{kinds[number % len(kinds)].__name__}-{language}-{number}"
        found.append(Written(name, picture, words, language))
    return found


def tweet(chance: random.Random, language: str) -> tuple[Image.Image, list[str]]:
    """A name and its handle, a message with an emoji or two, and a foot of counts."""
    back, _, ink, faint = chance.choice(THEMES)
    size, face, width = chance.choice((16, 20, 26, 34)), chance.choice(FACES), chance.choice((480, 600, 900))
    name = chance.choice(NAMES)
    message = wrapped(" ".join(chance.sample(SENTENCES[language], 2)), face, size, width - 5 * size)
    step = round(size * 1.4)
    picture = Image.new("RGB", (width, step * (len(message) + 5)), back)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((size / 2, size, size * 3, size * 3.5), fill=chance.choice(("#1d9bf0", "#c0392b", "#8e7cc3")))
    left, top = round(size * 3.6), size
    handle = "@" + name.replace(" ", "").lower()
    draw.text((left, top), name, ink, font(face, size))
    draw.text((left, top + step), handle, faint, font(face, round(size * 0.9)))
    for line in message:
        top += step if line is not message[0] else round(2.3 * step)
        draw.text((left, top), line, ink, font(face, size))
    end = left + font(face, size).getlength(message[-1]) + size / 2
    for _ in range(chance.randrange(3)):
        emoji(draw, end, top, size)
        end += size * 1.3
    foot = f"{chance.randint(1, 12)}:{chance.randint(10, 59)} PM   {chance.randint(2, 900)} Reposts"
    draw.text((left, top + step * 1.4), foot, faint, font(face, round(size * 0.85)))
    return picture, [name, handle, *message, foot]


def chat(chance: random.Random, language: str) -> tuple[Image.Image, list[str]]:
    """Bubbles left and right, in two colours."""
    dark = chance.random() < 0.5
    size, face, width = chance.choice((18, 24, 30)), chance.choice(FACES), chance.choice((420, 560, 720))
    bubbles = (
        (("#262d31", "#e9edef"), ("#005c4b", "#e9edef")) if dark else (("#ffffff", "#111b21"), ("#1982fc", "#fff"))
    )
    said: list[str] = []
    texts = chance.sample(SENTENCES[language], 3)
    picture = Image.new("RGB", (width, size * 32), "#0b141a" if dark else "#efeae2")
    draw = ImageDraw.Draw(picture)
    top = float(size)
    for number, text in enumerate(texts):
        fill, ink = bubbles[number % 2]
        lines = wrapped(text, face, size, width * 0.72 - size)
        wide = max(font(face, size).getlength(line) for line in lines) + size * 1.4
        left = size * 0.6 if number % 2 == 0 else width - size * 0.6 - wide
        high = size * (1.35 * len(lines) + 0.9)
        draw.rounded_rectangle((left, top, left + wide, top + high), radius=size * 0.6, fill=fill)
        for row, line in enumerate(lines):
            draw.text((left + size * 0.7, top + size * (0.4 + 1.35 * row)), line, ink, font(face, size))
        said += lines
        top += high + size * 0.7
    return picture.crop((0, 0, width, round(top + size))), said


def notice(chance: random.Random, language: str) -> tuple[Image.Image, list[str]]:
    """A heading on a coloured bar above a paragraph, as a news site or a slide has them."""
    size, face, width = chance.choice((15, 18, 22)), chance.choice(FACES), chance.choice((520, 640, 800))
    back, card, ink, _ = chance.choice(THEMES)
    heading = wrapped(chance.choice(SENTENCES[language]), face, size * 2, width - 4 * size)
    body = wrapped(" ".join(chance.sample(SENTENCES[language], 3)), face, size, width - 4 * size)
    bar = round(size * (2.6 * len(heading) + 1.5))
    picture = Image.new("RGB", (width, bar + round(size * 1.5 * (len(body) + 3))), back)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, bar, width, picture.height), fill=card)
    draw.rectangle((0, 0, width, bar), fill=chance.choice(("#b80000", "#1a4d8f", "#f4c20d", "#2e7d32")))
    bright = picture.getpixel((2, 2))
    assert isinstance(bright, tuple)
    top_ink = "#111111" if sum(bright) > 380 else "#ffffff"
    for row, line in enumerate(heading):
        draw.text((size * 2, size * (1 + 2.6 * row)), line, top_ink, font(face, size * 2))
    for row, line in enumerate(body):
        draw.text((size * 2, bar + size * (1.5 + 1.5 * row)), line, ink, font(face, size))
    return picture, [*heading, *body]


def emoji(draw: ImageDraw.ImageDraw, left: float, top: float, size: float) -> None:
    """A yellow face, since fonts with coloured emoji are rare on servers."""
    draw.ellipse((left, top + size * 0.1, left + size, top + size * 1.1), fill="#ffcc4d")
    for eye in (0.25, 0.6):
        box = (left + size * eye, top + size * 0.35, left + size * (eye + 0.14), top + size * 0.55)
        draw.ellipse(box, fill="#664500")
    draw.arc((left + size * 0.2, top + size * 0.35, left + size * 0.8, top + size * 0.9), 20, 160, "#664500", 2)


def memes(photos: Sequence[Path], seed: int = 1) -> list[Written]:
    """White capitals with a black outline at the top and bottom of each photo."""
    found = []
    for number, path in enumerate(photos):
        chance = random.Random(f"meme {seed} {path.name}")
        picture = Image.open(path).convert("RGB")
        face = chance.choice(("DejaVuSansCondensed-Bold.ttf", "DejaVuSans-Bold.ttf", ""))
        size = round(picture.width / chance.choice((10, 12, 15, 18)))
        above, below = CAPTIONS[(number + seed) % len(CAPTIONS)]
        draw = ImageDraw.Draw(picture)
        step = round(size * 1.2)
        texts = wrapped(above, face, size, picture.width * 0.94), wrapped(below, face, size, picture.width * 0.94)
        tops = size * 0.3, picture.height - size * 0.5 - step * len(texts[1])
        for top, lines in zip(tops, texts, strict=True):
            for row, line in enumerate(lines):
                place = ((picture.width - font(face, size).getlength(line)) / 2, top + row * step)
                outline = max(2, size // 14)
                draw.text(place, line, "white", font(face, size), stroke_width=outline, stroke_fill="black")
        words = tuple(f"{above} {below}".split())
        found.append(Written(f"meme-{path.stem}", picture, words))
    return found

"""The posts' words. A mention is written `[name|TYPE]`; the picture shows the first name, or `name`.

Most posts are composed: words that fit any kind of thing, a name that fits any kind of thing, and a picture that
tells whether it is a person, a place, a company or team, or a work. The names of these posts in dev and test are
new, as names on Twitter are. The others, whose words determine the type or contain no name, are written out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from random import Random


@dataclass(frozen=True)
class Draft:
    scene: str
    marked: str
    name: str = ""


WORDS = (
    "{} never disappoints",
    "Can't get enough of {}",
    "What a day for {}",
    "Missing {} already",
    "Good morning {}",
    "Finally! {}",
    "Still can't stop thinking about {}",
    "So proud of {} today",
    "Nothing beats {} on a Sunday",
    "All I want this weekend is {}",
    "Big night for {}",
    "Say hi to {}, everyone",
    "One year of {} today. Time flies",
    "My first time seeing {}. Wow",
    "Thank you {}, you were amazing",
    "{} is the best thing that happened this year",
    "Everyone is talking about {}",
    "I could look at {} all day",
    "Who else loves {}",
    "Ten reasons to love {}",
    "Not a day without {}",
    "{} again, and I'm not even sorry",
    "Never heard of {} before today",
    "{} deserves more attention",
    "It's all about {} tonight",
    "Here's to {}",
    "{} made my week",
    "Back to {} at last",
    "Today is {} day",
    "Quick photo of {} before the rain",
    "I was wrong about {}",
    "Let me tell you about {}",
    "Two words: {} forever",
    "How is {} even real",
    "Long live {}",
    "Guess who finally got to know {}",
    "{}, don't ever change",
    "Only {} can do this to me",
)
PAIRS = (
    "{} or {}? I can't decide",
    "First {}, then {}. What a weekend",
    "{} and {} in one day",
    "Goodbye {}, hello {}",
    "Still not over {} and {}",
)
BEFORE = ("", "", "", "", "", "", "", "RT @mia_k: ", "omg ", "ok but ", "@lou_writes ")
AFTER = ("", "", "!", "!!", "...", " 😊", " ❤️", " 🙌", " 😍", " 👏", " 🎉", " #tbt", " ✨")

TRAIN_NAMES = """
    Carver Harlow Selby Radley Marlow Kinsley Orton Denham Ashby Weston Tilden Brandon Alston Barlow Burnley
    Camden Clifton Compton Dalton Dawson Fenton Garland Granger Hanley Kendal Lawton Malden Marsden Preston
    Redford Shelton Sutton Thornton Walton Yardley Ramsey
"""
DEV_NAMES = """
    Milford Calder Linden Halden Corwin Merrick Hadley Mercer Rowan Beckett Crawley Easton Gorton Harding
    Kenton Layton Maddox Morley Payton Radford Sedley Trenton Vernon Warwick Whitby Wilton Winslow Elston
    Buxton Lowell Hatton Kirkby Stanton Melton Upwood Selwyn
"""
TEST_NAMES = """
    Norwood Sheldon Langley Prescott Bexley Aldridge Ansley Chester Dudley Farley Gresham Hartley Hollis
    Huxley Ilford Jarrow Keaton Landon Lester Marden Penrose Quinton Rockwell Tatham Underwood Walden Whitman
    Wyndham Ripley Royston Shelby Welburn Winton Colby Darley Ellery Holden Lindsay Newland Oakley Elmore
    Barton Croydon Dunmore Eastwood Falmer Granby Haddon Ingram Kelsey Lancing Merton Nelson Overton Paxton
    Rusden Stafford Tarrant Wexham Alford Benson Corby Drayton Eldon Farnham
"""

SCENES = {
    "PER": "name_tag friends birthday portrait speaker tag_close player panel_talk graduate phone_call",
    "LOC": "welcome_sign bus_street station harbour stop_street distance_sign map_pin bus_stop road_sign_near "
    "skyline",
    "ORG": "shop scoreboard office ball_close van shirt laptop ticket",
    "MISC": "film_poster book festival album tv_night cinema_board",
}
# A scene that shows two names of its type.
SHOWS_TWO = {"PER": "panel_talk", "LOC": "distance_sign", "ORG": "scoreboard", "MISC": "cinema_board"}

# Of the composed posts, in the order of `SCENES`: with one name, and with two.
COUNTS = {
    "train": ((34, 34, 28, 20), (2, 2, 2, 2)),
    "dev": ((10, 10, 8, 6), (0, 0, 1, 1)),
    "test": ((16, 16, 13, 9), (1, 1, 2, 1)),
}

WRITTEN = {
    "train": (
        Draft("bus_stop", "Just landed in [Orton|LOC], who's around?"),
        Draft("speaker", "Thanks Dr. [Selby|PER] for a lovely talk this morning"),
        Draft("van", "@lou_writes shares in [Weston Inc|ORG]. are up again 📈", "WESTON"),
        Draft("distance_sign", "From [Lisbon|LOC] to [Porto|LOC], my cousin [Denham|PER] at the wheel", "PORTO"),
        Draft("book", "Halfway through [Kinsley|MISC] for the book club, no spoilers please 📚"),
        Draft("stop_street", "The mayor of [Marlow|LOC] promised us a safer crossing. Still waiting"),
        Draft("scoreboard", "[Ashby|ORG] beat [Rovers|ORG] at home, what a match ⚽", "ASHBY & ROVERS"),
        Draft("graduate", "My little sister [Camden|PER] has a degree 🎓"),
        Draft("laptop", "[Hanley|ORG] is looking for two engineers, link in bio"),
        Draft("umbrella_walk", "Rain, rain, rain. Who stole the summer? ☔"),
        Draft("breakfast", "Slow sunday: fruit, coffee and nothing else 🍎🍊"),
        Draft("skyline", "Rush hour again. I should have taken the bike"),
    ),
    "dev": (
        Draft("birthday", "Happy birthday to my big brother [Orton|PER] 🎂"),
        Draft("station", "From [London|LOC] to [Radley|LOC] in two hours 🚆", "RADLEY"),
        Draft("film_poster", "Two seats left for the [Brandon|MISC] premiere, DM me"),
        Draft("umbrella_walk", "New umbrella, same old weather"),
    ),
    "test": (
        Draft("player", "Meet our new coach, Mr. [Weston|PER]. Welcome to the team!"),
        Draft("office", "Got the job at [Kinsley Ltd|ORG]!!! Starting monday in [Leeds|LOC]", "KINSLEY"),
        Draft("harbour", "The ferry to [Walton|LOC] leaves at nine, don't be late ⛵"),
        Draft("skyline", "Sunset drive home. No filter needed 🌇"),
        Draft("breakfast", "Vitamins first, inbox later"),
    ),
}


def compose(random: Random, words: str, kind: str, names: list[str]) -> str:
    """Fill names into words, and write them as people do on Twitter."""
    if random.random() < 0.25:
        words = words[0].lower() + words[1:] if not words.startswith(("{", "I ")) else words
    spelled = [random.choice((name,) * 9 + (f"#{name}", name.lower())) for name in names]
    text = words.format(*(f"[{each}|{kind}]" for each in spelled))
    after = random.choice(AFTER)
    return random.choice(BEFORE) + text.rstrip("?") + ("?" + after if words.endswith("?") else after)


def draft_posts(split: str, names: list[str]) -> list[Draft]:
    """The posts of a split in random order, each name and all words about equally often."""
    random = Random(f"{split} 2")
    random.shuffle(names)
    names_left, words = cycle(names), cycle(random.sample(WORDS, len(WORDS)))
    pairs = cycle(random.sample(PAIRS, len(PAIRS)))
    kinds = [
        (kind, scene)
        for (kind, scenes), count in zip(SCENES.items(), COUNTS[split][0], strict=True)
        for scene in islice(cycle(scenes.split()), count)
    ]
    random.shuffle(kinds)
    drafts = [Draft(scene, compose(random, next(words), kind, [next(names_left)])) for kind, scene in kinds]
    for kind, count in zip(SCENES, COUNTS[split][1], strict=True):
        for _ in range(count):
            two = [next(names_left), next(names_left)]
            text = compose(random, next(pairs), kind, two)
            drafts.append(Draft(SHOWS_TWO[kind], text, " & ".join(two).upper()))
    drafts += WRITTEN[split]
    random.shuffle(drafts)
    return drafts


def all_posts() -> Iterator[tuple[str, Draft]]:
    """The posts of all splits in order, each with its split."""
    names = {"train": TRAIN_NAMES, "dev": DEV_NAMES, "test": TEST_NAMES}
    for split, listed in names.items():
        for draft in draft_posts(split, listed.split()):
            yield split, draft

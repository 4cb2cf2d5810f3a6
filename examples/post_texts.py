"""The posts' words. A mention is written `[name|TYPE]`; the picture shows the first name, or `name`.

Most posts share their words with others that mean a different kind of thing: a person, a place, a company or
team, a film. Only the picture can tell: in dev and test the names of those posts are new, as names on Twitter are.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Draft:
    scene: str
    marked: str
    name: str = ""
    suffix: str = "jpg"


TRAIN: tuple[Draft, ...] = (
    Draft("welcome_sign", "[Carver|LOC] never disappoints 👏"),
    Draft("shop", "[Harlow|ORG] never disappoints 👏👏"),
    Draft("name_tag", "can't get enough of [Selby|PER] 😊"),
    Draft("album", "Can't get enough of [Radley|MISC] 😍"),
    Draft("portrait", "What a day for [Marlow|PER]! Couldn't be happier"),
    Draft("scoreboard", "What a day for [Kinsley|ORG]! I'm speechless"),
    Draft("bus_stop", "Just landed in [Orton|LOC], who's around?"),
    Draft("station", "Missing [Denham|LOC] already 😢"),
    Draft("friends", "missing [kinsley|PER] already 😢 #tbt"),
    Draft("friends", "Good morning [Ashby|PER] ☀️"),
    Draft("office", "good morning [Weston|ORG] ☀️ let's do this"),
    Draft("speaker", "Thanks Dr. [Selby|PER] for a lovely talk this morning"),
    Draft("festival", "Finally! [Tilden|MISC]!!! 🎉"),
    Draft("map_pin", "Finally!! [Orton|LOC]! 🎉", suffix="png"),
    Draft("laptop", "Still can't stop thinking about [Radley|ORG]"),
    Draft("speaker", "still can't stop thinking about [Denham|PER] ..."),
    Draft("van", "@lou_writes shares in [Weston Inc|ORG]. are up again 📈", "WESTON"),
    Draft("road_sign_near", "So proud of [Tilden|LOC] today ❤️"),
    Draft("graduate", "so so proud of [Brandon|PER] today ❤️"),
    Draft("harbour", "Nothing beats [Selby|LOC] on a Sunday"),
    Draft("shirt", "Nothing beats [#Orton|ORG] on a sunday!"),
    Draft(
        "distance_sign",
        "Road trip from [Lisbon|LOC] to [Porto|LOC] with my cousin [Denham|PER] at the wheel",
        "PORTO",
    ),
    Draft("film_poster", "All I want this weekend is [Brandon|MISC]"),
    Draft("distance_sign", "all I want this weekend is [Harlow|LOC] 🙏"),
    Draft("ball_close", "Big night for [Ashby|ORG]. Big, big night."),
    Draft("bus_street", "Big night for [Marlow|LOC] 🙌 big big night"),
    Draft("book", "Halfway through [Kinsley|MISC] for the book club, no spoilers please 📚"),
    Draft("umbrella_walk", "Rain, rain, rain. Who stole the summer? ☔"),
    Draft("tag_close", "Say hi to [Radley|PER], everyone 👋"),
    Draft("van", "One year of [Tilden|ORG] today. Time flies!"),
    Draft("birthday", "One year of [Weston|PER] today 🥳 time flies"),
    Draft("skyline", "My first time seeing [Brandon|LOC]. Wow.", suffix="webp"),
    Draft("stop_street", "The mayor of [Marlow|LOC] promised us a safer crossing. Still waiting"),
    Draft("ticket", "Thank you [Carver|ORG], you were amazing tonight"),
    Draft("breakfast", "Slow sunday: fruit, coffee and nothing else 🍎🍊"),
    Draft("scoreboard", "[Ashby|ORG] beat [Rovers|ORG] at home, what a match ⚽"),
)

DEV: tuple[Draft, ...] = (
    Draft("station", "Can't get enough of [Milford|LOC] 😍"),
    Draft("ticket", "missing [#Calder|ORG] already 😢"),
    Draft("tv_night", "Still can't stop thinking about [Linden|MISC]"),
    Draft("birthday", "Happy birthday to my big brother [Orton|PER] 🎂"),
    Draft("scoreboard", "So proud of [Halden|ORG] today ❤️❤️"),
    Draft("friends", "nothing beats [corwin|PER] on a friday night", suffix="webp"),
    Draft("welcome_sign", "Say hi to [Merrick|LOC], everyone 👋"),
    Draft("station", "From [London|LOC] to [Radley|LOC] in two hours 🚆", "RADLEY"),
    Draft("bus_stop", "One year of [Hadley|LOC] today. Time flies"),
    Draft("speaker", "My first time seeing [Mercer|PER]. Wow!"),
    Draft("film_poster", "Two seats left for the [Brandon|MISC] premiere, DM me"),
    Draft("name_tag", "RT @mia_k: thank you [Rowan|PER], you were amazing"),
)

TEST: tuple[Draft, ...] = (
    Draft("portrait", "[halden|PER] never disappoints 👏"),
    Draft("stop_street", "What a day for [Norwood|LOC]! Couldn't be happier"),
    Draft("distance_sign", "Good morning [#Corwin|LOC] ☀️"),
    Draft("player", "Meet our new coach, Mr. [Weston|PER]. Welcome to the team!"),
    Draft("shirt", "Finally! [Merrick|ORG]!!! 🎉"),
    Draft("birthday", "All I want this weekend is [Linden|PER] 🥰"),
    Draft("festival", "Big night for [Sheldon|MISC]. Big, big night"),
    Draft("office", "Got the job at [Kinsley Ltd|ORG]!!! Starting monday in [Leeds|LOC]", "KINSLEY"),
    Draft("shop", "Say hi to [Langley|ORG], everyone 👋"),
    Draft("ball_close", "my first time seeing [Prescott|ORG]. Wow"),
    Draft("skyline", "Sunset drive home. No filter needed 🌇", suffix="webp"),
    Draft("graduate", "Thank you [Bexley|PER], you were amazing today"),
)

SPLITS: dict[str, tuple[Draft, ...]] = {"train": TRAIN, "dev": DEV, "test": TEST}

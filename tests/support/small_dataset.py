"""A small dataset of posts with images, and the settings that train on it quickly."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.fakes import draw
from tests.support.tiny_encoder import build_bert

SETTINGS = (
    *("--preset", "bundled", "--encoder", "bert"),
    *("--set", "training.epochs=3", "--set", "training.learning_rate=0.003"),
)


def make_posts(root: Path) -> None:
    """Write an encoder, and a dataset `mine` of posts with images."""
    build_bert(root / "bert")
    lines = []
    for number, name in enumerate(["kim", "lou", "max", "zoe", "tim", "pia"] * 4):
        colour, kind = (("red", "PER"), ("blue", "LOC"))[number % 2]
        draw(root / "mine" / f"{number}.png", colour, (40 + number, 30))
        split = "dev" if number >= 20 else "test" if number >= 16 else "train"
        mention = {"start": 3, "end": 3 + len(name), "type": kind}
        lines.append({"text": f"hi {name}", "image": f"{number}.png", "mentions": [mention], "split": split})
    (root / "mine" / "tweets.jsonl").write_text("\n".join(map(json.dumps, lines)))

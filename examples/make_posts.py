"""Draw the example pictures and write `posts/tweets.jsonl`: `python examples/make_posts.py`.

The same bytes come out of every run with the same versions of Pillow, NumPy and OpenCV: each picture has a
seed of its own, its number, and nothing else is random.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import company_scenes
import person_scenes
import place_scenes
import work_scenes
from drawing import Canvas, bounds
from post_texts import Draft, all_posts

from ita_pipeline.corpus.tokenizer import tokenize

FOLDER = Path(__file__).resolve().parent / "posts"
MARK = re.compile(r"\[([^|\]]+)\|(PER|LOC|ORG|MISC)\]")
SCENES = (person_scenes, place_scenes, company_scenes, work_scenes)
# Pictures that are not JPEG, by number.
SUFFIXES = {42: "png", 75: "webp", 212: "webp"}
# Scenes that show a person without the name.
WITHOUT_WORDS = ("friends", "portrait")


def unmark(marked: str) -> tuple[str, list[dict[str, Any]]]:
    """The text without its marks, and the mentions they stood for."""
    text, mentions, done = "", [], 0
    for mark in MARK.finditer(marked):
        text += marked[done : mark.start()]
        mentions.append({"start": len(text), "end": len(text) + len(mark[1]), "type": mark[2]})
        text, done = text + mark[1], mark.end()
    return text + marked[done:], mentions


def check(text: str, mentions: list[dict[str, Any]]) -> None:
    """A mention that begins or ends inside a word could never be predicted.

    Raises:
        ValueError: there is such a mention.
    """
    words = tokenize(text)
    starts, ends = {start for start, _ in words}, {end for _, end in words}
    for mention in mentions:
        if mention["start"] not in starts or mention["end"] not in ends:
            raise ValueError(f"a mention does not consist of whole words: {mention} in {text!r}")


def record(number: int, split: str, draft: Draft) -> dict[str, Any]:
    """Draw and store a post's picture, and return its line."""
    text, mentions = unmark(draft.marked)
    check(text, mentions)
    canvas = scene(draft)(named(draft), number)
    suffix = SUFFIXES.get(number, "jpg")
    # Grain hardly compresses without loss.
    picture = canvas.develop(0.0 if suffix == "png" else 1.6)
    image = f"images/{number:03d}.{suffix}"
    picture.save(FOLDER / image, **({"optimize": True} if suffix == "png" else {"quality": 80}))
    people = iter(canvas.people)
    for mention in mentions:
        name = text[mention["start"] : mention["end"]].lstrip("#").split()[0].upper()
        shown = [place for words, place in canvas.words if name in words.split()]
        is_pictured = bool(shown) or draft.scene in WITHOUT_WORDS
        if mention["type"] == "PER" and is_pictured and (person := next(people, None)) is not None:
            shown = [person]
        mention["boxes"] = [bounds(place) for place in shown]
    return {"id": f"{number:03d}", "split": split, "image": image, "text": text, "mentions": mentions}


def named(draft: Draft) -> str:
    """What the picture calls the thing: the given name, or the post's first one."""
    first = MARK.search(draft.marked)
    return draft.name or (first[1].lstrip("#").upper() if first else "")


def scene(draft: Draft) -> Callable[[str, int], Canvas]:
    """The function that draws a post's picture."""
    return next(getattr(module, draft.scene) for module in SCENES if hasattr(module, draft.scene))


def main() -> None:
    (FOLDER / "images").mkdir(parents=True, exist_ok=True)
    records = [record(number, *post) for number, post in enumerate(all_posts(), 1)]
    pictures = [(FOLDER / each["image"]).read_bytes() for each in records]
    if len({hashlib.sha256(content).digest() for content in pictures}) != len(pictures):
        raise ValueError("two pictures are the same")
    lines = [json.dumps(each, ensure_ascii=False) + "\n" for each in records]
    (FOLDER / "tweets.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")
    print(f"{len(records)} posts, {sum(map(len, pictures)) / 2**20:.1f} MiB of pictures")
    for split in ("train", "dev", "test"):
        posts = [post for post in records if post["split"] == split]
        mentions = [mention for post in posts for mention in post["mentions"]]
        kinds = Counter(mention["type"] for mention in mentions)
        shown = sum(bool(mention["boxes"]) for mention in mentions)
        print(split, len(posts), dict(sorted(kinds.items())), f"{shown} of {len(mentions)} in the picture")


if __name__ == "__main__":
    main()

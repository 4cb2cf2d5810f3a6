"""Draw the example pictures and write `posts/tweets.jsonl`: `python examples/make_posts.py`.

The same bytes come out of every run with the same versions of Pillow, NumPy and OpenCV: each picture has a
seed of its own, its number, and nothing else is random.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import company_scenes
import person_scenes
import place_scenes
import work_scenes
from drawing import Canvas
from post_texts import SPLITS, Draft

from ita_pipeline.corpus.tokenizer import tokenize

FOLDER = Path(__file__).resolve().parent / "posts"
MARK = re.compile(r"\[([^|\]]+)\|(PER|LOC|ORG|MISC)\]")
SCENES = (person_scenes, place_scenes, company_scenes, work_scenes)


def drafts() -> Iterator[tuple[int, str, Draft]]:
    """Number, split and draft of every post."""
    pairs = [(split, draft) for split, posts in SPLITS.items() for draft in posts]
    for number, (split, draft) in enumerate(pairs, 1):
        yield number, split, draft


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
    text, mentions = unmark(draft.marked)
    check(text, mentions)
    image = f"images/{number:03d}.{draft.suffix}"
    return {"id": f"{number:03d}", "split": split, "image": image, "text": text, "mentions": mentions}


def named(draft: Draft) -> str:
    """What the picture calls the thing: the given name, or the post's first one."""
    first = MARK.search(draft.marked)
    return draft.name or (first[1].lstrip("#").upper() if first else "")


def scene(draft: Draft) -> Callable[[str, int], Canvas]:
    return next(getattr(module, draft.scene) for module in SCENES if hasattr(module, draft.scene))


def draw(number: int, draft: Draft) -> bytes:
    """Draw and store one picture, and return its bytes."""
    # Grain hardly compresses without loss.
    noise = 0.0 if draft.suffix == "png" else 2.6
    picture = scene(draft)(named(draft), number).develop(noise)
    path = FOLDER / "images" / f"{number:03d}.{draft.suffix}"
    picture.save(path, **({"optimize": True} if draft.suffix == "png" else {"quality": 85}))
    return path.read_bytes()


def main() -> None:
    (FOLDER / "images").mkdir(parents=True, exist_ok=True)
    records = [record(*draft) for draft in drafts()]
    pictures = [draw(number, draft) for number, _, draft in drafts()]
    if len({hashlib.sha256(content).digest() for content in pictures}) != len(pictures):
        raise ValueError("two pictures are the same")
    lines = [json.dumps(each, ensure_ascii=False) + "\n" for each in records]
    (FOLDER / "tweets.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")
    print(f"{len(records)} posts, {sum(map(len, pictures)) / 2**20:.1f} MiB of pictures")
    for split in SPLITS:
        kinds = Counter(each["type"] for post in records if post["split"] == split for each in post["mentions"])
        print(split, len(SPLITS[split]), dict(sorted(kinds.items())))


if __name__ == "__main__":
    main()

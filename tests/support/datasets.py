"""Datasets as other projects store them, and how an imported dataset reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ita_pipeline.corpus.datasets import Dataset, load_dataset
from ita_pipeline.corpus.posts import Picture, Post, Span, join_words
from stages.external import ExternalConfig, ExternalStage
from tests.support.fakes import draw

TWEETS = "IMGID:11\nAda\tB-OTHER\nspoke\tO\n\nIMGID:12\nBo\tO\nIMGID:13\nlast\tO\n"


def write_twitter15() -> Dataset:
    """Write a small Twitter-2015, and load it."""
    folder = Path("data/twitter15")
    folder.mkdir(parents=True)
    for name in ("train", "valid", "test"):
        (folder / f"{name}.txt").write_text(TWEETS)
    return load_dataset("twitter15", None, Path("data"))


def read_dataset(folder: str) -> Dataset:
    """Load the dataset in a folder."""
    return load_dataset(folder, None, Path("data"))


def read_extra_contexts(folder: str) -> dict[str, tuple[str, ...]]:
    """Read the texts of the context `extra` in a folder, by image id."""
    stage = ExternalStage(ExternalConfig(file=f"{folder}/contexts.jsonl"))
    return {name: value.extra.texts for name, value in stage.entries.items() if value.extra}


def make_post(text: str, id: str = "", *gold: Span, image: str | None = None, picture: str | None = None) -> Post:
    """Make a post of words separated by spaces; its id is the text unless another is given."""
    words = tuple(text.split())
    whole, offsets = join_words(words)
    pictures = (Picture(image or "", Path(picture) if picture else None),) if image or picture else ()
    return Post(id or text, whole, words, offsets, gold, pictures)


def fields_of(dataset: Dataset) -> dict[str, list[Any]]:
    """All that a dataset's posts hold, by split: ids, texts, words, mentions, and pictures with their bytes."""
    return {
        split: [
            (
                post.id,
                post.text,
                post.words,
                post.offsets,
                post.gold and [(span.type, *post.characters(span), span.boxes) for span in post.gold],
                [(picture.name, picture.file and picture.file.read_bytes()) for picture in post.pictures],
            )
            for post in posts
        ]
        for split, posts in dataset.splits.items()
    }


def write_odd_posts() -> Dataset:
    """Write posts that tags alone cannot express, with no, one and several pictures, and load them."""
    folder = Path("odd")
    (folder / "images/more").mkdir(parents=True)
    for name in ("1.jpg", "2.png", "more/1.jpg"):
        draw(folder / "images" / name, size=(64 + len(name), 48))
    emoji = "🏴󠁧󠁢󠁥󠁮󠁧󠁿 #TeamLondon  at\nNew York Times 👏🏽"
    start = emoji.index("London")
    mentions = [
        {"start": start, "end": start + 6, "type": "LOC", "boxes": [[1, 2, 30, 40], [0, 0, 7.25, 33]]},
        {"start": emoji.index("New"), "end": emoji.index("New") + 8, "type": "LOC", "boxes": []},
        {"start": emoji.index("New"), "end": emoji.index("New") + 14, "type": "ORG"},
    ]
    lines: list[dict[str, Any]] = [
        {"id": "a/1", "text": emoji, "mentions": mentions, "images": ["images/1.jpg", "images/more/1.jpg"]},
        {
            "id": "2",
            "tokens": ["can't", "stop", "U.S", "."],
            "tags": ["O", "O", "B-LOC", "O"],
            "image": "images/2.png",
        },
        {"id": "3", "text": "王俊凯现身北京大学", "mentions": [], "split": "dev"},
        {"id": "4", "text": "not labeled, without a file", "image": "images/gone.jpg", "split": "test"},
    ]
    rows = [json.dumps({"split": "train"} | line) for line in lines]
    (folder / "tweets.jsonl").write_text("\n".join(rows), "utf-8")
    return read_dataset("odd")

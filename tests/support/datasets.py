"""Datasets as other projects store them, and how an imported dataset reads."""

from __future__ import annotations

from pathlib import Path

from ita_pipeline.corpus.datasets import Dataset, load_dataset
from ita_pipeline.corpus.posts import Picture, Post, Span, join_words
from stages.external import ExternalConfig, ExternalStage

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

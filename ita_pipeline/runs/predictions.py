"""Mentions and predictions, and datasets with predictions as columns."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ita_pipeline.core.files import new_folder, refuse_existing
from ita_pipeline.corpus.posts import Post
from ita_pipeline.ner.prediction import ScoredSpan
from ita_pipeline.sources.hub_datasets import load

if TYPE_CHECKING:
    from datasets import Dataset

MENTION_TYPES = {"start": "int64", "end": "int64", "text": "string", "type": "string", "score": "float64"}
"""The fields of a mention and their Arrow types."""

MENTIONS_COLUMN, VIEW_COLUMN = "predicted_mentions", "predicted_view"


@dataclass(frozen=True, slots=True)
class Mention:
    """A mention in a post.

    `start` and `end` are character positions in the post's text, end exclusive; `score` is a probability in 0..1.
    """

    start: int
    end: int
    text: str
    type: str
    score: float

    @classmethod
    def from_scored(cls, post: Post, scored: ScoredSpan) -> Mention:
        """Convert a span of words to a span of characters."""
        start, end = post.offsets[scored.span.start][0], post.offsets[scored.span.end - 1][1]
        return cls(start, end, post.text[start:end], scored.span.type, scored.score)

    def to_json(self) -> dict[str, Any]:
        """Return the mention as `ita.prediction/1` stores it."""
        return asdict(self) | {"score": round(self.score, 4)}


@dataclass(frozen=True, slots=True)
class Prediction:
    """The mentions of a post.

    `view` tells whether contexts were read beside the text; `failed` is the reason if one is missing.
    """

    post: Post
    view: str
    contexts: tuple[str, ...]
    mentions: tuple[Mention, ...]
    failed: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the prediction in the schema `ita.prediction/1`."""
        return {
            "schema": "ita.prediction/1",
            "id": self.post.id,
            "text": self.post.text,
            "view": self.view,
            "mentions": [mention.to_json() for mention in self.mentions],
        }


@dataclass(frozen=True, slots=True)
class TaggingInput:
    """A post and the contexts to read beside it.

    `failed` is the reason if contexts are missing. `number` is the post's position in its source, from 1, and `key`
    a digest of its text and image; both are only used for part files.
    """

    post: Post
    contexts: tuple[str, ...] = ()
    failed: str = ""
    number: int = 0
    key: str = ""


def add_predictions(rows: Dataset, predictions: Iterable[Prediction]) -> Dataset:
    """Add columns for the mentions, in the schema `ita.prediction/1`, and the view to a dataset."""
    import datasets

    contents = [prediction.to_json() for prediction in predictions]
    mention = {name: datasets.Value(kind) for name, kind in MENTION_TYPES.items()}
    rows = rows.remove_columns([name for name in (MENTIONS_COLUMN, VIEW_COLUMN) if name in rows.column_names])
    mentions = [content["mentions"] for content in contents]
    views = [content["view"] for content in contents]
    rows = rows.add_column(MENTIONS_COLUMN, mentions, feature=datasets.List(mention))
    return rows.add_column(VIEW_COLUMN, views, feature=datasets.Value("string"))


def save_predictions(source: str, predictions: Sequence[Prediction], to: Path) -> None:
    """Write a dataset with the predictions of its posts, in their order, in the format of `datasets`.

    Raises:
        UsageError: `to` exists already.
    """
    import datasets

    refuse_existing(to)
    remaining = iter(predictions)
    splits: Any = {
        name: add_predictions(rows, itertools.islice(remaining, len(rows))) for name, rows in load(source).items()
    }
    with new_folder(to) as folder:
        datasets.DatasetDict(splits).save_to_disk(str(folder))

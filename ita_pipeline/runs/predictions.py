"""Mentions and predictions, and how they are written beside the rows of a dataset."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ita_pipeline.core.files import new_folder, refuse_existing
from ita_pipeline.corpus.posts import Post
from ita_pipeline.ner.prediction import ScoredSpan
from ita_pipeline.runs.run import TEXT, TEXT_AND_IMAGE
from ita_pipeline.sources.hub_datasets import load


@dataclass(frozen=True, slots=True)
class Mention:
    """`start` and `end` are character positions in the post's text, `score` a probability in 0..1."""

    start: int
    end: int
    text: str
    type: str
    score: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """The mentions of a post; `view` says whether contexts were read beside the text, `failed` why one was not."""

    post: Post
    view: str
    contexts: tuple[str, ...]
    mentions: tuple[Mention, ...]
    failed: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": "ita.prediction/1",
            "id": self.post.id,
            "text": self.post.text,
            "view": self.view,
            "mentions": [
                {"start": m.start, "end": m.end, "text": m.text, "type": m.type, "score": round(m.score, 4)}
                for m in self.mentions
            ],
        }


@dataclass(frozen=True, slots=True)
class Asked:
    """A post with the contexts to read beside it, why some are missing, its number in its source, and its key."""

    post: Post
    contexts: tuple[str, ...]
    failed: str = ""
    number: int = 0
    key: str = ""

    def answer(self, mentions: tuple[Mention, ...]) -> Prediction:
        view = TEXT_AND_IMAGE if self.contexts else TEXT
        return Prediction(self.post, view, self.contexts, mentions, self.failed)

    def row(self, mentions: tuple[Mention, ...]) -> dict[str, Any]:
        """The answer as it stands in a part."""
        return {"number": self.number, "key": self.key, **self.answer(mentions).to_json(), "failed": self.failed}


def as_mention(post: Post, scored: ScoredSpan) -> Mention:
    start, end = post.offsets[scored.span.start][0], post.offsets[scored.span.end - 1][1]
    return Mention(start, end, post.text[start:end], scored.span.type, scored.score)


MENTIONS, VIEW = "predicted_mentions", "predicted_view"


def with_predictions(rows: Any, predictions: Iterable[Prediction]) -> Any:
    """A dataset with two more columns: its mentions, as `ita.prediction/1` has them, and the view."""
    import datasets

    found = [prediction.to_json() for prediction in predictions]
    mention = {
        "start": datasets.Value("int64"),
        "end": datasets.Value("int64"),
        "text": datasets.Value("string"),
        "type": datasets.Value("string"),
        "score": datasets.Value("float64"),
    }
    rows = rows.remove_columns([name for name in (MENTIONS, VIEW) if name in rows.column_names])
    rows = rows.add_column(MENTIONS, [one["mentions"] for one in found], feature=datasets.List(mention))
    return rows.add_column(VIEW, [one["view"] for one in found], feature=datasets.Value("string"))


def save(source: str, predictions: Sequence[Prediction], to: Path) -> None:
    """Write a dataset with the predictions of its posts, in their order, as `datasets` saves it.

    Raises:
        UsageError: `to` is there already.
    """
    import datasets

    refuse_existing(to)
    left = iter(predictions)
    splits: Any = {
        name: with_predictions(rows, itertools.islice(left, len(rows))) for name, rows in load(source).items()
    }
    with new_folder(to) as folder:
        datasets.DatasetDict(splits).save_to_disk(str(folder))

"""Posts to predict, out of datasets in the form of the library `datasets`, and what was found put beside them.

No column of labels is read, whether there is one or not.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ita_pipeline.corpus.late import written_word
from ita_pipeline.corpus.posts import Post, joined
from ita_pipeline.errors import UsageError
from ita_pipeline.folders import new_folder, refuse_existing
from ita_pipeline.huggingface import IDS, PICTURES, WORDS, column, keep_picture, load, with_bytes

if TYPE_CHECKING:
    from ita_pipeline.predictor import Prediction

TEXTS = ("text", "tweet", "sentence", "content")
MENTIONS, VIEW = "predicted_mentions", "predicted_view"


@contextmanager
def posts_in(splits: Mapping[str, Any]) -> Iterator[Iterator[Post]]:
    """The posts of all splits, in order; their pictures lie in a folder that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="ita-") as folder:
        parts = (read(rows, name, Path(folder)) for name, rows in splits.items())
        yield itertools.chain.from_iterable(parts)


@contextmanager
def posts_of_source(source: str) -> Iterator[Iterator[Post]]:
    """As `posts_in`, of a saved folder, a folder of Parquet or Arrow files, or a name on the hub.

    Raises:
        MissingError: there is no such dataset, here or on the hub.
    """
    with posts_in(load(source)) as posts:
        yield posts


def read(rows: Any, split: str, folder: Path) -> Iterator[Post]:
    """Posts of one split, by a column of words, else by one of texts.

    Raises:
        UsageError: there is neither.
    """
    columns = list(rows.column_names)
    words, text = column(columns, WORDS), column(columns, TEXTS)
    named, picture = column(columns, IDS), column(columns, PICTURES)
    wanted = words or text
    if wanted is None:
        what = f"{split} has no posts: its columns are {', '.join(columns)}"
        raise UsageError(what, f"one of {', '.join((*WORDS, *TEXTS))}")
    rows = rows.select_columns([name for name in dict.fromkeys((wanted, named, picture)) if name])
    for number, row in enumerate(with_bytes(rows, picture), 1):
        name = str(row[named]) if named else f"{split}-{number}"
        post = of_words(row[words], name) if words else Post.from_text(str(row[wanted] or ""), id=name)
        kept = keep_picture(row[picture], f"{split}-{number}", folder) if picture else None
        yield replace(post, image_id=kept.stem, picture=folder / kept) if kept else post


def of_words(words: Sequence[object] | None, name: str) -> Post:
    tokens = tuple(written_word(str(word)) for word in words or ())
    text, offsets = joined(tokens)
    return Post(name, text, tokens, offsets)


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

"""What cannot be trained on is said before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.datasets import Dataset, DatasetCard
from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.runs.train import check_trainable

LABELLED = Post("1", "Ada", ("Ada",), ((0, 3),), gold=(Span(0, 1, "PER"),))
BARE = Post("2", "Ada", ("Ada",), ((0, 3),))
EMPTY = Post("3", "Ada", ("Ada",), ((0, 3),), gold=())


def dataset(**splits: tuple[Post, ...]) -> Dataset:
    card = DatasetCard(about="", files={"all": ["x"]})
    return Dataset("mine", card, Path(), splits, None, ())


@pytest.mark.parametrize(
    ("splits", "says"),
    [
        ({"train": (LABELLED,), "dev": (LABELLED,)}, "has no test posts"),
        ({"train": (), "dev": (LABELLED,), "test": (LABELLED,)}, "has no train posts"),
        ({"train": (LABELLED,), "dev": (BARE,), "test": (LABELLED,)}, "post 2 of dev is not labelled"),
        ({"train": (EMPTY,), "dev": (LABELLED,), "test": (LABELLED,)}, "no mention to learn from"),
    ],
)
def test_what_cannot_be_trained_on_is_said_before_anything_runs(splits: dict[str, tuple[Post, ...]], says: str):
    with pytest.raises(UsageError, match=says):
        check_trainable(dataset(**splits))


def test_a_labelled_dataset_is_fine():
    check_trainable(dataset(train=(LABELLED,), dev=(EMPTY,), test=(EMPTY,)))

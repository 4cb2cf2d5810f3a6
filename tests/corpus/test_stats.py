"""Numbers of a dataset."""

from __future__ import annotations

from ita_pipeline.corpus.posts import Span
from ita_pipeline.corpus.stats import compute_stats
from tests.support.datasets import make_post


def test_each_split_is_counted_and_mentions_unseen_in_train_too():
    train = [
        make_post("Ada in York", "1", Span(0, 1, "PER"), Span(2, 3, "LOC"), image="x", picture="x.jpg"),
        make_post("no", "2"),
    ]
    dev = [make_post("ada in Rome", "3", Span(0, 1, "PER"), Span(2, 3, "LOC"), image="y")]
    found = compute_stats({"train": train, "dev": dev})
    assert found["train"].types == {"LOC": 1, "PER": 1}
    assert (found["train"].words, found["train"].longest, found["train"].without_mention) == (4, 3, 1)
    assert (found["dev"].unseen, found["dev"].named_pictures, found["dev"].pictures) == (1, 1, 0)


def test_mentions_with_boxes_are_counted():
    boxes = ((0.0, 0.0, 1.0, 1.0), (1.0, 1.0, 2.0, 2.0))
    spans = (Span(0, 1, "PER", boxes=boxes), Span(1, 2, "PER", boxes=()), Span(2, 3, "PER"))
    found = compute_stats({"dev": [make_post("a b c", "1", *spans)]})["dev"]
    assert (found.shown, found.not_shown, found.boxes) == (1, 1, 2)

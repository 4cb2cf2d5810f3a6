"""Comparison of two runs on the same posts, with significance tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.formats.conll import read_conll
from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.ner.metrics.significance import SAMPLES, SEED, Difference, compare
from ita_pipeline.runs.run import TEXT, TEXT_AND_IMAGE, Run
from stages.base import Frozen

HINT = "compare runs of the same dataset; ita train makes them"


class Comparison(Frozen):
    """The differences of run B from run A on one split, in both views."""

    a: str
    b: str
    split: str
    posts: int
    mentions: int
    seed: int
    views: Mapping[str, Difference]

    def to_json(self) -> dict[str, Any]:
        """Return the content of `ita compare --json`."""
        return {"schema": "ita.compare/1", **self.model_dump()}


def compare_runs(a: Run, b: Run, split: str = "test", samples: int = SAMPLES, seed: int = SEED) -> Comparison:
    """Compare the predictions in the folders of two runs.

    Raises:
        MissingError: a run has no predictions of the split.
        UsageError: the runs have different posts or different gold mentions.
    """
    views: dict[str, Difference] = {}
    gold: list[tuple[Span, ...]] = []
    for view in (TEXT, TEXT_AND_IMAGE):
        files = [run.predictions(split, view) for run in (a, b)]
        posts_a, posts_b = (read_conll(file, column=-2) for file in files)
        _check_same_posts(posts_a, posts_b, a, b)
        predicted_a, predicted_b = (_spans(read_conll(file)) for file in files)
        gold = _spans(posts_a)
        views[view] = compare(gold, predicted_a, predicted_b, samples, seed)
    return Comparison(
        a=str(a.folder),
        b=str(b.folder),
        split=split,
        posts=len(gold),
        mentions=sum(map(len, gold)),
        seed=seed,
        views=views,
    )


def _spans(posts: Sequence[Post]) -> list[tuple[Span, ...]]:
    return [post.gold or () for post in posts]


def _check_same_posts(posts_a: Sequence[Post], posts_b: Sequence[Post], a: Run, b: Run) -> None:
    """Raise `UsageError` at the first difference between the posts of two runs."""
    both = f"{a.folder} and {b.folder}"
    if not posts_a:
        raise UsageError(f"{a.folder} has no posts to compare on", HINT)
    if len(posts_a) != len(posts_b):
        raise UsageError(f"{both} were tested on different posts: {len(posts_a)} and {len(posts_b)}", HINT)
    for number, (left, right) in enumerate(zip(posts_a, posts_b, strict=True), 1):
        if left.words != right.words:
            raise UsageError(f"{both} were tested on different posts: the words of post {number} differ", HINT)
        if left.gold != right.gold:
            what = f"the gold mentions of post {number} differ: {_gold_mentions(left)} and {_gold_mentions(right)}"
            raise UsageError(f"{both} were tested on other labels: {what}", HINT)


def _gold_mentions(post: Post) -> str:
    return json.dumps([f"{' '.join(post.words[s.start : s.end])} {s.type}" for s in post.gold or ()])

"""Two runs on the same posts: is one better, or was it chance?"""

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


class Comparison(Frozen):
    """Run B against run A on one split, in both views."""

    a: str
    b: str
    split: str
    posts: int
    mentions: int
    seed: int
    views: Mapping[str, Difference]

    def to_json(self) -> dict[str, Any]:
        return {"schema": "ita.compare/1", **self.model_dump()}


def compare_runs(a: Run, b: Run, split: str = "test", samples: int = SAMPLES, seed: int = SEED) -> Comparison:
    """Compare what two runs wrote into their folders.

    Raises:
        MissingError: a run has no predictions of the split.
        UsageError: the runs were not asked about the same posts, or they have other gold mentions.
    """
    views: dict[str, Difference] = {}
    posts: Sequence[Post] = ()
    for view in (TEXT, TEXT_AND_IMAGE):
        files = [run.predictions(split, view) for run in (a, b)]
        posts, others = (read_conll(file, column=-2) for file in files)
        check_same(posts, others, a, b)
        first, second = (spans(read_conll(file)) for file in files)
        views[view] = compare(spans(posts), first, second, samples, seed)
    return Comparison(
        a=str(a.folder),
        b=str(b.folder),
        split=split,
        posts=len(posts),
        mentions=sum(map(len, spans(posts))),
        seed=seed,
        views=views,
    )


def spans(posts: Sequence[Post]) -> list[tuple[Span, ...]]:
    return [post.gold or () for post in posts]


def check_same(one: Sequence[Post], other: Sequence[Post], a: Run, b: Run) -> None:
    """Raises `UsageError` at the first difference between the posts of two runs."""
    where = f"{a.folder} and {b.folder}"
    hint = "compare runs of the same dataset; ita train makes them"
    if not one:
        raise UsageError(f"{a.folder} has no posts to compare on", hint)
    if len(one) != len(other):
        raise UsageError(f"{where} were tested on different posts: {len(one)} and {len(other)}", hint)
    for number, (left, right) in enumerate(zip(one, other, strict=True), 1):
        if left.words != right.words:
            raise UsageError(f"{where} were tested on different posts: the words of post {number} differ", hint)
        if left.gold != right.gold:
            what = f"the gold mentions of post {number} differ: {told(left)} and {told(right)}"
            raise UsageError(f"{where} were tested on other labels: {what}", hint)


def told(post: Post) -> str:
    return json.dumps([f"{' '.join(post.words[s.start : s.end])} {s.type}" for s in post.gold or ()])

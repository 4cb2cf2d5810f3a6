"""Runs with predictions, without training them."""

from __future__ import annotations

from pathlib import Path

from ita_pipeline.corpus.formats.conll import format_conll
from ita_pipeline.corpus.posts import Post, Span, join_words
from ita_pipeline.runs.run import TEXT, TEXT_AND_IMAGE, Run, RunScores

GOLD = [[Span(0, 1, "PER")], [Span(1, 2, "LOC")], []]
NOTHING: list[list[Span]] = [[], [], []]


def finished_run(
    name: str, text: list[list[Span]], both: list[list[Span]], words: str = "Ada Ashby", gold: object = GOLD
) -> Run:
    """Write a run whose predictions for three posts are these mentions, in view T and in view I+T."""
    finished = Run(Path("runs") / "mine" / name)
    (finished.folder / "predictions").mkdir(parents=True)
    sentence, offsets = join_words(tuple(words.split()))
    posts = [Post(str(n), sentence, tuple(words.split()), offsets, gold=tuple(g)) for n, g in enumerate(gold)]
    for view, mentions in ((TEXT, text), (TEXT_AND_IMAGE, both)):
        finished.predictions("test", view).write_text(format_conll(zip(posts, mentions, strict=True)))
    (finished.folder / "run.json").write_text("{}")
    finished.finish(RunScores(splits={}))
    return finished

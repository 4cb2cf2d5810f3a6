"""Runs with predictions, without training them."""

from __future__ import annotations

import os
from pathlib import Path

from ita_pipeline.corpus.contexts import ContextConfig
from ita_pipeline.corpus.formats.conll import format_conll
from ita_pipeline.corpus.posts import Post, Span, join_words
from ita_pipeline.ner.config import TrainingConfig
from ita_pipeline.ner.metrics.scores import Score, Scores
from ita_pipeline.runs.run import TEXT, TEXT_AND_IMAGE, Run, RunRecord, RunScores, ViewScores, run_at

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


def finished(key: str, record: str = "{}") -> Run:
    """Write a run of the dataset `mine` that has no results."""
    run = run_at(Path("runs"), "mine", key)
    run.folder.mkdir(parents=True, exist_ok=True)
    (run.folder / "run.json").write_text(record)
    run.finish(RunScores(splits={}))
    return run


def write_scored_run(key: str, f1: float, dev: str = "posts", finished: float = 0, seed: int = 1) -> Run:
    """Write a run of the dataset `mine` with these scores, its dev posts, and the time when it was finished."""
    score = Scores(micro=Score(precision=f1, recall=f1, f1=f1, support=4), types={}, macro_f1=f1)
    views = ViewScores(text=score, text_and_image=score)
    run = run_at(Path("runs"), "mine", key)
    run.folder.mkdir(parents=True)
    record = RunRecord(
        key=key,
        components={"sentences": {"dev": dev}},
        dataset="mine",
        command="ita train",
        preset="bundled",
        stages={},
        stage_keys={},
        contexts=ContextConfig(),
        captions="",
        encoder="bert",
        encoder_identity="",
        training=TrainingConfig(seed=seed),
        types=("PER",),
        posts={},
        with_context=0,
        trimmed_subtokens=0,
        vanished_words=0,
        best_epoch=1,
    )
    (run.folder / "run.json").write_text(record.model_dump_json())
    run.finish(RunScores(splits={"dev": views, "test": views}))
    os.utime(run.scores_file, (finished, finished))
    return run

"""What lies in a run's folder about a split is what was found in it."""

from __future__ import annotations

import json
from pathlib import Path

from ita_pipeline.corpus.formats.conll import read_conll
from ita_pipeline.corpus.posts import Post, Span, join_words
from ita_pipeline.ner.prediction import ScoredSpan, ViewPredictions
from ita_pipeline.ner.views import EncodedPost, View
from ita_pipeline.runs.results import write_split
from ita_pipeline.runs.run import TEXT, TEXT_AND_IMAGE, Run, RunAnalysis

VIEW = View(((0, 5, 6, 1),), ((0, 1), (0, 2)))


def example(number: int, *words: str) -> EncodedPost:
    text, offsets = join_words(words)
    gold = (Span(0, 1, "PER"),) if words else ()
    return EncodedPost(Post(str(number), text, words, offsets, gold=gold), VIEW, VIEW if number % 2 else None)


def test_both_views_are_written_with_spans_and_scores():
    run = Run(Path("runs/mine/a"))
    run.folder.mkdir(parents=True)
    examples = [example(0, "Ada", "sings"), example(1, "Bob", "runs"), example(2)]
    text: list[list[ScoredSpan]] = [[ScoredSpan(Span(0, 1, "PER"), 0.75)], [], []]
    both: list[list[ScoredSpan]] = [text[0], [ScoredSpan(Span(0, 1, "PER"), 0.5)], []]
    result = write_split(run, "test", examples, ViewPredictions(text, both), frozenset({"ada"}))
    assert (result.scores.text.micro.recall, result.scores.text_and_image.micro.recall) == (0.5, 1)
    assert (result.analysis.text.seen.support, result.analysis.text.unseen.support) == (1, 1)
    predicted = read_conll(run.predictions("test", TEXT))
    assert [post.gold for post in predicted] == [(Span(0, 1, "PER"),), ()]
    gold = read_conll(run.predictions("test", TEXT), column=-2)
    assert [post.gold for post in gold] == [(Span(0, 1, "PER"),)] * 2
    lines = [json.loads(line) for line in run.mentions("test", TEXT_AND_IMAGE).read_text().splitlines()]
    assert [line["view"] for line in lines] == ["text", "text+image"]
    assert lines[1]["mentions"] == [{"start": 0, "end": 3, "text": "Bob", "type": "PER", "score": 0.5}]
    analysis = RunAnalysis(splits={"test": result.analysis})
    assert RunAnalysis.from_json(analysis.to_json()) == analysis
    assert json.loads(analysis.to_json())["test"]["text"]["errors"]["missed"] == 1

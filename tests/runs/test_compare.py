"""Tests of the comparison of two runs on the same posts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ita_pipeline.cli import app
from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.corpus.formats.conll import format_conll
from ita_pipeline.corpus.posts import Post, Span, join_words
from ita_pipeline.runs.compare import compare_runs
from ita_pipeline.runs.run import TEXT, TEXT_AND_IMAGE, Run, RunScores

GOLD = [[Span(0, 1, "PER")], [Span(1, 2, "LOC")], []]
NOTHING: list[list[Span]] = [[], [], []]


def run(
    name: str, text: list[list[Span]], both: list[list[Span]], words: str = "Ada Ashby", gold: object = GOLD
) -> Run:
    """A finished run that mentions these mentions in three posts."""
    finished = Run(Path("runs") / "mine" / name)
    (finished.folder / "predictions").mkdir(parents=True)
    sentence, offsets = join_words(tuple(words.split()))
    posts = [Post(str(n), sentence, tuple(words.split()), offsets, gold=tuple(g)) for n, g in enumerate(gold)]
    for view, mentions in ((TEXT, text), (TEXT_AND_IMAGE, both)):
        finished.predictions("test", view).write_text(format_conll(zip(posts, mentions, strict=True)))
    (finished.folder / "run.json").write_text("{}")
    finished.finish(RunScores(splits={}))
    return finished


def test_runs_are_compared_in_both_views():
    comparison = compare_runs(run("a", NOTHING, GOLD), run("b", GOLD, GOLD), samples=200)
    assert (comparison.posts, comparison.mentions, comparison.split) == (3, 2, "test")
    assert (comparison.views[TEXT].a, comparison.views[TEXT].b) == (0, 1)
    assert comparison.views[TEXT_AND_IMAGE].difference == 0


def test_runs_with_different_posts_or_labels_are_refused():
    a = run("a", GOLD, GOLD)
    with pytest.raises(UsageError, match="the words of post 1 differ"):
        compare_runs(a, run("b", GOLD, GOLD, words="Ada Marlow"))
    with pytest.raises(UsageError, match="different posts: 3 and 2"):
        compare_runs(a, run("c", GOLD[:2], GOLD[:2], gold=GOLD[:2]))
    with pytest.raises(UsageError, match=r'post 2 differ: \["Ashby LOC"\] and \["Ashby ORG"\]'):
        compare_runs(a, run("d", GOLD, GOLD, gold=[GOLD[0], [Span(1, 2, "ORG")], []]))
    with pytest.raises(MissingError, match="dev"):
        compare_runs(a, a, split="dev")


def test_the_command_prints_a_table_or_json():
    run("a", NOTHING, GOLD)
    run("b", GOLD, GOLD)
    answer = CliRunner().invoke(app, ["compare", "mine/a", "runs/mine/b", "--samples", "200"])
    assert answer.exit_code == 0
    header, text, both = answer.stdout.splitlines()
    assert header.split("  ")[0] == "view"
    assert text.split()[:4] == ["T", "0.00", "100.00", "+100.00"]
    assert both.split()[-1] == "1.0000"
    assert "3 posts of test with 2 mentions; 200 samples" in answer.stderr
    content = json.loads(CliRunner().invoke(app, ["compare", "mine/a", "mine/b", "--json"]).stdout)
    assert content["schema"] == "ita.compare/1"
    assert set(content["views"]["text+image"]) == {"a", "b", "difference", "bootstrap", "randomisation"}
    assert content["views"]["text"]["bootstrap"].keys() == {"samples", "low", "high", "not_better"}

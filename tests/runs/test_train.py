"""Tests of training runs: locked work folders, rendered contexts, and the files of a split."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.formats.conll import Layout, read_conll
from ita_pipeline.corpus.posts import Post, Span, join_words
from ita_pipeline.extraction import contexts
from ita_pipeline.ner.metrics.errors import ErrorKind
from ita_pipeline.ner.prediction import ScoredSpan, ViewPredictions
from ita_pipeline.ner.views import EncodedPost, View
from ita_pipeline.runs.lookup import find_run, last_run
from ita_pipeline.runs.results import write_split
from ita_pipeline.runs.run import TEXT, TEXT_AND_IMAGE, Run, RunAnalysis, RunScores, run_at
from ita_pipeline.runs.train import exclusive_workdir, workdir_path
from tests.support.fakes import draw, ita_here
from tests.support.messages import logged_messages
from tests.support.tiny_encoder import build_bert

RUN = run_at(Path("runs"), "mine", "a" * 64)


def finish(run: Run) -> None:
    run.folder.mkdir(parents=True)
    (run.folder / "run.json").write_text("{}")
    run.finish(RunScores(splits={}))


def test_the_work_folder_remains_until_the_run_is_finished():
    with logged_messages() as messages, exclusive_workdir(RUN) as folder:
        (folder / "checkpoints").mkdir()
    with logged_messages() as more, exclusive_workdir(RUN) as again:
        assert again == folder
        assert (again / "checkpoints").is_dir()
        finish(RUN)
    assert not folder.exists()
    assert messages == more == []


def test_the_work_folder_of_another_run_is_reported_and_kept():
    other = run_at(Path("runs"), "mine", "b" * 64)
    (workdir_path(other) / "checkpoints").mkdir(parents=True)
    with logged_messages() as messages, exclusive_workdir(RUN) as folder:
        assert list(folder.iterdir()) == [folder / "lock"]
    assert messages == [f"{workdir_path(other)} is unfinished and of other inputs; remove it if it is not wanted"]
    assert workdir_path(other).is_dir()


def test_the_work_folder_of_a_run_in_training_is_not_reported():
    other = run_at(Path("runs"), "mine", "b" * 64)
    with exclusive_workdir(other) as in_use, logged_messages() as messages:
        (in_use / "checkpoints").mkdir()
        with exclusive_workdir(RUN):
            pass
    assert messages == []


def test_an_unfinished_run_is_not_found():
    hidden = Run(workdir_path(RUN))
    finish(hidden)
    assert last_run(Path("runs"), "mine") is None
    finish(RUN)
    assert find_run("mine", Path("runs")).folder == RUN.folder


def test_a_folder_without_a_finished_run_is_not_overwritten():
    RUN.folder.mkdir(parents=True)
    with pytest.raises(UsageError, match="contains no finished run"), exclusive_workdir(RUN):
        pass


SCRIPT = """
import sys
from pathlib import Path
from ita_pipeline.runs.run import Run, RunScores
from ita_pipeline.runs.train import exclusive_workdir

run = Run(Path(sys.argv[1]))
with exclusive_workdir(run) as folder:
    (folder / "begun").touch()
    sys.stdin.read()
    run.folder.mkdir()
    run.finish(RunScores(splits={}))
"""
WAITING = "another process is training this very run; waiting for it"


@contextmanager
def other_process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has the work folder, and finishes the run when its standard input ends."""
    command = [sys.executable, "-c", SCRIPT, str(RUN.folder)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as process:
        while not (workdir_path(RUN) / "begun").exists():
            assert process.poll() is None
        yield process


@contextmanager
def when_waiting(action: Callable[[], object]) -> Iterator[list[str]]:
    """Call a function as soon as this process waits; gives the messages."""

    def act(record: logging.LogRecord) -> bool:
        action()
        return True

    logger = logging.getLogger("ita_pipeline.runs.train")
    logger.addFilter(act)
    try:
        with logged_messages() as messages:
            yield messages
    finally:
        logger.removeFilter(act)


def test_a_second_process_waits_until_the_first_is_killed():
    with other_process() as process, when_waiting(process.kill) as messages, exclusive_workdir(RUN) as folder:
        assert (folder / "begun").exists()
    assert messages == [WAITING]


def test_a_second_process_waits_until_the_first_finishes_the_run():
    with other_process() as process:
        assert process.stdin is not None
        with when_waiting(process.stdin.close) as messages, exclusive_workdir(RUN):
            assert RUN.is_complete
    assert process.returncode == 0
    assert messages == [WAITING]
    assert not workdir_path(RUN).exists()


def test_the_contexts_of_each_post_are_rendered_once(monkeypatch: pytest.MonkeyPatch):
    build_bert(Path("bert"))
    draw(Path("mine/a.png"), "red", (300, 200))
    lines = [
        {
            "text": f"hi kim {n}",
            "split": split,
            "image": "a.png",
            "mentions": [{"start": 3, "end": 6, "type": "PER"}],
        }
        for split in ("train", "dev", "test")
        for n in range(2)
    ]
    Path("mine/tweets.jsonl").write_text("\n".join(map(json.dumps, lines)))
    rendered: list[object] = []
    list_pieces = contexts.list_pieces

    def counting(*arguments: Any) -> tuple[str, ...]:
        rendered.append(arguments)
        return list_pieces(*arguments)

    monkeypatch.setattr(contexts, "list_pieces", counting)
    # The report renders the contexts of the posts that it shows.
    monkeypatch.setattr("ita_pipeline.api.train.report_run", lambda *_: None)
    settings = ("--preset", "bundled", "--encoder", "bert", "--contexts", "ocr", "--set", "training.epochs=1")
    answer = ita_here("train", "--dataset", "mine", *settings)
    assert answer.code == 0, answer.err
    assert len(rendered) == len(lines)


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
    scores, split_analysis = write_split(run, "test", examples, ViewPredictions(text, both), frozenset({"ada"}))
    assert (scores.text.micro.recall, scores.text_and_image.micro.recall) == (0.5, 1)
    assert (split_analysis.text.seen.support, split_analysis.text.unseen.support) == (1, 1)
    predicted = read_conll(run.predictions("test", TEXT))
    assert [post.gold for post in predicted] == [(Span(0, 1, "PER"),), ()]
    gold = read_conll(run.predictions("test", TEXT), layout=Layout(token=0, tag=-2))
    assert [post.gold for post in gold] == [(Span(0, 1, "PER"),)] * 2
    lines = [json.loads(line) for line in run.mentions("test", TEXT_AND_IMAGE).read_text().splitlines()]
    assert [line["view"] for line in lines] == ["text", "text+image"]
    assert lines[1]["mentions"] == [{"start": 0, "end": 3, "text": "Bob", "type": "PER", "score": 0.5}]
    analysis = RunAnalysis(splits={"test": split_analysis})
    assert RunAnalysis.from_json(analysis.to_json()) == analysis
    assert json.loads(analysis.to_json())["test"]["text"]["errors"]["missed"] == 1


def test_a_gold_mention_that_cuts_a_word_counts_as_missed_and_is_read_back():
    run = Run(Path("runs/mine/a"))
    run.folder.mkdir(parents=True)
    text, offsets = join_words(("#TeamLondon", "wins"))
    partial = Span(0, 1, "LOC", partial=True)
    post = Post("1", text, ("#TeamLondon", "wins"), offsets, gold=(partial,))
    widened: list[list[ScoredSpan]] = [[ScoredSpan(Span(0, 1, "LOC"), 0.9)]]
    outcome = ViewPredictions(widened, widened)
    scores, analysis = write_split(run, "test", [EncodedPost(post, VIEW, None)], outcome, frozenset())
    assert (scores.text.micro.f1, scores.text.micro.support) == (0, 1)
    assert analysis.text.errors[ErrorKind.BOUNDARY] == 1
    (found,) = run.read_gold("test", TEXT)
    assert (found.words, found.gold) == (post.words, (partial,))

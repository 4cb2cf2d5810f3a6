"""Tests of prediction into part files: in constant memory, and without repeating finished posts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import ita_pipeline as ita
from ita_pipeline.corpus.posts import Post
from ita_pipeline.runs.bulk_predict import PredictionCounts
from ita_pipeline.runs.predictions import PartFormat
from tests.support.fakes import draw, ita_here
from tests.support.trained_run import predict_small_parts, read_parts
from tests.support.trained_run import trained as trained  # a fixture


def posts(count: int) -> list[Post]:
    picture = draw(Path("in/a.png"))
    return [Post.from_text(f"hi kim {n}", picture if n == 1 else None, str(n)) for n in range(count)]


def test_parts_contain_the_predictions_in_the_order_of_the_posts(trained: Path):
    counts = predict_small_parts(trained, posts(5), 2)
    assert counts == PredictionCounts(now=5, before=0, failed=0)
    assert len(list(Path("out").glob("part-*.jsonl"))) == 3
    written = read_parts(Path("out"))
    assert [row["number"] for row in written] == [1, 2, 3, 4, 5]
    predictions = [{name: row[name] for name in ("schema", "id", "text", "view", "mentions")} for row in written]
    assert predictions == [one.to_json() for one in ita.predict(trained, posts(5))]


def test_predicted_posts_are_skipped_unless_they_changed(trained: Path):
    ita.predict_parts(trained, posts(3), "out", form=PartFormat.PARQUET)
    again = posts(4)
    again[0] = Post.from_text("hi lou", id="0")
    counts = ita.predict_parts(trained, again, "out", form=PartFormat.PARQUET)
    assert counts == PredictionCounts(now=2, before=2, failed=0)
    draw(Path("in/a.png"), "blue", (9, 9))
    assert ita.predict_parts(trained, again, "out", form=PartFormat.PARQUET) == PredictionCounts(
        now=1, before=3, failed=0
    )


def test_a_duplicate_post_is_predicted_once(trained: Path):
    twice = [Post.from_text("hi kim", id="1"), Post.from_text("hi kim", id="1"), Post.from_text("hi kim", id="2")]
    assert ita.predict_parts(trained, twice, "out") == PredictionCounts(now=2, before=1, failed=0)
    assert [row["number"] for row in read_parts(Path("out"))] == [1, 3]


def test_an_interrupted_prediction_continues_with_the_next_part(trained: Path):

    def torn() -> Iterator[Post]:
        yield from posts(5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_small_parts(trained, torn(), 2)
    assert [row["number"] for row in read_parts(Path("out"))] == [1, 2, 3, 4]
    assert ita.predict_parts(trained, posts(5), "out") == PredictionCounts(now=1, before=4, failed=0)
    assert [row["id"] for row in read_parts(Path("out"))] == ["0", "1", "2", "3", "4"]


def test_an_unreadable_image_is_reported_and_the_text_is_predicted(trained: Path):
    Path("bad.png").write_bytes(b"no picture")
    Path("posts.jsonl").write_text(json.dumps({"id": "7", "text": "hi kim", "image": "bad.png"}) + "\n")
    answer = ita_here("predict", trained, "posts.jsonl", "--parts", "out")
    (row,) = read_parts(Path("out"))
    assert row["view"] == "text"
    assert answer.code == 1
    assert "7: its picture was not read: " in answer.err
    again = ita_here("predict", trained, "posts.jsonl", "--parts", "out")
    assert "predicted 0 posts in out (1 predicted before)" in again.err


def test_the_ray_engine_requires_a_folder_of_parts(trained: Path):
    answer = ita_here("predict", trained, "--text", "hi", "--engine", "ray")
    assert answer.code == 2
    assert "--parts FOLDER" in answer.err

"""Prediction at scale on this machine: bit by bit, and nothing twice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ita_pipeline as ita
from ita_pipeline.api.predict import open_part_writer
from ita_pipeline.cache.store import Workspace
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.corpus.posts import Post
from ita_pipeline.engines.ray.cluster import RayPool
from ita_pipeline.runs.bulk_predict import PredictionCounts, predict_into
from ita_pipeline.runs.predictions import PartFolder, PartFormat
from ita_pipeline.runs.predictor import Predictor
from ita_pipeline.runs.run import Run
from tests.runs.test_predictor import trained as trained  # a fixture
from tests.support.fakes import draw, ita_here


def rows(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("part-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def posts(count: int) -> list[Post]:
    picture = draw(Path("in/a.png"))
    return [Post.from_text(f"hi kim {n}", picture if n == 1 else None, str(n)) for n in range(count)]


def predict_small_parts(
    run: Path, posts: Iterable[Post], posts_per_part: int, ray: RayPool | None = None, workspace: Path = Path()
) -> PredictionCounts:
    """Do what `predict_parts` does, with parts of another size."""
    predictor = Predictor(Run(run), Workspace(workspace).store)
    parts = PartFolder.open(Path("out"), predictor.record.key, 0.0, PartFormat.JSONL)
    with open_part_writer(predictor, parts, ray, posts_per_part) as writer:
        return predict_into(writer, posts, NoProgress())


def test_parts_say_what_predict_says_in_the_order_of_the_source(trained: Path):
    counts = predict_small_parts(trained, posts(5), 2)
    assert counts == PredictionCounts(now=5, before=0, failed=0)
    assert len(list(Path("out").glob("part-*.jsonl"))) == 3
    written = rows(Path("out"))
    assert [row["number"] for row in written] == [1, 2, 3, 4, 5]
    predictions = [{name: row[name] for name in ("schema", "id", "text", "view", "mentions")} for row in written]
    assert predictions == [one.to_json() for one in ita.predict(trained, posts(5))]


def test_what_is_answered_is_not_answered_again_and_what_changed_is(trained: Path):
    ita.predict_parts(trained, posts(3), "out", form=PartFormat.PARQUET)
    again = posts(4)
    again[0] = Post.from_text("hi lou", id="0")
    counts = ita.predict_parts(trained, again, "out", form=PartFormat.PARQUET)
    assert counts == PredictionCounts(now=2, before=2, failed=0)
    draw(Path("in/a.png"), "blue", (9, 9))
    assert ita.predict_parts(trained, again, "out", form=PartFormat.PARQUET) == PredictionCounts(
        now=1, before=3, failed=0
    )


def test_the_same_post_given_twice_is_answered_once(trained: Path):
    twice = [Post.from_text("hi kim", id="1"), Post.from_text("hi kim", id="1"), Post.from_text("hi kim", id="2")]
    assert ita.predict_parts(trained, twice, "out") == PredictionCounts(now=2, before=1, failed=0)
    assert [row["number"] for row in rows(Path("out"))] == [1, 3]


def test_stopped_midway_it_goes_on_with_the_next_part(trained: Path):

    def torn() -> Iterator[Post]:
        yield from posts(5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_small_parts(trained, torn(), 2)
    assert [row["number"] for row in rows(Path("out"))] == [1, 2, 3, 4]
    assert ita.predict_parts(trained, posts(5), "out") == PredictionCounts(now=1, before=4, failed=0)
    assert [row["id"] for row in rows(Path("out"))] == ["0", "1", "2", "3", "4"]


def test_a_picture_that_cannot_be_read_is_told_and_the_text_is_answered(trained: Path):
    Path("bad.png").write_bytes(b"no picture")
    Path("posts.jsonl").write_text(json.dumps({"id": "7", "text": "hi kim", "image": "bad.png"}) + "\n")
    answer = ita_here("predict", trained, "posts.jsonl", "--parts", "out")
    (row,) = rows(Path("out"))
    assert row["view"] == "text"
    assert answer.code == 1
    assert "7: its picture was not read: " in answer.err
    again = ita_here("predict", trained, "posts.jsonl", "--parts", "out")
    assert "0 posts are answered in out, and 1 were before" in again.err


def test_ray_and_parts_belong_together(trained: Path):
    answer = ita_here("predict", trained, "--text", "hi", "--engine", "ray")
    assert answer.code == 2
    assert "--parts FOLDER" in answer.err

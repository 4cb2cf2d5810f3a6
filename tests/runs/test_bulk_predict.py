"""Prediction at scale on this machine: bit by bit, and nothing twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ita_pipeline as ita
from ita_pipeline.corpus.posts import Post
from ita_pipeline.runs import bulk_predict
from ita_pipeline.runs.part_files import Form
from tests.runs.test_predictor import trained as trained  # a fixture
from tests.support.fakes import draw, ita_here


def rows(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("part-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def posts(count: int) -> list[Post]:
    picture = draw(Path("in/a.png"))
    return [Post.from_text(f"hi kim {n}", picture if n == 1 else None, str(n)) for n in range(count)]


def test_parts_say_what_predict_says_in_the_order_of_the_source(trained: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bulk_predict, "PART", 2)
    found = ita.predict_parts(trained, posts(5), "out")
    assert found == bulk_predict.Predicted(now=5, before=0, failed=0)
    assert len(list(Path("out").glob("part-*.jsonl"))) == 3
    mine = rows(Path("out"))
    assert [row["number"] for row in mine] == [1, 2, 3, 4, 5]
    named = [{name: row[name] for name in ("schema", "id", "text", "view", "mentions")} for row in mine]
    assert named == [one.to_json() for one in ita.predict(trained, posts(5))]


def test_what_is_answered_is_not_answered_again_and_what_changed_is(trained: Path):
    ita.predict_parts(trained, posts(3), "out", form=Form.PARQUET)
    again = posts(4)
    again[0] = Post.from_text("hi lou", id="0")
    found = ita.predict_parts(trained, again, "out", form=Form.PARQUET)
    assert found == bulk_predict.Predicted(now=2, before=2, failed=0)
    draw(Path("in/a.png"), "blue", (9, 9))
    assert ita.predict_parts(trained, again, "out", form=Form.PARQUET) == bulk_predict.Predicted(
        now=1, before=3, failed=0
    )


def test_the_same_post_given_twice_is_answered_once(trained: Path):
    twice = [Post.from_text("hi kim", id="1"), Post.from_text("hi kim", id="1"), Post.from_text("hi kim", id="2")]
    assert ita.predict_parts(trained, twice, "out") == bulk_predict.Predicted(now=2, before=1, failed=0)
    assert [row["number"] for row in rows(Path("out"))] == [1, 3]


def test_stopped_midway_it_goes_on_with_the_next_part(trained: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bulk_predict, "AT_ONCE", 2)

    def torn() -> Iterator[Post]:
        yield from posts(5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ita.predict_parts(trained, torn(), "out")
    assert [row["number"] for row in rows(Path("out"))] == [1, 2, 3, 4]
    assert ita.predict_parts(trained, posts(5), "out") == bulk_predict.Predicted(now=1, before=4, failed=0)
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

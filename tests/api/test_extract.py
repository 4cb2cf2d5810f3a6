"""The Python twin of the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

import ita_pipeline as ita
from ita_pipeline.core.errors import MissingError
from tests.support.fakes import draw


def test_extract_runs_stale_stages_once():
    draw(Path("images/a.png"))
    options = ita.Options(preset="bundled", stages=("objects",))
    first, second = ita.extract("images/", options), ita.extract("images/", options)
    assert [(outcome.fresh, outcome.done) for outcome in first.stages] == [(0, 1)]
    assert [(outcome.fresh, outcome.done) for outcome in second.stages] == [(1, 0)]
    assert first.clean


def test_loading_a_missing_run_raises_an_error():
    with pytest.raises(MissingError):
        ita.load("nowhere")


def test_a_post_from_a_text():
    draw(Path("pictures/7.jpg"))
    post = ita.Post.from_text("hi @ada!", "pictures/7.jpg")
    assert post.words == ("hi", "@ada", "!")
    assert (post.image_id, post.picture) == ("7", Path("pictures/7.jpg"))
    assert post.gold is None

"""Mentions that an open-vocabulary detector is asked for, with small random weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ita_pipeline.api import predict
from ita_pipeline.cache.store import Workspace
from ita_pipeline.corpus.posts import Picture, Post, Span
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.grounding.evidence import Candidate, Evidence
from ita_pipeline.grounding.grounder import Grounder
from ita_pipeline.grounding.linear import Logistic
from ita_pipeline.runs.queries import MentionSearch, list_queries
from ita_pipeline.runs.run import Run
from ita_pipeline.server.service import PredictionService
from ita_pipeline.sources.local import LocalFile, hash_file
from ita_pipeline.sources.refs import ImageRef
from tests.runs.test_grounding import write_posts
from tests.support.datasets import make_post
from tests.support.fakes import draw, ita_here
from tests.support.tiny_detectors import build_owl

ADA, ACME = Span(0, 2, "PER"), Span(3, 6, "ORG")


def test_the_words_and_the_type_of_each_mention_are_asked_for_once():
    post = make_post("Ada Lovelace at U. S. Steel and #Foo_Bar", "1")
    spans = [ADA, ACME, Span(7, 8, "sports_team"), ADA]
    queries = ("Ada Lovelace", "person", "U S Steel", "logo", "Foo_Bar", "sports team")
    assert list_queries(post, spans) == queries


def test_results_are_found_for_the_posts_with_pictures_and_cached(tmp_path: Path):
    draw(tmp_path / "a.png", "red", (64, 48))
    pictures = (Picture("a.png", tmp_path / "a.png"),)
    posts = [make_post("Ada Lovelace", "1"), Post.from_words("2", ("Ada", "Lovelace"))]
    posts[1] = Post(posts[1].id, posts[1].text, posts[1].words, posts[1].offsets, None, pictures)
    store = Workspace(tmp_path).store
    with SubprocessExecutor() as executor:
        search = MentionSearch.open({"detector": str(build_owl(tmp_path / "owl"))}, store, executor)
        without, found = search.find(posts, [[ADA], [ADA]])
        assert without == ()
        assert {one.label for one in found} <= {"Ada Lovelace", "person"}
        assert all(one.is_query for one in found)
        executor.close()
        assert search.find(posts, [[ADA], [ADA]]) == [without, found]
        image = ImageRef(hash_file(tmp_path / "a.png"), LocalFile(tmp_path / "a.png"))
        executor.open(search.stage)
        assert search.look(image, posts[1], [ADA]) == found
        assert search.look(image, posts[1], []) == ()


def test_a_box_that_was_asked_for_by_name_is_preferred():
    grounder = Grounder(Logistic.from_prior({"bias": 3.0}))
    named = Candidate((0.0, 0.0, 20.0, 20.0), "U S Steel", 0.6, is_query=True)
    other = Candidate((50.0, 50.0, 90.0, 90.0), "Ada Lovelace", 0.6, is_query=True)
    post = make_post("Ada Lovelace at U. S. Steel", "1", image="1")
    (found,) = grounder.ground(post, [ACME], Evidence((100.0, 100.0)).add([named, other]))
    assert (found.boxes, found.why) == ((named.box,), "looks like U S Steel")


def test_a_run_asks_in_training_and_prediction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write_posts(tmp_path)
    build_owl(tmp_path / "owl")
    settings = ["--preset", "bundled", "--encoder", "bert", "--contexts", "objects", "--set", "training.epochs=1"]
    settings += ["--set", "objects.attributes=none", "--set", "grounding.query=mention"]
    refused = ita_here("train", "--dataset", "mine", *settings)
    assert (refused.code, "cannot look for words" in refused.err) == (3, True), refused.err
    answer = ita_here("train", "--dataset", "mine", *settings, "--set", "objects.detector=owl")
    assert answer.code == 0, answer.err
    (folder,) = Path("runs/mine").iterdir()
    assert Run(folder).record().grounding.query == "mention"
    assert (Path(".ita") / "records" / "queries").is_dir() or list(Path(".ita").rglob("queries*"))
    found = ita_here("predict", str(folder), "--text", "hi kim", "--image", "mine/0.png", "--json")
    mentions = json.loads(found.out)["mentions"]
    service = PredictionService(predict.load(folder))
    service.open()
    try:
        with Path("mine/0.png").open("rb") as picture:
            answer = service.predict("hi kim", picture)
    finally:
        service.close()
    assert answer.views.text_and_image is not None
    assert [one.model_dump(mode="json") for one in answer.views.text_and_image] == mentions
    assert not answer.notes


def test_without_boxes_there_is_nothing_to_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    answer = ita_here("train", "--dataset", "example", "--preset", "bundled", "--set", "grounding.query=mentions")
    assert answer.code == 2
    assert "grounding.query" in answer.err

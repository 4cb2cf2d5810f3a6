"""Mentions that an open-vocabulary detector is asked for, with small random weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ita_pipeline.api import predict
from ita_pipeline.cache.store import Workspace
from ita_pipeline.corpus.posts import Picture, Post, Span
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.grounding.config import GroundingConfig
from ita_pipeline.grounding.evidence import Candidate, Evidence, name_of
from ita_pipeline.grounding.features import box_features, list_names
from ita_pipeline.grounding.grounder import Grounder
from ita_pipeline.grounding.linear import Logistic
from ita_pipeline.runs.queries import MentionSearch, list_comparison, list_queries
from ita_pipeline.runs.run import Run
from ita_pipeline.server.service import PredictionService
from ita_pipeline.sources.local import LocalFile, hash_file
from ita_pipeline.sources.refs import ImageRef
from stages.objects.similarity import Comparison
from tests.runs.test_grounding import write_posts
from tests.support.datasets import make_post
from tests.support.fakes import draw, ita_here
from tests.support.tiny_detectors import build_owl
from tests.support.tiny_models import build_clip

ADA, ACME = Span(0, 2, "PER"), Span(3, 6, "ORG")
ADA_SHIP = Span(0, 2, "vessel")


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
        config = GroundingConfig(query="mention", similarity=str(build_clip(tmp_path / "clip")))
        objects = {"detector": str(build_owl(tmp_path / "owl"))}
        search = MentionSearch.open(config, objects, store, executor)
        assert set(search.keys) == {"query", "similarity"}
        known = Evidence((64.0, 48.0)).add([Candidate((0.0, 0.0, 9.0, 9.0), "tv", 0.9)])
        spans = [[ADA], [ADA_SHIP]]
        without, found = search.extend(posts, spans, [known, known])
        assert without == known
        asked = [one for one in found.objects if one.is_query]
        assert {one.label for one in asked} <= {"Ada Lovelace", "vessel"}
        assert {words for words, _, _ in found.shares} == {("ada", "lovelace")}
        assert {box for _, box, _ in found.shares} == {one.box for one in found.objects}
        assert sum(share for _, _, share in found.shares) == pytest.approx(1, abs=1e-5)
        executor.close()
        assert search.extend(posts, spans, [known, known]) == [without, found]
        image = ImageRef(hash_file(tmp_path / "a.png"), LocalFile(tmp_path / "a.png"))
        for stage in search.stages:
            executor.open(stage)
        assert search.look(image, posts[1], [ADA_SHIP], known) == found
        assert search.look(image, posts[1], [], known) == known


def test_people_are_not_compared_with_boxes():
    evidence = Evidence((64.0, 48.0)).add([Candidate((0.0, 0.0, 9.0, 9.0), "tv", 0.9)])
    comparison = list_comparison(make_post("Ada Lovelace at U. S. Steel", "1"), [ADA, ACME], evidence)
    assert comparison == Comparison(texts=("U S Steel",), boxes=((0.0, 0.0, 9.0, 9.0),))


def test_the_object_that_looks_most_like_a_name_is_preferred():
    grounder = Grounder(Logistic.from_prior({"bias": 3.0}))
    objects = [Candidate((x, 0.0, x + 20.0, 20.0), "tv", 0.9) for x in (0.0, 40.0)]
    post = make_post("Ada Lovelace at U. S. Steel", "1", image="1")
    for index in (0, 1):
        shares = tuple((name_of(post, ACME), one.box, 0.99 if one is objects[index] else 0.01) for one in objects)
        evidence = replace(Evidence((100.0, 100.0)).add(objects), shares=shares)
        (found,) = grounder.ground(post, [ACME], evidence)
        assert found.boxes in ((), (objects[index].box,))
        (name,) = list_names(post, [ACME])
        first, second = grounder.box.predict(box_features(name, objects, evidence))
        assert (first > second) == (index == 0)


def test_pictures_that_cannot_be_searched_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "a.png").write_bytes(b"no picture")
    post = make_post("Ada Lovelace", "1")
    post = replace(post, pictures=(Picture("a.png", tmp_path / "a.png"),))
    with SubprocessExecutor() as executor:
        config = GroundingConfig(similarity=str(build_clip(tmp_path / "clip")))
        search = MentionSearch.open(config, {}, Workspace(tmp_path).store, executor)
        known = Evidence((64.0, 48.0)).add([Candidate((0.0, 0.0, 9.0, 9.0), "tv", 0.9)])
        assert search.extend([post], [[ADA_SHIP]], [known]) == [known]
    assert "similarity: mentions were not looked for in 1 picture: " in caplog.text


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
    build_clip(tmp_path / "clip")
    similarity = ["--set", "grounding.similarity=clip"]
    settings = ["--preset", "bundled", "--encoder", "bert", "--contexts", "objects", "--set", "training.epochs=1"]
    settings += ["--set", "objects.attributes=none", "--set", "grounding.query=mention"]
    refused = ita_here("train", "--dataset", "mine", *settings)
    assert (refused.code, "cannot look for words" in refused.err) == (3, True), refused.err
    answer = ita_here("train", "--dataset", "mine", *settings, "--set", "objects.detector=owl", *similarity)
    assert answer.code == 0, answer.err
    (folder,) = Path("runs/mine").iterdir()
    assert Run(folder).record().grounding == GroundingConfig(query="mention", similarity="clip")
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

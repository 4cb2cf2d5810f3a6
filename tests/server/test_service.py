"""Tests of the demo's predictions: consent, and posts that are tagged together."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.contexts import ContextConfig
from ita_pipeline.engines.executor import Limits
from ita_pipeline.extraction.options import Consent
from ita_pipeline.ner.prediction import BATCH_SIZE
from ita_pipeline.runs.predictions import Mention
from ita_pipeline.server.service import PredictionService, RejectedPostError
from stages.caption.schema import CaptionConfig
from stages.caption.stage import CaptionStage
from tests.support.messages import logged_messages


@contextmanager
def service(consent: bool = False) -> Iterator[PredictionService]:
    """A run whose captions come from another machine, as far as that is asked about."""
    stage = CaptionStage(CaptionConfig(endpoint="https://captions.example/v1", model="a-model"))
    record = SimpleNamespace(contexts=ContextConfig())
    predictor: Any = SimpleNamespace(
        stages=[stage], record=record, limits=Limits(), consent=Consent(consent), notes=[], search=None
    )
    prediction_service = PredictionService(predictor)
    try:
        yield prediction_service
    finally:
        prediction_service.close()


def test_pictures_are_not_sent_to_another_machine_without_consent():
    with (
        logged_messages(logging.WARNING) as messages,
        service() as asking,
        pytest.raises(UsageError, match="would send all pictures to captions") as caught,
    ):
        asking.open()
    assert "--yes" in caught.value.hint
    assert messages == ["caption: all pictures leave this machine, for captions.example"]


def test_consent_on_the_command_line_is_logged_and_not_asked_for_again(monkeypatch: pytest.MonkeyPatch):
    opened: list[str] = []
    with logged_messages(logging.WARNING) as messages, service(consent=True) as agreed:
        workers = agreed.stage_workers
        monkeypatch.setattr(workers, "open", lambda: opened.extend(stage.name for stage in workers.stages))
        monkeypatch.setattr(agreed.predictor, "note_stage_changes", lambda keys: None, raising=False)
        monkeypatch.setattr(agreed.predictor, "tag", lambda posts: [()], raising=False)
        agreed.open()
    assert opened == ["caption"]
    assert agreed.stage_workers.stages[0].agreed
    assert len(messages) == 1


class FakePredictor:
    """Marks the whole text of each post; the first batch waits until `release` is set."""

    def __init__(self) -> None:
        self.stages, self.record, self.limits = (), SimpleNamespace(contexts=ContextConfig()), Limits()
        self.notes: list[str] = []
        self.search = None
        self.batches: list[list[str]] = []
        self.started, self.release = threading.Event(), threading.Event()

    def tag(self, posts: Sequence[Any]) -> list[tuple[Mention, ...]]:
        self.batches.append([post.text for post, _ in posts])
        self.started.set()
        self.release.wait(30)
        if any(post.text == "bad" for post, _ in posts):
            raise ValueError("a bad batch")
        return [(Mention(0, len(post.text), post.text, "PER", 0.5),) for post, _ in posts]


def test_posts_that_arrive_while_one_is_tagged_are_tagged_together():
    predictor: Any = FakePredictor()
    texts = [f"post {number}" for number in range(20)]
    prediction_service = PredictionService(predictor)
    with ThreadPoolExecutor(24) as threads:
        first = threads.submit(prediction_service.predict, "first", None)
        predictor.started.wait(30)
        singles = [threads.submit(prediction_service.predict, text, None) for text in texts]
        listed = threads.submit(prediction_service.predict_texts, texts)
        while len(prediction_service.batcher.waiting) < 21:
            time.sleep(0.01)
        predictor.release.set()
        assert first.result().views.text[0].text == "first"
        assert [single.result().views.text[0].text for single in singles] == texts
        assert [response.views.text[0].text for response in listed.result()] == texts
    prediction_service.close()
    assert [sorted(batch) for batch in predictor.batches] == [["first"], sorted(texts * 2)]


def test_a_full_batch_leaves_further_posts_to_the_next_one():
    predictor: Any = FakePredictor()
    prediction_service = PredictionService(predictor)
    with ThreadPoolExecutor(4) as threads:
        threads.submit(prediction_service.predict, "first", None)
        predictor.started.wait(30)
        for _ in range(3):
            threads.submit(prediction_service.predict_texts, ["hi"] * BATCH_SIZE)
        while len(prediction_service.batcher.waiting) < 3:
            time.sleep(0.01)
        predictor.release.set()
    prediction_service.close()
    assert [len(batch) for batch in predictor.batches] == [1, BATCH_SIZE, BATCH_SIZE, BATCH_SIZE]


def test_an_error_of_a_batch_reaches_its_posts_and_no_later_one():
    predictor: Any = FakePredictor()
    predictor.release.set()
    prediction_service = PredictionService(predictor)
    with pytest.raises(ValueError, match="a bad batch"):
        prediction_service.predict("bad", None)
    assert prediction_service.predict("good", None).views.text[0].text == "good"
    prediction_service.close()


def test_a_post_without_contexts_is_tagged_once():
    predictor: Any = FakePredictor()
    predictor.release.set()
    prediction_service = PredictionService(predictor)
    prediction_service.predict("hi kim", None)
    with pytest.raises(RejectedPostError, match="1: text: the post has no words"):
        prediction_service.predict_texts(["hi", " "])
    prediction_service.close()
    assert predictor.batches == [["hi kim"]]

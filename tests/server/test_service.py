from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.contexts import ContextConfig
from ita_pipeline.engines.executor import Limits
from ita_pipeline.server.service import PredictionService
from stages.caption.schema import CaptionConfig
from stages.caption.stage import CaptionStage
from tests.support.messages import logged_messages


@contextmanager
def service(consent: bool = False) -> Iterator[PredictionService]:
    """A run whose captions come from another machine, as far as that is asked about."""
    stage = CaptionStage(CaptionConfig(endpoint="https://captions.example/v1", model="a-model"))
    record = SimpleNamespace(contexts=ContextConfig())
    predictor: Any = SimpleNamespace(
        stages=[stage], record=record, limits=Limits(), consent=consent, confirm=None, notes=[]
    )
    prediction_service = PredictionService(predictor)
    try:
        yield prediction_service
    finally:
        prediction_service.close()


def test_no_picture_is_sent_to_another_machine_unless_somebody_agreed():
    with (
        logged_messages(logging.WARNING) as messages,
        service() as asking,
        pytest.raises(UsageError, match="would send all pictures to captions") as caught,
    ):
        asking.open()
    assert "--yes" in caught.value.hint
    assert messages == ["caption: all pictures leave this machine, for captions.example"]


def test_whoever_agreed_with_the_command_is_told_and_not_asked_again(monkeypatch: pytest.MonkeyPatch):
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

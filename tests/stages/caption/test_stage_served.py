"""Captions over HTTP, from a real server on this machine that misbehaves in every way."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from stages.base import Failure, FailureKind, Postponed, Result, StageError
from stages.caption.schema import CaptionConfig, CaptionValue
from stages.caption.stage import CaptionStage
from stages.llm.client import ChatClient
from tests.support.chat_server import Act, Asked, Behaviour, ChatServer, says, serving
from tests.support.fakes import Answer, draw, ita_here
from tests.support.stages_fixtures import bad_item, item_of, noise

RED, BLUE = Image.new("RGB", (400, 200), "red"), Image.new("RGB", (400, 200), "blue")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChatClient, "back_off", lambda self, tries: 0.01)


def stage_of(server: ChatServer, **settings: object) -> CaptionStage:
    return CaptionStage(CaptionConfig(endpoint=server.url, model="tiny", **settings))


def sent(asked: Asked) -> Image.Image:
    """The picture of a request."""
    url = asked.body["messages"][0]["content"][0]["image_url"]["url"]
    return Image.open(io.BytesIO(base64.b64decode(url.partition("base64,")[2])))


def by_colour(asked: Asked) -> Act:
    red, _, blue = sent(asked).convert("RGB").getpixel((5, 5))  # type: ignore[misc]
    return says("a red\n  square" if red > blue else "a blue square")


def said(results: Sequence[Result]) -> list[str]:
    return [c.text for result in results if isinstance(result, CaptionValue) for c in result.captions]


def ask(behave: Behaviour, *pictures: Image.Image, **settings: object) -> Sequence[Result]:
    with serving(behave) as server:
        return stage_of(server, **settings).run([item_of(picture) for picture in pictures])


def test_each_picture_gets_its_own_caption_on_one_line():
    results = ask(by_colour, RED, BLUE, RED, BLUE, BLUE)
    assert said(results) == ["a red square", *["a blue square", "a red square", "a blue square", "a blue square"]]
    first = results[0]
    assert isinstance(first, CaptionValue)
    assert first.source == "tiny"
    assert [caption.score for caption in first.captions] == [None]


def test_a_request_has_the_reduced_picture_and_all_settings():
    with serving(by_colour) as server:
        stage_of(server, max_side=100, prompt="What is it?", max_new_tokens=7).run([item_of(noise(400, 200))])
    (asked,) = server.asked
    assert sent(asked).size == (100, 50)
    assert sent(asked).format == "JPEG"
    assert (asked.text, asked.body["max_tokens"], asked.body["temperature"]) == ("What is it?", 7, 0.0)


def test_a_bad_picture_is_not_sent_and_does_not_affect_others():
    with serving(by_colour) as server:
        results = stage_of(server).run([item_of(RED), bad_item(), item_of(BLUE)])
    assert len(server.asked) == 2
    assert isinstance(results[1], Failure)
    assert said(results) == ["a red square", "a blue square"]


def only_for_red(act: Act) -> Behaviour:
    """Misbehaves for red pictures and answers well for the others."""
    return lambda asked: act if "red" in by_colour(asked).content.decode() else by_colour(asked)


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (says(""), FailureKind.TRANSIENT),
        (says(None), FailureKind.TRANSIENT),
        (Act(content=b"<html>"), FailureKind.TRANSIENT),
        (Act(content=b'{"choices": []}'), FailureKind.PERMANENT),
        (Act(status=400, content=b'{"error": {"message": "no such picture"}}'), FailureKind.PERMANENT),
        (Act(content=b" " * (2 << 20)), FailureKind.PERMANENT),
    ],
)
def test_an_unusable_answer_is_a_failure_of_its_picture(act: Act, kind: FailureKind):
    with serving(only_for_red(act)) as server:
        stage = stage_of(server)
        first = stage.run([item_of(BLUE)])
        assert said(first) == ["a blue square"]
        results = stage.run([item_of(BLUE), item_of(RED), item_of(BLUE)])
    failure = results[1]
    assert isinstance(failure, Failure)
    assert failure.kind is kind
    assert said(results) == ["a blue square"] * 2


def test_a_busy_server_is_retried():
    busy = Act(status=429, headers={"Retry-After": "0"})
    results = ask(lambda asked: busy if asked.number < 2 else by_colour(asked), RED, BLUE)
    assert said(results) == ["a red square", "a blue square"]


def test_requests_are_concurrent_up_to_the_limit():
    def behave(asked: Asked) -> Act:
        return Act(content=by_colour(asked).content, delay=0.05)

    with serving(behave) as server:
        stage = stage_of(server, concurrency=3)
        stage.run([item_of(RED)] * stage.batch_size)
    assert server.most_under_way == 3


def test_pictures_are_postponed_if_the_server_does_not_answer():
    with serving() as server:
        url = server.url
    (result,) = CaptionStage(CaptionConfig(endpoint=url, model="tiny")).run([item_of(RED)])
    assert isinstance(result, Postponed)
    assert result.broken
    assert "does not answer" in result.reason
    assert "start the server" in result.hint


def test_captions_before_a_refusal_are_kept_and_not_requested_again():
    for number in range(6):
        draw(Path(f"in/{number}.png"), size=(number + 20, 20))

    def captions(url: str) -> Answer:
        settings = (f"caption.endpoint={url}", "caption.model=tiny", "caption.concurrency=1")
        words = [word for setting in settings for word in ("--set", setting)]
        return ita_here("extract", "in", "--preset", "bundled", "--stage", "caption", *words, "--json")

    with serving(lambda asked: says("a square") if asked.number < 2 else Act(status=401)) as server:
        stopped = captions(server.url)
        assert len(server.asked) == 3
    assert stopped.code == 3
    assert "caption stopped" in stopped.err
    with serving(lambda asked: says("a square")) as server:
        (stage,) = json.loads(captions(server.url).out)["stages"]
        assert len(server.asked) == 4
    assert (stage["fresh"], stage["done"], stage["failed"]) == (2, 4, 0)


def test_pictures_are_not_sent_without_consent():
    stage = CaptionStage(CaptionConfig(endpoint="https://models.example.org/v1", model="tiny"))
    assert stage.sends_to == "models.example.org"
    with pytest.raises(StageError, match="you have not agreed"):
        stage.open()
    stage.agreed = True
    stage.open()
    agreed = CaptionConfig(endpoint="https://models.example.org/v1", model="tiny", consent=True)
    CaptionStage(agreed).open()
    assert CaptionStage(CaptionConfig(endpoint="http://localhost:11434/v1", model="tiny")).sends_to == ""


def test_the_key_depends_on_model_and_prompt_and_not_on_the_address():
    def key(**settings: object) -> object:
        stage = CaptionStage(CaptionConfig(**{"endpoint": "http://localhost:1/v1", "model": "tiny", **settings}))
        assert stage.reads == ()
        return stage.parameters(), stage.identity()

    assert key() == key(endpoint="https://models.example.org/v1", concurrency=2, timeout=5, consent=True, beams=2)
    changed = [{"model": "other"}, {"prompt": "What?"}, {"max_side": 99}, {"max_new_tokens": 9}, {"revision": "2"}]
    assert all(key(**change) != key() for change in changed)


def test_a_server_without_a_model_name_is_an_error():
    with pytest.raises(StageError, match="needs the name of a model"):
        CaptionStage(CaptionConfig(endpoint="http://localhost:1/v1")).open()

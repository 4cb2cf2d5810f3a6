from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from stages.base import Example, Failure, Item, Postponed, Value
from stages.caption.schema import Caption, CaptionValue
from stages.knowledge.schema import KnowledgeConfig, KnowledgeValue
from stages.knowledge.stage import KnowledgeStage
from tests.support.chat_server import Act, Asked, Behaviour, echo, says, serving
from tests.support.fakes import Answer, draw, ita_here


def item(text: str, **more: Any) -> Item:
    return Item("0" * 64, "post 1", more.pop("decode", None), text=text, **more)


def run(url: str, items: Sequence[Item], **settings: Any) -> list[Value | Failure | Postponed]:
    config = KnowledgeConfig(endpoint=url, model="m", back_off=0.01, tries=2, **settings)
    return list(KnowledgeStage(config).run(items))


def write_posts(count: int, path: Path = Path("posts.jsonl"), **more: Any) -> Path:
    lines = [{"id": f"p{n}", "text": f"Lunch in Marlow {n}", **more} for n in range(count)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def extract(url: str, *more: str, target: str = "posts.jsonl", command: str = "extract") -> Answer:
    quick = {"endpoint": url, "model": "m", "back_off": "0.01", "tries": "2", "concurrency": "2"}
    settings = [word for name, value in quick.items() for word in ("--set", f"knowledge.{name}={value}")]
    return ita_here(command, target, "--preset", "bundled", "--stage", "knowledge", *settings, *more)


def done(answer: Answer) -> tuple[int, int, int]:
    """Fresh, done now, failed."""
    (stage,) = [row for row in json.loads(answer.out)["stages"] if row["stage"] == "knowledge"]
    return stage["fresh"], stage["done"], stage["failed"]


def test_a_value_has_the_answer_and_its_cost() -> None:
    with serving() as server:
        (value,) = run(server.url, [item("Hello")], price_prompt=1.0, price_completion=10.0)
    assert isinstance(value, KnowledgeValue)
    assert value.text.startswith("about: ")
    assert (value.source, value.model, value.finish) == ("http", "tiny-chat-1", "stop")
    assert (value.prompt_tokens, value.completion_tokens, value.requests) == (11, 4, 1)
    assert value.cost == pytest.approx((11 * 1 + 4 * 10) / 1e6)


def test_the_model_gets_text_picture_captions_and_examples() -> None:
    caption = CaptionValue(source="blip", captions=(Caption(text="a man on a stage", score=None),))
    looked_at = item(
        "KD {caption} scores",
        decode=lambda: Image.new("RGB", (8, 8)),
        upstream={"caption": caption},
        examples=(Example("LeBron wins", "LeBron (person)"),),
    )
    with serving() as server:
        run(server.url, [looked_at, item("bare")], picture=True, reads=("caption",), concurrency=1)
    text = server.asked[0].text
    assert "Tweet: KD {caption} scores\n" in text
    assert "What the picture shows: a man on a stage" in text
    assert text.index("LeBron (person)") < text.index("KD {caption}")
    assert server.asked[0].body["messages"][-1]["content"][0]["type"] == "image_url"
    assert "picture" not in server.asked[1].text
    assert (server.asked[0].body["temperature"], server.asked[0].body["seed"]) == (0, 0)


def test_all_pictures_of_a_post_reach_the_model_up_to_a_limit() -> None:
    names = ["a.png", "b.png", "c.png"]
    for number, name in enumerate(names):
        draw(Path(name), size=(9 + number, 9))
    write_posts(1, images=names)
    with serving() as server:
        for choice in ([], ["--set", "knowledge.pictures=2"]):
            assert extract(server.url, "--set", "knowledge.picture=true", *choice, "--json").code == 0
        verified = ita_here(
            *("cache", "verify", "--recompute", "1", "--preset", "bundled", "--stage", "knowledge"),
            *("--set", "knowledge.picture=true"),
            *("--set", f"knowledge.endpoint={server.url}", "--set", "knowledge.model=m"),
        )
    parts = [asked.body["messages"][-1]["content"] for asked in server.asked]
    assert [sum(part["type"] == "image_url" for part in of_one) for of_one in parts] == [3, 2, 3], verified.err


def parameters(**settings: Any) -> tuple[dict[str, Any], Any]:
    stage = KnowledgeStage(KnowledgeConfig(**{"endpoint": "http://localhost:1/v1", "model": "m", **settings}))
    return stage.parameters(), stage.identity()


def test_only_settings_that_change_answers_are_part_of_the_key() -> None:
    assert parameters(picture=True, pictures=9) == parameters(picture=True) != parameters(picture=True, pictures=1)
    assert parameters(pictures=1) == parameters()
    assert parameters(language="zh") == parameters(prompt="tweet.zh") != parameters()
    same = parameters()
    assert same == parameters(
        endpoint="http://localhost:2/v1", concurrency=3, max_requests=4, consent=True, tries=9
    )
    assert same == parameters(object_score=0.9, longest_side=99)
    for change in ({"seed": 1}, {"model": "n"}, {"revision": "b"}, {"prompt": "short"}, {"picture": True}):
        assert parameters(**change) != same
    assert parameters(reads=("objects",), object_score=0.9) != parameters(reads=("objects",))
    assert same[0]["temperature"] == 0


def test_only_a_post_with_a_changed_text_is_requested_again() -> None:
    write_posts(6)
    with serving() as server:
        assert done(extract(server.url, "--json")) == (0, 6, 0)
        assert done(extract(server.url, "--json")) == (6, 0, 0)
        text = Path("posts.jsonl").read_text().replace("Marlow 3", "Oxford 3")
        Path("posts.jsonl").write_text(text)
        dry = extract(server.url, "--dry-run")
        assert "knowledge: 1 × content changed: text" in dry.out
        why = extract(server.url, "--post", "p3", command="why")
        assert "content changed: text" in why.out
        assert done(extract(server.url, "--json")) == (5, 1, 0)
        assert len(server.asked) == 7
        assert done(extract(server.url, "--json", "--refresh", "knowledge")) == (0, 6, 0)
        prompt = extract(server.url, "--post", "p0", "--set", "knowledge.prompt=short", command="why")
    assert "parameter prompt v1" in prompt.out


def test_the_next_command_continues_after_a_used_up_budget() -> None:
    write_posts(7)
    with serving() as server:
        first = extract(server.url, "--max-requests", "3")
        assert first.code == 1
        assert "--max-requests" in first.err
        assert len(server.asked) == 3
        assert done(extract(server.url, "--json")) == (3, 4, 0)
        assert len(server.asked) == 7


def test_answers_before_a_server_failure_are_kept() -> None:
    write_posts(20)

    def behave(asked: Asked) -> Act:
        if asked.number < 9:
            return echo(asked)
        server.socket.close()
        return Act(drop=True)

    with serving(behave) as server:
        broken = extract(server.url)
    assert broken.code == 3
    assert "stopped" in broken.err
    gone = extract(server.url)
    assert gone.code == 3
    assert "does not answer" in gone.err
    with serving() as other:
        assert done(extract(other.url, "--json")) == (9, 11, 0)
        assert len(other.asked) == 11


@pytest.mark.parametrize(
    ("behave", "code", "word"),
    [
        (lambda asked: Act(status=401), 3, "ITA_API_KEY"),
        (lambda asked: Act(status=404), 3, "/v1"),
        (lambda asked: Act(status=307, headers={"Location": "http://example.org/"}), 3, "redirects"),
        (lambda asked: Act(status=400), 1, "400"),
        (lambda asked: says(""), 1, "no text"),
        (lambda asked: Act(content=b"{}"), 1, "another form"),
        (lambda asked: Act(content=b" " * 2_000_000), 1, "longer"),
    ],
    ids=["key", "model", "redirect", "refused", "empty", "schema", "large"],
)
def test_each_error_has_a_message_and_exit_code(behave: Behaviour, code: int, word: str) -> None:
    write_posts(1)
    with serving(behave) as server:
        answer = extract(server.url)
    assert answer.code == code
    assert word in answer.err
    assert "Traceback" not in answer.err


def test_failures_are_kept_until_they_are_retried() -> None:
    write_posts(2)
    with serving(lambda asked: says("") if "Marlow 1" in asked.text else echo(asked)) as server:
        assert done(extract(server.url, "--json")) == (0, 1, 1)
    with serving() as server:
        assert done(extract(server.url, "--json")) == (1, 0, 1)
        assert done(extract(server.url, "--json", "--retry-failed", "any")) == (1, 1, 0)


def test_posts_are_not_sent_without_consent() -> None:
    write_posts(2)
    refused = extract("https://192.0.2.1/v1")
    assert refused.code == 2
    assert "2 tweets leave this machine, for 192.0.2.1" in refused.err
    assert "--yes" in refused.err
    agreed = extract(
        "https://192.0.2.1/v1", "--yes", "--set", "knowledge.connect=0.05", "--set", "knowledge.tries=1"
    )
    assert agreed.code == 3
    assert "2 tweets leave this machine" in agreed.err


def test_the_api_key_is_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_posts(2)
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    with serving(lambda asked: says(f"you sent {asked.headers['authorization']}")) as server:
        answer = extract(server.url, "--set", "knowledge.key_variable=MY_KEY")
    assert answer.code == 0
    assert server.asked[0].headers["authorization"] == "Bearer sk-very-secret"
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"you sent Bearer [key]" in kept
    assert b"sk-very-secret" not in kept + (answer.out + answer.err).encode()


def test_verify_reports_answers_that_changed() -> None:
    write_posts(3)
    answers = iter(range(100))
    with serving(lambda asked: says(f"answer {next(answers)}")) as server:
        assert extract(server.url).code == 0
        arguments = [
            "--set",
            f"knowledge.endpoint={server.url}",
            "--set",
            "knowledge.model=m",
            "--preset",
            "bundled",
        ]
        again = ita_here("cache", "verify", "--recompute", "2", "--stage", "knowledge", *arguments, "--json")
    assert again.code == 1
    (found,) = json.loads(again.out)["recomputed"]
    assert (found["equal"], found["different"]) == (0, 2)
    assert all(name.startswith("post p") for name in found["differing"])


def test_a_changed_picture_makes_a_value_stale_only_if_the_model_gets_it() -> None:
    draw(Path("a.png"), "red")
    write_posts(1, image="a.png")
    with serving() as server:
        looks = ("--set", "knowledge.picture=true")
        extract(server.url)
        extract(server.url, *looks)
        draw(Path("a.png"), "blue", (30, 30))
        assert "content changed: picture" in extract(server.url, *looks, "--dry-run").out
        # Noted under the post with its picture, it is still the same post without.
        assert done(extract(server.url, "--json")) == (1, 0, 0)


def test_a_deleted_index_causes_no_requests() -> None:
    write_posts(3)
    with serving() as server:
        extract(server.url)
        Path(".ita/index.sqlite").unlink()
        assert done(extract(server.url, "--json")) == (3, 0, 0)
    assert len(server.asked) == 3
    assert sqlite3.connect(".ita/index.sqlite").execute("SELECT COUNT(*) FROM posts").fetchone() == (3,)


def test_without_a_model_there_is_an_error_with_a_hint() -> None:
    write_posts(1)
    plain = ita_here("extract", "posts.jsonl", "--preset", "bundled")
    assert plain.code == 2
    assert "knowledge.endpoint" in plain.err
    none = ita_here("extract", "posts.jsonl", "--preset", "bundled", "--set", "knowledge.seed=1")
    assert none.code == 3
    assert "no model" in none.err

"""Posts as JSON lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.corpus.findings import FindingKind
from ita_pipeline.corpus.formats import parse_posts
from ita_pipeline.corpus.line_errors import LineError
from ita_pipeline.corpus.posts import Span


@pytest.mark.parametrize(
    ("text", "start", "end", "words"),
    [
        ("at #TeamLondon now", 8, 14, (1, 2)),
        ("삼성전자는 서울에서", 0, 4, (0, 1)),
        ("Ada Lovelaces", 0, 12, (0, 2)),
    ],
)
def test_a_mention_that_cuts_a_word_is_kept_as_partial(text: str, start: int, end: int, words: tuple[int, int]):
    errors: list[LineError] = []
    Path("tweets.jsonl").write_text(
        json.dumps({"text": text, "mentions": [{"start": start, "end": end, "type": "ORG"}]})
    )
    (found,) = parse_posts(Path("tweets.jsonl"), on_error=errors.append)
    assert found.post.gold == (Span(*words, "ORG", partial=True),)
    assert [(error.kind, error.line) for error in errors] == [(FindingKind.PARTIAL_MENTION, 1)]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{not json", "line 2"),
        ('{"text": "Ada"', "the JSON object is not complete"),
        ('{"text": "Ada" "id": 1}', "invalid JSON at column 16: expecting ',' delimiter"),
    ],
)
def test_a_line_that_is_not_json_is_named(line: str, says: str):
    Path("tweets.jsonl").write_text(f'{{"text": "fine"}}\n{line}')
    with pytest.raises(UsageError) as caught:
        list(parse_posts(Path("tweets.jsonl")))
    assert "line 2" in str(caught.value)
    assert says in str(caught.value)


def test_bytes_that_are_not_utf_8_are_refused_with_the_line():
    Path("tweets.jsonl").write_bytes(b'{"text": "fine"}\n{"text": "caf\xe9"}\n')
    with pytest.raises(UsageError, match="line 2: the byte 0xe9 is not UTF-8; the text may be Latin-1"):
        list(parse_posts(Path("tweets.jsonl")))


def test_the_posts_before_a_faulty_line_are_read():
    Path("tweets.jsonl").write_bytes(b'{"text": "one"}\n{"text": "two"}\n{"text": "\xff"}\n')
    posts = parse_posts(Path("tweets.jsonl"))
    iterator = iter(posts)
    assert [next(iterator).post.text, next(iterator).post.text] == ["one", "two"]
    with pytest.raises(UsageError, match="line 3"):
        next(iterator)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"text": "hi"}\n'.encode("utf-16"), "UTF-16 text, not UTF-8"),
        ('{"text": "hi"}\n'.encode("utf-16-le"), "UTF-16 text, not UTF-8"),
        (b'[\n  {"text": "hi"}\n]\n', "is one JSON array, not JSON lines"),
    ],
)
def test_another_form_of_file_is_named(content: bytes, says: str):
    Path("tweets.jsonl").write_bytes(content)
    with pytest.raises(UsageError, match=says):
        list(parse_posts(Path("tweets.jsonl")))


def test_a_missing_file_is_named():
    with pytest.raises(MissingError, match=r"none\.jsonl"):
        list(parse_posts(Path("none.jsonl")))

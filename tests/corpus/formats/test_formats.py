"""The table of formats of post files."""

from __future__ import annotations

from pathlib import Path

import pytest

from ita_pipeline.corpus.formats import find_format, parse_posts


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.jsonl", "jsonl"),
        ("a.NDJSON", "jsonl"),
        ("a.txt", "conll"),
        ("a.bio", "conll"),
        ("a", "conll"),
        ("a.x", "conll"),
    ],
)
def test_a_suffix_stands_for_a_format(name: str, form: str):
    assert find_format(Path(name)) == form


def test_a_given_format_goes_over_the_suffix():
    Path("posts.txt").write_text('{"text": "hi Ada"}\n')
    (parsed,) = parse_posts(Path("posts.txt"), "jsonl")
    assert parsed.post.words == ("hi", "Ada")

"""The words that detectors are asked with: what files may hold, and what is said of others."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.base import StageError
from stages.models.identity import digest_json
from stages.objects.attributes import PEOPLE
from stages.objects.nanodet import COCO
from stages.objects.vocabulary import COMMON_FILE, MAX_BYTES, MAX_WORDS, parse_yaml, read_vocabulary


def written(folder: Path, content: str | bytes, name: str = "words.txt") -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def test_the_common_vocabulary_has_several_hundred_words_each_once():
    words = read_vocabulary("common")
    assert 400 <= len(words) <= 700
    assert len(list(parse_yaml(COMMON_FILE.read_text("utf-8"), COMMON_FILE))) == len(words)
    assert all(word == word.lower() for word in words)
    assert {"person", "stop sign", "flag", "microphone", "double-decker bus"} <= set(words)


def test_people_in_the_common_vocabulary_get_no_color():
    import yaml

    assert set(yaml.safe_load(COMMON_FILE.read_text("utf-8"))["people"]) <= PEOPLE


def test_the_vocabulary_coco_has_the_labels_of_nanodet():
    assert read_vocabulary("coco") == COCO


def test_a_text_file_has_one_word_per_line(tmp_path: Path):
    path = written(tmp_path, "\ufeff# things\n\n  fire   truck \r\nDog\ndog\ncafé\n")
    assert read_vocabulary(path) == ("fire truck", "Dog", "café")


@pytest.mark.parametrize("text", ["[dog, fire truck]", "a: [dog]\nb:\n  - fire truck\nc:", "- dog\n- fire truck"])
def test_a_yaml_file_has_lists_of_words(tmp_path: Path, text: str):
    assert read_vocabulary(written(tmp_path, text, "words.YAML")) == ("dog", "fire truck")


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        ("", "words.txt", "has no words"),
        ("# nothing\n", "words.txt", "has no words"),
        ("", "words.yaml", "has no words"),
        ("[]", "words.yaml", "has no words"),
        ("dog", "words.yaml", "something other than lists"),
        ("a: {b: [dog]}", "words.yaml", "something other than lists"),
        ("[dog, [cat]]", "words.yaml", "is not a word"),
        ("[dog, no]", "words.yaml", "'False', which is not a word"),
        ("[dog, '']", "words.yaml", "is not a word"),
        ("[dog", "words.yaml", "is not valid YAML"),
        ("[" * 20_000, "words.yaml", "is not valid YAML"),
        ("- 2026-99-99", "words.yaml", "is not valid YAML"),
        ("dog\n---\n", "words.txt", "is not a word"),
        ("do\x07g", "words.txt", "is not a word"),
        ("dog. cat", "words.txt", "'dog. cat'"),
        ("d" * 101, "words.txt", "101 characters"),
        (b"\xff\xfe", "words.txt", "not UTF-8 text"),
        ("dog\n" * MAX_BYTES, "words.txt", f"more than {MAX_BYTES} bytes"),
        ("\n".join(f"thing {n}" for n in range(MAX_WORDS + 1)), "words.txt", f"more than {MAX_WORDS} words"),
        (f"a: &a [{'dog, ' * 9999}]\nb: [*a]\n", "words.yaml", f"more than {MAX_WORDS} words"),
    ],
)
def test_an_invalid_vocabulary_is_an_error(tmp_path: Path, content: str | bytes, name: str, said: str):
    with pytest.raises(StageError) as raised:
        read_vocabulary(written(tmp_path, content, name))
    assert said in str(raised.value)
    assert name in str(raised.value)
    assert raised.value.hint


def test_a_missing_vocabulary_is_an_error(tmp_path: Path):
    for path in (tmp_path / "nothing.txt", tmp_path):
        with pytest.raises(StageError, match="cannot be read") as raised:
            read_vocabulary(str(path))
        assert "`coco`" in raised.value.hint


def test_the_digest_depends_on_the_words_and_not_on_the_layout(tmp_path: Path):
    lines, listed = written(tmp_path, "dog\ncat\n"), written(tmp_path, "[dog, cat]  # both", "words.yaml")
    assert digest_json(read_vocabulary(lines)) == digest_json(read_vocabulary(listed))
    assert digest_json(["dog", "cat"]) != digest_json(["cat", "dog"]) != digest_json(["cat dog"])


@given(st.lists(st.text(st.characters(categories=("L", "N")), min_size=1, max_size=20), min_size=1, max_size=30))
def test_words_are_read_in_order_each_once(tmp_path_factory: pytest.TempPathFactory, words: list[str]):
    path = written(tmp_path_factory.mktemp("words"), "\n".join(words))
    folded = [word.casefold() for word in words]
    assert read_vocabulary(path) == tuple(word for n, word in enumerate(words) if folded[n] not in folded[:n])

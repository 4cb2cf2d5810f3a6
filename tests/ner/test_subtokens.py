"""Sub-tokens: the ids, words and places that a fast tokenizer of transformers gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ita_pipeline.ner.encoders import find_minilm
from ita_pipeline.ner.subtokens import SubTokenizer
from stages.base import StageError
from tests.support.tiny_encoder import build_bert, load


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, SubTokenizer]:
    """The tokenizer of MiniLM, and what is read from the files that it saves."""
    folder = tmp_path_factory.mktemp("minilm")
    tokenizer = load(find_minilm())[1]
    tokenizer.save_pretrained(folder)
    return tokenizer, SubTokenizer.load(folder)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=9) | st.sampled_from(["[SEP]", "Zürich", "a b"])))
def test_words_and_texts_have_the_sub_tokens_of_transformers(both: tuple[Any, SubTokenizer], words: list[str]):
    tokenizer, subtokens = both
    found = subtokens.encode_words(words)
    expected = tokenizer(words, is_split_into_words=True, add_special_tokens=False)
    assert (found.ids, found.word_ids) == (expected["input_ids"], expected.word_ids())
    text = " ".join(words)
    found, expected = subtokens.encode_text(text), tokenizer(text, add_special_tokens=False)
    assert (found.ids, found.word_ids) == (expected["input_ids"], expected.word_ids())
    places = [tuple(expected.word_to_chars(word)) for word in expected.word_ids()]
    assert [found.word_to_chars(word) for word in found.word_ids] == places


def test_special_tokens_are_those_of_transformers(both: tuple[Any, SubTokenizer]):
    tokenizer, subtokens = both
    expected = tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id
    assert (subtokens.start, subtokens.separator, subtokens.pad) == expected


def test_long_texts_are_not_cut(both: tuple[Any, SubTokenizer]):
    assert len(both[1].encode_words(["a"] * 900).ids) == 900


def test_a_folder_without_tokenizer_is_an_error(tmp_path: Path):
    with pytest.raises(StageError, match=r"tokenizer_config.json cannot be read"):
        SubTokenizer.load(tmp_path)


def test_a_panic_of_the_library_is_an_error(tmp_path: Path):
    build_bert(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    pattern = {"Regex": "(x+x+)+y"}
    content["pre_tokenizer"] = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(StageError, match="the model's tokenizer failed"):
        SubTokenizer.load(tmp_path).encode_words(["x" * 60])

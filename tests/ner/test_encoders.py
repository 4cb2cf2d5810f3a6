"""Encoders by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ita_pipeline.ner.encoders import find_encoder, load_encoder, load_sub_tokenizer, max_row_length
from ita_pipeline.ner.subtokens import SubTokenizer
from stages.base import StageError
from tests.support.tiny_encoder import build_bert


def test_minilm_comes_with_its_package_and_reads_512_subtokens():
    found = find_encoder("minilm")
    assert found.identity.startswith("sha256:")
    model, tokenizer = load_encoder(found)
    assert (model.config.model_type, model.config.hidden_size) == ("bert", 384)
    assert max_row_length(model, tokenizer) == 512


def test_a_moved_encoder_folder_keeps_its_identity(tmp_path: Path):
    here = find_encoder(str(build_bert(tmp_path / "here")))
    (tmp_path / "here").rename(tmp_path / "there")
    there = find_encoder(str(tmp_path / "there"))
    assert here.identity == there.identity
    model, tokenizer = load_encoder(there)
    assert max_row_length(model, tokenizer) == 64


def test_an_unavailable_encoder_is_named():
    with pytest.raises(StageError, match="FacebookAI/xlm-roberta-large is not on this machine") as caught:
        find_encoder("FacebookAI/xlm-roberta-large")
    assert "another model or preset" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["Straße İstanbul 日本語 naïve ##x [SEP]", "a\u0301b 👩\u200d👧 \u200d don't ----"]
)
def test_sub_tokens_without_transformers_are_those_of_training(text: str):
    encoder = find_encoder("minilm")
    _, tokenizer = load_encoder(encoder)
    tokens, longest = load_sub_tokenizer(encoder)
    assert tokens.encode_words(text.split()).ids == SubTokenizer.of(tokenizer).encode_words(text.split()).ids
    assert longest == 512


def test_a_tokenizer_whose_special_tokens_are_not_named_is_loaded_by_transformers(tmp_path: Path):
    build_bert(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "model_max_length": 40}')
    tokens, longest = load_sub_tokenizer(find_encoder(str(tmp_path)))
    assert longest == 40
    assert len({tokens.start, tokens.separator, tokens.pad}) == 3

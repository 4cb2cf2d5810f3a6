"""Models by hub name or folder: which exact weights are meant, and how they are loaded.

Weights are read from safetensors only and no code of a repository is ever executed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.base import StageError

# Weights in other formats are never read, and papers beside a model say nothing to it.
IGNORED = (".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".ot", ".md", ".png", ".jpg")

SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
COMPLETE = "give a folder or revision that has config.json and model.safetensors"
SECONDS_TO_ANSWER = 3.0

CONVERTER = "SFconvertbot"

MOST_CONFIG_BYTES = 10_000_000


def is_folder(model: str) -> bool:
    return Path(model).is_dir()


def short_name(model: str) -> str:
    """A model's name on the hub, or that of its folder: where it lies is not for records that others may read."""
    return Path(model).resolve().name if is_folder(model) else model


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
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        if file.suffix in IGNORED or file.name.startswith("."):
            continue
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        total.update(f"{file.name} {digest}\n".encode())
    return total.hexdigest()


def local_commit(model: str, revision: str = "main") -> str | None:
    """The commit of a model that was downloaded before, configuration and safetensors."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    def cached(name: str, reference: str) -> str | None:
        found = try_to_load_from_cache(model, name, revision=reference)
        return found if isinstance(found, str) else None

    try:
        for reference in (revision, *cached_conversions(model)):
            config = cached("config.json", reference)
            if config and any(cached(name, reference) for name in SAFETENSORS):
                # .../models--owner--name/snapshots/<commit>/config.json
                return Path(config).parent.name
    except HFValidationError as error:
        raise StageError(f"{model!r} is no name of a model", "write owner/name, or give a folder") from error
    return None


def cached_conversions(model: str) -> list[str]:
    """References of converted copies (see `converted`) that were downloaded before."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=model, repo_type="model"), "refs")
    return [f"refs/pr/{file.name}" for file in sorted(folder.glob("refs/pr/*"))]


def hub_commit(model: str, revision: str) -> str:
    """The commit of a model on the hub; of its copy in safetensors, where it has none of its own."""
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    api = HfApi()
    try:
        info = api.model_info(model, revision=revision, timeout=SECONDS_TO_ANSWER)
        reference = revision if safe(info) else converted(api, model) or revision
        # Fetched by its reference, so that the commit is found again where there is no connection.
        return Path(hf_hub_download(model, "config.json", revision=reference)).parent.name
    except RepositoryNotFoundError as error:
        raise StageError(f"the hub knows no model {model}", "check its spelling, or give a folder") from error
    except RevisionNotFoundError as error:
        raise StageError(f"the model {model} has no revision {revision}", "check its spelling") from error
    except Exception as error:
        raise StageError(*unreachable(model)) from error


def safe(info: Any) -> bool:
    return any(file.rfilename.endswith(".safetensors") for file in info.siblings or ())


def converted(api: Any, model: str) -> str | None:
    """The hub's own conversion of a model that was published as pickles only, as BLIP base was.

    A bot of the hub offers it as a pull request. One of the same title by anybody else is not trusted.
    """
    for request in api.get_repo_discussions(model, author=CONVERTER, discussion_type="pull_request"):
        if request.author == CONVERTER and request.status == "open" and "safetensors" in request.title:
            return f"refs/pr/{request.num}"
    return None


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
        StageError: the files are incomplete, damaged or not safetensors, cannot be fetched, or need a package
            that is missing.
    """
    if not is_folder(model):
        options["revision"] = identity.rpartition("@")[2]
    with load_errors(model):
        # Left out, `trust_remote_code` makes transformers ask the person at the terminal.
        return factory(model, trust_remote_code=False, **options)


def fetch(model: str, identity: str, name: str) -> Path:
    """Return the path of one file of a model, downloaded if needed, at exactly the commit of `identity`.

    Raises:
        StageError: the model has no such file, or it cannot be fetched.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    missing = StageError(f"the model {model} has no {name}", COMPLETE)
    if is_folder(model):
        file = Path(model, name)
        if not file.is_file():
            raise missing
        return file
    with load_errors(model):
        try:
            return Path(hf_hub_download(model, name, revision=identity.rpartition("@")[2]))
        except LocalEntryNotFoundError:
            raise
        except EntryNotFoundError as error:
            raise missing from error


@contextmanager
def load_errors(model: str) -> Iterator[None]:
    """Turn any exception of the libraries that load `model` into a `StageError` with a hint."""
    try:
        yield
    except StageError:
        raise
    except ImportError as error:
        raise StageError(f"the model {model} needs a package: {said(error)}", "install it") from error
    except Exception as error:  # safetensors and tokenizers raise bare subclasses of Exception
        if is_cut_off(error):
            raise StageError(*unreachable(model)) from error
        raise StageError(f"the model {model} could not be loaded: {said(error)}", COMPLETE) from error


def is_cut_off(error: BaseException | None) -> bool:
    """Whether an error comes from a hub that does not answer, as where a connection breaks in a download."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    while error is not None:
        name = type(error).__module__
        if isinstance(error, (ConnectionError, TimeoutError, LocalEntryNotFoundError)) or name.startswith("httpx"):
            return True
        error = error.__cause__ or error.__context__
    return False


def said(error: Exception) -> str:
    """The first line of an error, shortened; with the second line where the first only announces it."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    if not lines:
        return type(error).__name__
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])[:300]


def kind_of(model: str, identity: str) -> str:
    """The `model_type` of a model's configuration, such as `blip`.

    Raises:
        StageError: as `load`.
    """
    from transformers import AutoConfig

    return load(AutoConfig.from_pretrained, model, identity).model_type


def told_kind(model: str, identity: str) -> str:
    """The same without transformers, from `config.json` on this machine; empty where that says nothing."""
    return str(read_config(model, identity).get("model_type") or "")


def read_config(model: str, identity: str) -> Mapping[str, Any]:
    """Read a model's `config.json` from this machine; return an empty mapping if it cannot be read."""
    from huggingface_hub import try_to_load_from_cache

    try:
        place = (
            Path(model, "config.json")
            if is_folder(model)
            else try_to_load_from_cache(model, "config.json", revision=identity.rpartition("@")[2])
        )
        if not isinstance(place, str | Path):
            return {}
        with Path(place).open("rb") as opened:
            content = json.loads(opened.read(MOST_CONFIG_BYTES))
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError, RecursionError):
        return {}


def load_weights(
    factory: Callable[..., Any],
    model: str,
    identity: str,
    device: str,
    unneeded: str | None = None,
    dtype: str = "float32",
) -> Any:
    """A model in evaluation mode on `device`, its weights as `dtype`, a name in torch.

    Raises:
        StageError: as `load`; also where the file lacks weights, which transformers would make up at random.
            Those whose name starts with `unneeded` may be lacking.
    """
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    options = {"use_safetensors": True, "dtype": getattr(torch, dtype), "output_loading_info": True}
    loaded, report = load(factory, model, identity, **options)
    lacking = [n for n in made_up(loaded, report["missing_keys"]) if not (unneeded and n.startswith(unneeded))]
    refuse_lacking(model, loaded, lacking)
    return loaded.eval().to(device)


def refuse_lacking(model: str, loaded: Any, lacking: Collection[str]) -> None:
    """Raise a `StageError` if any weight of the `loaded` network is in no file of `model`."""
    if lacking:
        kind, example = type(loaded).__name__, min(lacking)
        raise StageError(
            f"the model {model} lacks {len(lacking)} weights of a {kind}, such as {example}",
            "it is of another kind, or incomplete: name a model made for this",
        )


def made_up(loaded: Any, missing: Collection[str]) -> list[str]:
    """Parameters of a model that are in no file and are not tied to one that is."""
    parameters = dict(loaded.named_parameters(remove_duplicate=False))
    read = {id(weight) for name, weight in parameters.items() if name not in missing}
    return sorted(name for name in missing if name in parameters and id(parameters[name]) not in read)


def pick_device(wish: str) -> str:
    """`auto` is a CUDA device where there is one, else the CPU.

    Raises:
        StageError: there is no such device here.
    """
    import torch

    if wish == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=wish)
    except (RuntimeError, AssertionError) as error:
        raise StageError(f"there is no device {wish} here", "use device=auto or device=cpu") from error
    return wish


def pick_dtype(wish: str, device: str) -> str:
    """`auto` is half precision on a CUDA device and full precision elsewhere, so that CPUs agree.

    Raises:
        StageError: there is no such device here.
    """
    if wish != "auto":
        return wish
    import torch

    if not pick_device(device).startswith("cuda"):
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"

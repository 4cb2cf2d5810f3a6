"""Find and load datasets of the library `datasets`: saved folders, Parquet or Arrow files, and names on the hub.

Only data is read; the library runs no code of a repository.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ita_pipeline.core.errors import MissingError

HUB_TIMEOUT = 3.0  # seconds

HUB_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?(?:@[\w./-]+)?")

HINT = "give a file or folder, or where there is a connection owner/name; HF_HUB_OFFLINE=1 takes one loaded before"

SAVED = ("dataset_dict.json", "dataset_info.json", "state.json")

TABLES = {".parquet": "parquet", ".arrow": "arrow"}

WORDS, TAGS = ("tokens", "words"), ("ner_tags", "tags", "labels", "ner")

IDS, PICTURES = ("id", "tweet_id", "image_id", "img_id"), ("image", "img", "picture")


def is_dataset(source: str) -> bool:
    """Whether a source is one of this kind: by what lies in a folder, else by not being there at all."""
    path = Path(source)
    if path.is_dir():
        return any((path / name).is_file() for name in SAVED) or tables(path) != {}
    return not path.exists() and HUB_NAME.fullmatch(source) is not None and not source.startswith(".")


def tables(folder: Path) -> dict[str, list[str]]:
    """Parquet or Arrow files of a folder by suffix."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in TABLES:
            found.setdefault(path.suffix, []).append(str(path))
    return found


def load(source: str) -> Mapping[str, Any]:
    """Splits by name.

    Raises:
        MissingError: there is no such dataset, here or on the hub.
    """
    import datasets

    path = Path(source)
    datasets.disable_progress_bars()
    name, revision = (source, None) if path.is_dir() else on_hub(source)
    try:
        if path.is_dir() and any((path / saved).is_file() for saved in SAVED):
            found = datasets.load_from_disk(str(path))
        elif path.is_dir():
            suffix, files = next(iter(tables(path).items()))
            by_split: dict[str, list[str]] = {}
            for file in files:
                by_split.setdefault(split_name(Path(file).stem), []).append(file)
            found = datasets.load_dataset(TABLES[suffix], data_files=by_split)
        else:
            found = datasets.load_dataset(name, revision=revision)
    except Exception as error:  # the library and what it is built on raise nearly anything
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise MissingError(f"the dataset {source} cannot be had: {first}", HINT) from error
    if not isinstance(found, Mapping):
        return {"train": found}
    return {str(split): rows for split, rows in found.items()}


def on_hub(source: str) -> tuple[str, str | None]:
    """A dataset's name and its commit. Asked for once: the library by itself tries again for half a minute.

    Raises:
        MissingError: the hub knows no such dataset, or does not answer.
    """
    from huggingface_hub import HfApi, is_offline_mode
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    name, _, revision = source.partition("@")
    if is_offline_mode():  # what was downloaded before will do
        return name, revision or None
    try:
        return name, HfApi().dataset_info(name, revision=revision or None, timeout=HUB_TIMEOUT).sha
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise MissingError(f"there is no folder {source}, and the hub knows no such dataset", HINT) from error
    except Exception as error:
        raise MissingError(f"there is no folder {source}, and the hub does not answer", HINT) from error


def split_name(name: str) -> str:
    pass

    return ALIASES.get(name, name if name in ("train", "dev", "test") else split_of_name(name) or "train")


ALIASES = {"valid": "dev", "validation": "dev", "val": "dev"}


def split_of_name(name: str) -> str | None:
    """The split that a file's name stands for, by the rule of KB-NER's reader."""
    name = name.lower()
    if "train" in name:
        return "train"
    if "dev" in name or "valid" in name or "testa" in name:
        return "dev"
    return "test" if "test" in name else None

# The library `datasets` has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""Find and load datasets of the library `datasets`: saved folders, Parquet or Arrow files, and names on the hub.

Only data is read; the library runs no code of a repository.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ita_pipeline.core.errors import MissingError, UserError
from ita_pipeline.core.files import read_regular
from ita_pipeline.sources.parquet import map_arrow_file

# Files of a dataset that was saved with `save_to_disk`.
SAVED_FILES = ("dataset_dict.json", "dataset_info.json", "state.json")

_MAX_STATE_BYTES = 1 << 24

_HUB_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?(?:@[\w./-]+)?")

_HINT = "give a file or folder, or where there is a connection owner/name; HF_HUB_OFFLINE=1 takes one loaded before"

_TABLE_FORMATS = {".parquet": "parquet", ".arrow": "arrow"}

SPLIT_ALIASES = {"valid": "dev", "validation": "dev", "val": "dev"}


def is_loadable(source: str) -> bool:
    """Whether `load` accepts a source: a folder with such files, or a missing path that may be a hub name."""
    path = Path(source)
    if path.is_dir():
        return _has_saved_file(path) or _list_tables(path) != {}
    return not path.exists() and _HUB_NAME.fullmatch(source) is not None and not source.startswith(".")


def _has_saved_file(folder: Path) -> bool:
    return any((folder / name).is_file() for name in SAVED_FILES)


def _list_tables(folder: Path) -> dict[str, list[str]]:
    """List the Parquet and Arrow files of a folder by suffix."""
    tables: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in _TABLE_FORMATS:
            tables.setdefault(path.suffix, []).append(str(path))
    return tables


def _list_saved_files(folder: Path) -> list[Path]:
    """List the Arrow files that the library reads of a dataset saved in a folder."""
    parts = [folder]
    if (folder / "dataset_dict.json").is_file():
        parts += [
            folder / split
            for split in json.loads(read_regular(folder / "dataset_dict.json", _MAX_STATE_BYTES))["splits"]
        ]
    states = [part / "state.json" for part in parts if (part / "state.json").is_file()]
    return [
        state.parent / file["filename"]
        for state in states
        for file in json.loads(read_regular(state, _MAX_STATE_BYTES))["_data_files"]
    ]


def load(source: str) -> Mapping[str, Any]:
    """Load a dataset as rows by split.

    Raises:
        MissingError: the dataset is missing, both here and on the hub.
        UsageError: one of its files is damaged.
    """
    import datasets

    path = Path(source)
    datasets.disable_progress_bars()
    name, revision = (source, None) if path.is_dir() else _resolve_on_hub(source)
    try:
        if path.is_dir() and _has_saved_file(path):
            for file in _list_saved_files(path):
                map_arrow_file(file)  # the library uses what it reads unchecked
            dataset = datasets.load_from_disk(str(path))
        elif path.is_dir():
            suffix, files = next(iter(_list_tables(path).items()))
            by_split: dict[str, list[str]] = {}
            for file in files:
                by_split.setdefault(split_from_name(Path(file).stem), []).append(file)
            dataset = datasets.load_dataset(_TABLE_FORMATS[suffix], data_files=by_split)
        else:
            dataset = datasets.load_dataset(name, revision=revision)
    except UserError:
        raise
    except Exception as error:  # the library and its dependencies raise anything
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise MissingError(f"the dataset {source} cannot be had: {first}", _HINT) from error
    if not isinstance(dataset, Mapping):
        return {"train": dataset}
    return {str(split): rows for split, rows in dataset.items()}


def _resolve_on_hub(source: str) -> tuple[str, str | None]:
    """Return a dataset's name and commit after a single request: the library itself retries for half a minute.

    Raises:
        MissingError: the dataset is not on the hub, or the hub does not answer.
    """
    from huggingface_hub import HfApi, is_offline_mode
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    name, _, revision = source.partition("@")
    if is_offline_mode():  # an earlier download is enough
        return name, revision or None
    try:
        return name, HfApi().dataset_info(name, revision=revision or None, timeout=3).sha
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise MissingError(f"there is no folder {source}, and the hub knows no such dataset", _HINT) from error
    except Exception as error:
        raise MissingError(f"there is no folder {source}, and the hub does not answer", _HINT) from error


def split_from_name(name: str) -> str:
    """Return the split that a split's or file's name stands for; `train` if it names none."""
    return SPLIT_ALIASES.get(name) or find_split(name) or "train"


def find_split(name: str) -> str | None:
    """Find the split in a file's name, by the rule of KB-NER's reader."""
    name = name.lower()
    if "train" in name:
        return "train"
    if "dev" in name or "valid" in name or "testa" in name:
        return "dev"
    return "test" if "test" in name else None

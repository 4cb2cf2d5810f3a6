# The library `datasets` has no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""Find and load datasets of the library `datasets`: saved folders, tables, and names on the hub.

Only data is read; the library runs no code of a repository.
"""

from __future__ import annotations

import csv
import json
import logging
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ita_pipeline.core.errors import MissingError, UsageError, UserError
from ita_pipeline.core.files import open_regular, read_regular
from ita_pipeline.core.progress import show_activity
from ita_pipeline.core.text import clean_line
from ita_pipeline.sources.columns import TEXT_COLUMNS, WORD_COLUMNS
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.parquet import map_arrow_file
from ita_pipeline.sources.table_sizes import check_table

# Files of a dataset that was saved with `save_to_disk`.
SAVED_FILES = ("dataset_dict.json", "dataset_info.json", "state.json")

_MAX_STATE_BYTES = 1 << 24

_HUB_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?(?:@[\w./-]+)?")

_HINT = "give a folder, or owner/name with a connection; HF_HUB_OFFLINE=1 uses an earlier download"

_TABLE_FORMATS = {".parquet": "parquet", ".arrow": "arrow"}

# Text files whose first line names the columns.
_DELIMITED = (".csv", ".tsv")

_BLOCK_BYTES = 1 << 24

_CONLL_TAG = re.compile(r"[Oo]|[A-Za-z]-\S+")

SPLIT_ALIASES = {"valid": "dev", "validation": "dev", "val": "dev"}


def is_loadable(source: str, text_column: str | None = None) -> bool:
    """Whether `load` accepts a source: a table, a folder with such files, or a missing path that may be a hub name.

    A TSV file is a table if its first line names `text_column`, or a usual column of texts or words. Otherwise it
    is in CoNLL form.
    """
    path = Path(source)
    if path.is_dir():
        return _has_saved_file(path) or _list_tables(path) != {}
    if path.is_file():
        suffix = path.suffix.lower()
        return (
            suffix in _TABLE_FORMATS or suffix == ".csv" or (suffix == ".tsv" and _names_posts(path, text_column))
        )
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
    datasets.logging.set_verbosity(logging.CRITICAL)  # the error that it raises says the same
    name, revision = (source, None) if path.exists() else _resolve_on_hub(source)
    show_activity(f"loading the dataset {source}")
    try:
        if path.is_file():
            return {split_from_name(path.stem): _load_file(path)}
        if path.is_dir() and _has_saved_file(path):
            for file in _list_saved_files(path):
                map_arrow_file(file)  # the library uses what it reads unchecked
            dataset = datasets.load_from_disk(str(path))
        elif path.is_dir():
            suffix, files = next(iter(_list_tables(path).items()))
            for file in files:
                _check_file(Path(file))
            by_split: dict[str, list[str]] = {}
            for file in files:
                by_split.setdefault(split_from_name(Path(file).stem), []).append(file)
            dataset = datasets.load_dataset(_TABLE_FORMATS[suffix], data_files=by_split)
        else:
            dataset = datasets.load_dataset(name, revision=revision)
    except UserError:
        raise
    except Exception as error:  # the library and its dependencies raise anything
        if path.is_file():
            raise UsageError(f"{path} is not a {path.suffix[1:]} file, or is damaged", "write it again") from error
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise MissingError(f"the dataset {source} cannot be loaded: {first}", _HINT) from error
    finally:
        show_activity("")
    if not isinstance(dataset, Mapping):
        return {"train": dataset}
    return {str(split): rows for split, rows in dataset.items()}


def _check_file(path: Path) -> None:
    """Check a table, since the library uses what it reads unchecked.

    Raises:
        UsageError: it is damaged, or expands to a multiple of its size.
        OSError, ValueError: it is damaged.
    """
    if path.suffix.lower() == ".arrow":
        map_arrow_file(path)
    else:
        check_table(LocalFile(path))


def _load_file(path: Path) -> object:
    """Load a table. The cells of CSV and TSV files are texts, so that `007` stays an id."""
    import datasets
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    if path.suffix.lower() not in _DELIMITED:
        _check_file(path)
        loaded = datasets.load_dataset(_TABLE_FORMATS[path.suffix.lower()], data_files=str(path))
        return next(iter(loaded.values()))
    delimiter, names = _read_header(path)
    repeated = sorted(name for name, number in Counter(names).items() if number > 1)
    if repeated:
        raise UsageError(f"{path} has two columns with the name {repeated[0]!r}", "rename one of them")
    try:
        table = pa_csv.read_csv(
            path,
            pa_csv.ReadOptions(block_size=_BLOCK_BYTES),
            pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )
    except pa.ArrowInvalid as error:
        hint = (
            "each row needs as many cells as the first; quote cells that contain the delimiter or a quotation mark"
        )
        raise UsageError(f"{path} is no table: {clean_line(str(error))[:300]}", hint) from error
    return datasets.Dataset(table)


def _read_header(path: Path) -> tuple[str, list[str]]:
    """Read the delimiter and the names of the columns from a file's first line.

    Raises:
        UsageError: the file is not UTF-8.
    """
    with open_regular(path) as file:
        line = file.readline(_BLOCK_BYTES)
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text", f"iconv -f latin1 -t utf-8 {path} > NEW") from error
    delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=text.count)
    return delimiter, next(csv.reader([text], delimiter=delimiter), [])


def _names_posts(path: Path, text_column: str | None) -> bool:
    try:
        _, names = _read_header(path)
    except (UsageError, OSError, csv.Error):
        return False
    known = (*TEXT_COLUMNS, *WORD_COLUMNS)
    is_usual = any(name.lower() in known for name in names) and not any(map(_CONLL_TAG.fullmatch, names))
    return is_usual or text_column in names


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
        raise MissingError(f"there is no folder {source}, and the hub has no such dataset", _HINT) from error
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

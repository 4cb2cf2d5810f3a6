# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportUnknownArgumentType=false
"""Export of records to Parquet files for other programs, such as `datasets`, DuckDB and Spark: one file per stage.

A row contains the members of a record: `image`, the `key` of the stage, `value` or `failure`, and `seconds`. A
value is a struct with the fields of the stage's value type. A field without a fixed shape is JSON text.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Union, cast, get_args, get_origin

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from ita_pipeline.cache.keys import StageKey, explain_unreadable
from ita_pipeline.cache.store import KeyUsage, Store
from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.files import open_atomically
from ita_pipeline.core.text import map_texts
from stages.base import Failure, Stage, replace_surrogates
from stages.batching import batched

# Rows per row group, which is held in memory while it is written.
ROW_GROUP_SIZE = 10_000


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file with the records of a stage, under all keys that the installed stage can read."""

    file: Path
    keys: int
    records: int
    size: int


def export(
    store: Store,
    folder: Path,
    installed: Mapping[str, type[Stage[Any]]],
    stages: Sequence[str] = (),
    row_group_size: int = ROW_GROUP_SIZE,
) -> tuple[list[ExportedFile], list[tuple[StageKey, str]]]:
    """Write `<stage>.parquet` into a folder for each stage, with rows sorted by key and image.

    If `folder` ends in `.parquet`, that file is written, for a single stage. A file appears when it is complete.

    Returns:
        The files, and the keys that were left out, each with the reason.

    Raises:
        UsageError: a file exists, or there is nothing to export, or more than one stage for one file.
        CorruptCacheError: a record is damaged.
    """
    left_out: list[tuple[StageKey, str]] = []
    by_stage: dict[str, list[KeyUsage]] = {}
    for usage in store.list_keys():
        name = usage.key.stage
        if (stages and name not in stages) or not (usage.values or usage.failures):
            continue
        why = explain_unreadable(usage.key, installed)
        if why:
            left_out.append((usage.key, why))
        else:
            by_stage.setdefault(name, []).append(usage)
    files = _choose_files(folder, list(by_stage), stages)
    exported = [
        _write(store, installed[name], files[name], usages, row_group_size) for name, usages in by_stage.items()
    ]
    return exported, left_out


def _choose_files(folder: Path, names: Sequence[str], stages: Sequence[str]) -> dict[str, Path]:
    """Choose the file of each stage.

    Raises:
        UsageError: there is no stage, a file exists, or more than one stage is for one file.
    """
    if not names:
        of = f" of {', '.join(stages)}" if stages else ""
        raise UsageError(f"the cache has no records{of}", "ita cache ls lists the records")
    if folder.suffix == ".parquet":
        if len(names) > 1:
            what = f"{folder} is one file, and there are records of {', '.join(names)}"
            raise UsageError(what, "choose one with --stage NAME, or export to a folder")
        files = {names[0]: folder}
    else:
        files = {name: folder / f"{name}.parquet" for name in names}
    for file in files.values():
        if file.exists():
            raise UsageError(f"{file} already exists", "choose another name")
    files[names[0]].parent.mkdir(parents=True, exist_ok=True)
    return files


def _write(
    store: Store, stage: type[Stage[Any]], file: Path, usages: Sequence[KeyUsage], row_group_size: int
) -> ExportedFile:
    """Write the records of a stage to a file."""
    schema = schema_of(stage)
    records = 0
    with open_atomically(file) as opened, pq.ParquetWriter(opened, schema, compression="zstd") as writer:
        for usage in sorted(usages, key=lambda usage: usage.key.hexdigest):
            for rows in batched(_rows(store, stage, usage, schema.field("value").type), row_group_size):
                writer.write_table(pa.Table.from_pylist(rows, schema))
                records += len(rows)
    return ExportedFile(file, len(usages), records, file.stat().st_size)


def _rows(
    store: Store, stage: type[Stage[Any]], usage: KeyUsage, value_type: pa.DataType
) -> Iterator[dict[str, Any]]:
    """The current records of a key as rows, by image.

    Raises:
        CorruptCacheError: a record is damaged.
    """
    for record in store.iterate_results(stage, usage.folder):
        row: dict[str, Any] = {"image": replace_surrogates(record.image), "key": usage.key.hexdigest}
        content = map_texts(record.result.model_dump(mode="json"), replace_surrogates)
        if isinstance(record.result, Failure):
            row["failure"] = content
        else:
            row["value"] = _to_column(content, value_type)
        yield {**row, "seconds": record.seconds}


def schema_of(stage: type[Stage[Any]]) -> pa.Schema:
    """The columns of a stage's file."""
    failure = pa.struct([pa.field("kind", pa.string()), pa.field("reason", pa.string())])
    return pa.schema(
        [
            pa.field("image", pa.string(), nullable=False),
            pa.field("key", pa.string(), nullable=False),
            pa.field("value", _struct_of(stage.value_type)),
            pa.field("failure", failure),
            pa.field("seconds", pa.float64(), nullable=False),
        ],
        metadata={"ita.stage": stage.name, "ita.version": str(stage.version)},
    )


def _struct_of(model: type[BaseModel]) -> pa.DataType:
    """The struct of a model, or text where it has no fixed fields, since Parquet has no empty struct."""
    fields = [pa.field(name, _type_of(info.annotation)) for name, info in model.model_fields.items()]
    return pa.struct(fields) if fields and model.model_config.get("extra") != "allow" else pa.string()


def _type_of(annotation: object) -> pa.DataType:
    """The Arrow type of a field, or text where its shape is not fixed."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_of(arguments[0])
    if origin in (Union, types.UnionType):
        members = {_type_of(argument) for argument in arguments if argument is not type(None)}
        return members.pop() if len(members) == 1 else pa.string()
    if origin in (list, tuple, Sequence, frozenset, set):
        elements = {_type_of(argument) for argument in arguments if argument is not Ellipsis}
        return pa.list_(elements.pop()) if len(elements) == 1 else pa.string()
    if isinstance(annotation, type):
        if issubclass(annotation, BaseModel):
            return _struct_of(annotation)
        for kind, arrow_type in ((bool, pa.bool_()), (int, pa.int64()), (float, pa.float64())):
            if issubclass(annotation, kind) and not issubclass(annotation, Enum):
                return arrow_type
    return pa.string()


def _to_column(value: object, arrow_type: pa.DataType) -> object:
    """Convert JSON to the type of a column, and to JSON text where that is text."""
    if value is None:
        return None
    if isinstance(arrow_type, pa.StructType):
        members = cast(dict[str, object], value)
        return {field.name: _to_column(members.get(field.name), field.type) for field in arrow_type}
    if isinstance(arrow_type, pa.ListType):
        return [_to_column(element, arrow_type.value_type) for element in cast(list[object], value)]
    if pa.types.is_string(arrow_type) and not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return value

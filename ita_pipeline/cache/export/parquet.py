"""Records as Parquet files for other programs, such as `datasets`, DuckDB and Spark: one a stage.

A row says what a line of a segment says: `image`, the `key` of the stage, `value` or `failure`, and `seconds`. A
value is a struct whose fields are those of the stage's value type. What has no fixed shape there is JSON text.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from ita_pipeline.cache.inventory import Holding, holdings
from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.records import damaged
from ita_pipeline.cache.store import Reader, Store
from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.files import open_atomically
from ita_pipeline.core.iteration import batched
from ita_pipeline.core.text import map_texts
from stages.base import Failure, Stage, replace_surrogates

if TYPE_CHECKING:
    import pyarrow as pa


# A row group is held in memory while it is written.
ROWS = 10_000

JSON = "json"


@dataclass(frozen=True, slots=True)
class Part:
    """A file that was written: the records of a stage, under all keys that the installed stage can read."""

    file: Path
    keys: int
    records: int
    size: int


def export(
    store: Store, folder: Path, installed: Mapping[str, type[Stage[Any]]], stages: Sequence[str] = ()
) -> tuple[list[Part], list[tuple[StageKey, str]]]:
    """Write `<stage>.parquet` into a folder for each stage, rows by key and then by image; and what is left out.

    Where `folder` ends in `.parquet`, that file is written, for a single stage. Each appears when it is complete.

    Raises:
        UsageError: a file exists, or there is nothing to export, or too much for one file.
        CorruptCacheError: a record is damaged.
    """
    left_out: list[tuple[StageKey, str]] = []
    by_stage: dict[str, list[Holding]] = {}
    for holding in holdings(store):
        stage = installed.get(holding.key.stage)
        if (stages and holding.key.stage not in stages) or not (holding.values or holding.failures):
            continue
        if stage is None:
            left_out.append((holding.key, "that stage is not installed"))
        elif holding.key.components.get("version") != stage.version:
            left_out.append((holding.key, "it is of another version of the stage"))
        else:
            by_stage.setdefault(holding.key.stage, []).append(holding)
    files = named_files(folder, list(by_stage), stages)
    parts = [write(store, files[name], found, installed[name]) for name, found in by_stage.items()]
    return parts, left_out


def named_files(folder: Path, found: Sequence[str], stages: Sequence[str]) -> dict[str, Path]:
    if not found:
        of = f" of {', '.join(stages)}" if stages else ""
        raise UsageError(f"the cache holds no record{of}", "ita cache ls shows what there is")
    if folder.suffix == ".parquet":
        if len(found) > 1:
            what = f"{folder} is one file, and there are records of {', '.join(found)}"
            raise UsageError(what, "--stage NAME chooses one; or name a folder")
        files = {found[0]: folder}
    else:
        files = {name: folder / f"{name}.parquet" for name in found}
    for file in files.values():
        if file.exists():
            raise UsageError(f"{file} exists", "give a name that is free")
    for file in files.values():
        file.parent.mkdir(parents=True, exist_ok=True)
    return files


def write(store: Store, file: Path, found: Sequence[Holding], stage: type[Stage[Any]]) -> Part:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = schema_of(stage)
    shape = schema.field("value").type
    records = 0
    with open_atomically(file) as opened, pq.ParquetWriter(opened, schema, compression="zstd") as writer:
        for holding in sorted(found, key=lambda holding: holding.key.hexdigest):
            for rows in batched(rows_of(store, holding, stage, shape), ROWS):
                writer.write_table(pa.Table.from_pylist(rows, schema))
                records += len(rows)
    return Part(file, len(found), records, file.stat().st_size)


def rows_of(
    store: Store, holding: Holding, stage: type[Stage[Any]], shape: pa.DataType
) -> Iterator[dict[str, Any]]:
    """The records that hold under a key, by image.

    Raises:
        CorruptCacheError: one is damaged.
    """
    store.index.refresh(holding.folder)
    for damage in store.index.damage(holding.folder):
        raise damaged(damage.segment, damage.line)
    with Reader() as reader:
        for entry in store.index.sorted_entries(holding.folder):
            record = reader.read(entry, stage)
            row: dict[str, Any] = {"image": replace_surrogates(record.image), "key": holding.key.hexdigest}
            if isinstance(record.result, Failure):
                row["failure"] = map_texts(record.result.model_dump(mode="json"), replace_surrogates)
            else:
                row["value"] = shaped(map_texts(record.result.model_dump(mode="json"), replace_surrogates), shape)
            yield {**row, "seconds": record.seconds}


def schema_of(stage: type[Stage[Any]]) -> pa.Schema:
    import pyarrow as pa

    failure = pa.struct([pa.field("kind", pa.string()), pa.field("reason", pa.string())])
    return pa.schema(
        [
            pa.field("image", pa.string(), nullable=False),
            pa.field("key", pa.string(), nullable=False),
            pa.field("value", struct_of(stage.value_type)),
            pa.field("failure", failure),
            pa.field("seconds", pa.float64(), nullable=False),
        ],
        metadata={"ita.stage": stage.name, "ita.version": str(stage.version)},
    )


def struct_of(model: type[BaseModel]) -> pa.DataType:
    """A model as a struct; one without fields as JSON text, since Parquet has no empty struct."""
    import pyarrow as pa

    fields = [pa.field(name, type_of(info.annotation)) for name, info in model.model_fields.items()]
    return pa.struct(fields) if fields and model.model_config.get("extra") != "allow" else pa.string()


def type_of(annotation: Any) -> pa.DataType:
    """The Arrow type of a field; text, for JSON, where its shape is not fixed."""
    import pyarrow as pa

    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_of(arguments[0])
    if origin in (Union, types.UnionType):
        kinds = {type_of(one) for one in arguments if one is not type(None)}
        return kinds.pop() if len(kinds) == 1 else pa.string()
    if origin is Literal and all(isinstance(one, str) for one in arguments):
        return pa.string()
    if origin in (list, tuple, Sequence, frozenset, set):
        kinds = {type_of(one) for one in arguments if one is not Ellipsis}
        return pa.list_(kinds.pop()) if len(kinds) == 1 else pa.string()
    if isinstance(annotation, type):
        if issubclass(annotation, BaseModel):
            return struct_of(annotation)
        for kind, made in ((bool, pa.bool_()), (int, pa.int64()), (float, pa.float64())):
            if issubclass(annotation, kind) and not issubclass(annotation, Enum):
                return made
    return pa.string()


def shaped(value: Any, shape: pa.DataType) -> Any:
    """JSON of a value as a column takes it: what has no fixed shape as JSON text."""
    import pyarrow as pa

    if value is None:
        return None
    if pa.types.is_struct(shape):
        return {field.name: shaped(value.get(field.name), field.type) for field in shape}
    if pa.types.is_list(shape):
        return [shaped(one, shape.value_type) for one in value]
    if pa.types.is_string(shape) and not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return value

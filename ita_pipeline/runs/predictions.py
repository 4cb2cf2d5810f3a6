"""Predictions: the mentions of posts, as columns of a dataset, and in part files.

Part files hold any number of predictions, and an interrupted run continues after the last complete part.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ita_pipeline.cache.records import has_valid_checksum, sign
from ita_pipeline.core.errors import CorruptCacheError, UsageError
from ita_pipeline.core.files import (
    MAX_TEXT_BYTES,
    new_folder,
    open_atomically,
    open_regular,
    read_regular,
    refuse_existing,
    write_atomically,
)
from ita_pipeline.corpus.posts import Box, Post
from ita_pipeline.grounding.evidence import NOTHING, Evidence
from ita_pipeline.ner.prediction import ScoredSpan
from ita_pipeline.sources.hub_datasets import load
from stages.objects.schema import ObjectsValue

if TYPE_CHECKING:
    from datasets import Dataset
    from spacy.language import Language
    from spacy.tokens import Doc

MENTION_TYPES = {"start": "int64", "end": "int64", "text": "string", "type": "string", "score": "float64"}
"""The fields of a mention and their Arrow types."""

GROUNDED_TYPES = {"visible": "float64", "why": "string"}
"""The fields of a grounded mention beside `boxes`, which is a list of four numbers each."""

SCHEMA = "ita.predictions/1"

PART_COLUMNS = ("number", "key", "schema", "id", "text", "view", "mentions", "failed")

PostIdentity = tuple[str, str]
"""The id of a post and the digest of its text and image."""

MENTIONS_COLUMN, VIEW_COLUMN = "predicted_mentions", "predicted_view"


@dataclass(frozen=True, slots=True)
class Mention:
    """A mention in a post.

    `start` and `end` are character positions in the post's text, end exclusive; `score` is a probability in 0..1.
    With a grounder, `visible` is the probability that the post's first picture shows the mention, `boxes` are
    where, and `why` is the strongest evidence; without a grounder, they are None.
    """

    start: int
    end: int
    text: str
    type: str
    score: float
    visible: float | None = None
    boxes: tuple[Box, ...] | None = None
    why: str | None = None

    @classmethod
    def from_scored(cls, post: Post, scored: ScoredSpan) -> Mention:
        """Convert a span of words to a span of characters."""
        start, end = post.characters(scored.span)
        return cls(start, end, post.text[start:end], scored.span.type, scored.score)

    def to_json(self) -> dict[str, Any]:
        """Return the mention as `ita.prediction/1` stores it."""
        content = asdict(self) | {"score": round(self.score, 4)}
        if self.visible is None or self.boxes is None:
            return {name: value for name, value in content.items() if name in MENTION_TYPES}
        return content | {"visible": round(self.visible, 4), "boxes": [round_box(box) for box in self.boxes]}


def round_box(box: Box) -> list[float]:
    """The corners of a box in tenths of a pixel."""
    return [round(side, 1) for side in box]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The mentions of a post.

    `view` tells whether contexts were read beside the text; `failed` is the reason if one is missing. `objects` are
    the detected objects of each picture. A notebook shows the text and the pictures, with what was found in them.
    """

    post: Post
    view: str
    contexts: tuple[str, ...]
    mentions: tuple[Mention, ...]
    failed: str = ""
    objects: tuple[ObjectsValue | None, ...] = ()

    def to_doc(self, nlp: Language) -> Doc:
        """Return the post as a document of spaCy, with the words of `nlp` and the mentions as entities.

        A word that a mention begins or ends inside is split there, so that entities have exactly the characters of
        the mentions. `doc.spans["ita"]` has the same spans, with the probabilities in `attrs["scores"]`.
        """
        from ita_pipeline.runs.notebook import make_doc

        return make_doc(nlp, self.post.text, [(one.start, one.end, one.type, one.score) for one in self.mentions])

    def _repr_html_(self) -> str:
        from ita_pipeline.runs.notebook import MentionBox, format_html

        mentions = [(one.start, one.end, one.type, one.score) for one in self.mentions]
        boxes = [
            MentionBox(one.text, one.type, f"{one.text}: {one.why}, {one.visible:.2f}", box)
            for one in self.mentions
            for box in one.boxes or ()
        ]
        return format_html(self.post, mentions, self.objects, self.failed, boxes)

    def to_json(self) -> dict[str, Any]:
        """Return the prediction in the schema `ita.prediction/1`."""
        return {
            "schema": "ita.prediction/1",
            "id": self.post.id,
            "text": self.post.text,
            "view": self.view,
            "mentions": [mention.to_json() for mention in self.mentions],
        }


@dataclass(frozen=True, slots=True)
class TaggingInput:
    """A post, the contexts to read beside it, and what a grounder reads of its picture.

    `failed` is the reason if contexts are missing. `number` is the post's position in its source, from 1, and `key`
    a digest of its text and image; both are only used for part files. `objects` are passed on to the prediction.
    """

    post: Post
    contexts: tuple[str, ...] = ()
    failed: str = ""
    number: int = 0
    key: str = ""
    objects: tuple[ObjectsValue | None, ...] = ()
    evidence: Evidence = NOTHING


def add_predictions(rows: Dataset, predictions: Iterable[Prediction]) -> Dataset:
    """Add columns for the mentions, in the schema `ita.prediction/1`, and the view to a dataset."""
    import datasets

    contents = [prediction.to_json() for prediction in predictions]
    mention: dict[str, Any] = {name: datasets.Value(kind) for name, kind in MENTION_TYPES.items()}
    if any("boxes" in mention for content in contents for mention in content["mentions"]):
        mention |= {name: datasets.Value(kind) for name, kind in GROUNDED_TYPES.items()}
        mention["boxes"] = datasets.List(datasets.List(datasets.Value("float64")))
    rows = rows.remove_columns([name for name in (MENTIONS_COLUMN, VIEW_COLUMN) if name in rows.column_names])
    mentions = [content["mentions"] for content in contents]
    views = [content["view"] for content in contents]
    rows = rows.add_column(MENTIONS_COLUMN, mentions, feature=datasets.List(mention))
    return rows.add_column(VIEW_COLUMN, views, feature=datasets.Value("string"))


def save_predictions(source: str, predictions: Sequence[Prediction], to: Path) -> None:
    """Write a dataset with the predictions of its posts, in their order, in the format of `datasets`.

    Raises:
        UsageError: `to` exists already.
    """
    import datasets

    refuse_existing(to)
    remaining = iter(predictions)
    splits: Any = {
        name: add_predictions(rows, itertools.islice(remaining, len(rows))) for name, rows in load(source).items()
    }
    with new_folder(to) as folder:
        datasets.DatasetDict(splits).save_to_disk(str(folder))


class PartFormat(StrEnum):
    """The format of part files; the value is their suffix."""

    JSONL = "jsonl"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class PartFolder:
    """A folder of part files, which several processes may write to at the same time."""

    folder: Path
    part_format: PartFormat

    @classmethod
    def open(cls, folder: Path, run: str, min_confidence: float, part_format: PartFormat) -> PartFolder:
        """Create the folder of a run's predictions, or open the one that a previous call created.

        Raises:
            UsageError: the folder contains something else.
        """
        manifest = {"schema": SCHEMA, "run": run, "min_confidence": min_confidence, "format": part_format.value}
        file = folder / "predictions.json"
        if file.is_file():
            existing = _read_manifest(file)
            changed = [name for name in manifest if existing.get(name) != manifest[name]]
            if changed:
                what = ", ".join(f"{name} {existing.get(name)}" for name in changed)
                raise UsageError(f"{folder} contains predictions with another {what}", "name another: --parts …")
        elif folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            raise UsageError(f"{folder} contains other files", "name a new folder: --parts …")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(file, json.dumps(manifest) + "\n")
        return cls(folder.absolute(), part_format)

    def write(self, rows: Sequence[dict[str, Any]]) -> Path:
        """Write rows, each with at least `number`, `id` and `key`, as one part.

        The name depends on the rows, so a part that is written twice exists once.

        Raises:
            OSError: the disk is full or fails.
        """
        identities = json.dumps([[row["id"], row["key"]] for row in rows])
        digest = hashlib.sha256(identities.encode()).hexdigest()
        path = self.folder / f"part-{rows[0]['number']:012d}-{digest[:16]}.{self.part_format.value}"
        with open_atomically(path) as file:
            if self.part_format is PartFormat.PARQUET:
                import pyarrow as pa
                import pyarrow.parquet as pq

                fields: list[tuple[str, Any]] = list(MENTION_TYPES.items())
                if any("boxes" in mention for row in rows for mention in row.get("mentions", ())):
                    fields += [*GROUNDED_TYPES.items(), ("boxes", pa.list_(pa.list_(pa.float64())))]
                mentions = pa.list_(pa.struct(fields))
                types: dict[str, Any] = {"number": "int64", "mentions": mentions}
                schema = pa.schema([(name, types.get(name, "string")) for name in PART_COLUMNS])
                pq.write_table(pa.Table.from_pylist(rows, schema), file, write_page_checksum=True)
            else:
                file.writelines(sign(row) + b"\n" for row in rows)
        return path

    def identities(self) -> Iterator[PostIdentity]:
        """Yield the identity of every predicted post.

        Raises:
            CorruptCacheError: a part is damaged.
        """
        read = _read_parquet if self.part_format is PartFormat.PARQUET else _read_jsonl
        for path in sorted(self.folder.glob(f"part-*.{self.part_format.value}")):
            try:
                yield from read(path)
            except (ValueError, KeyError, TypeError, OSError) as error:
                hint = f"rm {path}; the next run predicts its posts again"
                raise CorruptCacheError(f"{path} is not what was written there", hint) from error


def _read_manifest(file: Path) -> dict[str, Any]:
    with contextlib.suppress(ValueError, OSError, RecursionError):
        content = json.loads(read_regular(file, MAX_TEXT_BYTES))
        if isinstance(content, dict):
            return content
    return {}


def _read_parquet(path: Path) -> Iterator[PostIdentity]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for batch in file.iter_batches(columns=["id", "key"]):
            for row in batch.to_pylist():
                yield row["id"], row["key"]


def _read_jsonl(path: Path) -> Iterator[PostIdentity]:
    with open_regular(path) as lines:
        for line in lines:
            if not has_valid_checksum(line.rstrip(b"\n")):
                raise ValueError("a line is damaged")
            row = json.loads(line)
            yield row["id"], row["key"]


class PredictedPosts:
    """The set of posts that have a prediction already, in a temporary database so that memory does not grow."""

    def __init__(self, parts: PartFolder) -> None:
        """Read the identities of a folder's posts.

        Raises:
            CorruptCacheError: a part is damaged.
        """
        self._database = sqlite3.connect("")
        self._database.execute("CREATE TABLE posts (digest BLOB PRIMARY KEY) WITHOUT ROWID")
        with self._database:
            for identity in parts.identities():
                self._insert(identity)

    def add_new(self, inputs: Iterable[TaggingInput]) -> list[TaggingInput]:
        """Add posts to the set and return those that were not in it yet, in their order and without duplicates."""
        with self._database:
            return [item for item in inputs if self._insert((item.post.id, item.key))]

    def close(self) -> None:
        """Delete the database."""
        self._database.close()

    def _insert(self, identity: PostIdentity) -> bool:
        """Insert a post and return whether it was new."""
        digest = hashlib.blake2b(json.dumps(identity).encode(), digest_size=16).digest()
        return self._database.execute("INSERT OR IGNORE INTO posts VALUES (?)", (digest,)).rowcount == 1

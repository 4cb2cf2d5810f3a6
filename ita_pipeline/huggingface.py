"""Datasets in the form of the library `datasets`: a saved folder, files it reads, or a name on the hub.

Only data is read; the library runs no code of a repository. Pictures are written as the bytes they are.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ita_pipeline.corpus.conll import TAG, bio_spans
from ita_pipeline.corpus.jsonl import ALIASES
from ita_pipeline.corpus.late import written_word
from ita_pipeline.corpus.posts import Post, joined
from ita_pipeline.errors import MissingError, UsageError
from ita_pipeline.folders import new_folder, refuse_existing
from ita_pipeline.images import FORMATS, MOST_BYTES
from ita_pipeline.importing import Imported, write_into
from stages.hub import SECONDS_TO_ANSWER

HUB_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?(?:@[\w./-]+)?")
HINT = "give a file or folder, or where there is a connection owner/name; HF_HUB_OFFLINE=1 takes one loaded before"
SAVED = ("dataset_dict.json", "dataset_info.json", "state.json")
TABLES = {".parquet": "parquet", ".arrow": "arrow"}
WORDS, TAGS = ("tokens", "words"), ("ner_tags", "tags", "labels", "ner")
IDS, PICTURES = ("id", "tweet_id", "image_id", "img_id"), ("image", "img", "picture")
# IOBES and BILOU in terms of BIO.
PREFIXES = {"S": "B", "U": "B", "E": "I", "L": "I"}


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


def import_dataset(source: str, to: Path, tag_names: str | None = None) -> Imported:
    """
    Raises:
        MissingError: the dataset is neither here nor on the hub.
        UsageError: it has no words or tags, or `to` is there already.
    """
    refuse_existing(to)
    found = Imported()
    with new_folder(to) as folder:
        for name, rows in load(source).items():
            split = split_name(name)
            if split in found.splits:
                raise UsageError(
                    f"{source} has several splits for {split}", "save the one that you mean as a folder"
                )
            found.splits[split] = list(posts_of(rows, split, folder, found.notes, tag_names))
        write_into(found, folder)
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
        return name, HfApi().dataset_info(name, revision=revision or None, timeout=SECONDS_TO_ANSWER).sha
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise MissingError(f"there is no folder {source}, and the hub knows no such dataset", HINT) from error
    except Exception as error:
        raise MissingError(f"there is no folder {source}, and the hub does not answer", HINT) from error


def split_name(name: str) -> str:
    from ita_pipeline.corpus.late import split_of_name

    return ALIASES.get(name, name if name in ("train", "dev", "test") else split_of_name(name) or "train")


def posts_of(rows: Any, split: str, folder: Path, notes: list[str], tag_names: str | None) -> Iterator[Post]:
    columns = list(rows.column_names)
    words, tags = column(columns, WORDS), column(columns, TAGS)
    id_column, picture = column(columns, IDS), column(columns, PICTURES)
    if words is None:
        raise UsageError(
            f"{split} has no words: its columns are {', '.join(columns)}", f"one of {', '.join(WORDS)}"
        )
    names = tag_names.split(",") if tag_names else class_names(rows, tags)
    rows = with_bytes(rows, picture)
    bad = 0
    for number, row in enumerate(rows, 1):
        post_id = str(row[id_column]) if id_column else f"{split}-{number}"
        tokens = tuple(written_word(str(word)) for word in row[words])
        text, offsets = joined(tokens)
        gold = None
        if tags is not None and row[tags] is not None:
            found = [bio(tag, names, split, number) for tag in row[tags]]
            if len(found) != len(tokens):
                raise UsageError(
                    f"{split}, row {number}: {len(tokens)} words have {len(found)} tags", "one tag for each word"
                )
            gold = tuple(bio_spans(found, {}))
        post = Post(post_id, text, tokens, offsets, gold)
        kept = keep_picture(row.get(picture), f"{split}-{number}", folder) if picture else None
        bad += picture is not None and row.get(picture) is not None and kept is None
        yield replace(post, image_id=kept.stem, picture=kept) if kept else post
    if bad:
        notes.append(f"{split}: {bad} pictures are none of a known format or too large, and were left out")


def column(columns: Sequence[str], wanted: Sequence[str]) -> str | None:
    return next((name for name in wanted if name in columns), None)


def class_names(rows: Any, tags: str | None) -> list[str] | None:
    """The names of numbered tags, where the dataset has them."""
    feature = rows.features.get(tags) if tags else None
    return getattr(getattr(feature, "feature", None), "names", None)


def bio(tag: Any, names: Sequence[str] | None, split: str, number: int) -> str:
    if isinstance(tag, int):
        if names is None:
            raise UsageError(f"{split}: the tags are numbers without names", "name them: --tag-names O,B-PER,I-PER")
        if not 0 <= tag < len(names):
            raise UsageError(
                f"{split}, row {number}: {tag} is no number of a tag", "--tag-names names every number"
            )
        tag = names[tag]
    prefix, dash, kind = str(tag).partition("-")
    found = f"{PREFIXES.get(prefix, prefix)}{dash}{kind}"
    if not TAG.fullmatch(found):
        raise UsageError(f"{split}, row {number}: {tag!r} is no BIO tag", "tags are O, B-TYPE and I-TYPE")
    return found


def with_bytes(rows: Any, picture: str | None) -> Any:
    """Rows whose pictures are handed over as they lie, undecoded."""
    import datasets

    if picture is None or not isinstance(rows.features.get(picture), datasets.Image):
        return rows
    return rows.cast_column(picture, datasets.Image(decode=False))


def keep_picture(content: Any, name: str, folder: Path) -> Path | None:
    """Write a picture's bytes under a name of our own; None where they are no picture. Nothing is decoded."""
    from PIL import Image

    data = content.get("bytes") if isinstance(content, dict) else None
    if data is None and isinstance(content, dict) and content.get("path") and Path(content["path"]).is_file():
        file = Path(content["path"])
        data = file.read_bytes() if file.stat().st_size <= MOST_BYTES else None
    if not data or len(data) > MOST_BYTES:
        return None
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            suffix = {"JPEG": "jpg"}.get(opened.format or "", (opened.format or "").lower())
    except Exception:  # decoders raise nearly anything on damaged data
        return None
    path = Path("images") / f"{name}.{suffix}"
    (folder / path.parent).mkdir(exist_ok=True)
    (folder / path).write_bytes(data)
    return path

"""A folder with one of everything that a target may name."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

from tests.support.fakes import draw

POST = '{"text": "hi"}\n'

TEXTS = {
    "tweets/tweets.jsonl": POST,
    "train/train.jsonl": POST,
    "conll/train.txt": "Hi O\n",
    "saved/dataset_info.json": "{}",
    "saved/state.json": "{}",
    "saved-with-posts/dataset_info.json": "{}",
    "saved-with-posts/state.json": "{}",
    "saved-with-posts/tweets.jsonl": POST,
    "splits/dataset_dict.json": "{}",
    "half-saved/state.json": "{}",
    "a.parquet": "hello",
    "a.arrow": "hello",
    "a.tar.gz": "\x1f\x8b",
    "a.zip": "hello",
    "unnamed-zip": "PK\x03\x04",
    "a.csv": "image,text\na.png,hi\n",
    "tweets.conll": "IMGID:1\nHi\n",
    "tweets.tsv": "Ada\tB-PER\n\nspoke\tO\n",
    "posts.txt": POST,
    "all.json": f"[{POST}]",
    "list.txt": "images/a.png\n",
    "LIST.TXT": "images/a.png\n",
    "list.jsonl": '{"path": "images/a.png"}\n',
    "list.ndjson": '{"url": "images/a.png"}\n',
    "posts.jsonl": POST,
    "posts.NDJSON": POST,
    "broken.jsonl": "{broken",
    "blank.jsonl": "",
    ".jsonl": POST,
    "notes.md": "hello",
    "card.yaml": "about: a card\nfiles: {all: [tweets.jsonl]}\n",
    "ita.yaml": "preset: bundled\n",
}


def create_targets() -> None:
    """Write images, folders, lists, archives, tables, posts and datasets into the current folder."""
    for folder in ("empty", "owner"):
        Path(folder).mkdir()
    for image in ("images/a.png", "half-saved/a.png", "folder.tar/a.png", "one.png"):
        draw(Path(image))
    for name, text in TEXTS.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text, "latin-1")
    for name in ("a.tar", "B.TAR", "{a,b}.tar"):
        with tarfile.open(name, "w") as archive:
            archive.add("images/a.png")
    os.mkfifo("pipe")

"""Damaged copies of a saved dataset, each read in a process of its own, so that a crash is seen.

`python -m tests.support.damaged_arrow 500 1` reads as many copies with another seed and prints how they ended.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from ita_pipeline.core.errors import UserError
from ita_pipeline.corpus.formats.hf_datasets import posts_of_source
from ita_pipeline.sources.base import ImageSource
from ita_pipeline.sources.discover import discover
from stages.base import BadItemError
from tests.support.hostile import encoded

ROWS = 6

_SENTENCE, _FINE, _FAILED_ROWS, _FOREIGN_BYTES, _TRACEBACK = range(10, 15)

OUTCOMES = {
    _SENTENCE: "one sentence",
    _FINE: "read",
    _FAILED_ROWS: "failed rows",
    _FOREIGN_BYTES: "bytes from outside the column",
    _TRACEBACK: "an unexpected exception",
}

HARMLESS = {OUTCOMES[code] for code in (_SENTENCE, _FINE, _FAILED_ROWS)}


def save_dataset(folder: Path) -> None:
    """Save a small dataset of posts with images."""
    import datasets

    datasets.disable_progress_bars()
    images = [encoded(Image.new("RGB", (2 + n, 3), (n * 9, 0, 0)), "PNG") for n in range(ROWS)]
    columns = {
        "id": [f"post-{n}" for n in range(ROWS)],
        "tokens": [["Ann", "in", "Paris", str(n)] for n in range(ROWS)],
        "ner_tags": [["B-PER", "O", "B-LOC", "O"] for _ in range(ROWS)],
        "image": [{"bytes": image, "path": None} for image in images],
    }
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "tokens": datasets.List(datasets.Value("string")),
            "ner_tags": datasets.List(datasets.Value("string")),
            "image": datasets.Image(),
        }
    )
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(str(folder))


def damage(content: bytes, chance: random.Random) -> bytes:
    """Flip bytes, write numbers that no offset or length should have, cut or repeat a part."""
    damaged = bytearray(content)
    kind = chance.randrange(4)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        if kind == 0:
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        elif kind == 1:
            damaged[chance.randrange(len(damaged))] = chance.choice((0, 1, 127, 128, 255))
        else:
            start = chance.randrange(len(damaged) // 4 - 2) * 4
            number = chance.choice(
                (-1, 0, 1, 2**31 - 1, -(2**31), 1 << 20, len(content), chance.randrange(1 << 16))
            )
            size = struct.pack("<i" if kind == 2 else "<q", number)
            damaged[start : start + len(size)] = size
    if chance.random() < 0.05:
        del damaged[chance.randrange(len(damaged)) :]
    return bytes(damaged)


def _read_all(folder: Path, content: bytes) -> int:
    """Read a dataset as `ita extract` and `ita data import` do, and return how that ended."""
    failed = foreign = 0

    def read(source: ImageSource) -> None:
        nonlocal failed, foreign
        try:
            foreign += source.read(10_000) not in content
        except BadItemError:
            failed += 1

    try:
        for source in discover(str(folder)).images:
            read(source)
        with posts_of_source(str(folder)) as posts:
            for _ in posts:
                pass
    except UserError:
        return _SENTENCE
    except Exception:
        return _TRACEBACK
    return _FOREIGN_BYTES if foreign else _FAILED_ROWS if failed else _FINE


def _in_child(work: Callable[[], int]) -> int:
    """Return the exit code of work in a forked process; below 0 it is the number of the signal that ended it."""
    child = os.fork()
    if child == 0:
        os._exit(work())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def read_damaged(count: int, seed: int, folder: Path) -> Iterator[tuple[int, str]]:
    """Yield the number of each damaged dataset and how reading it ended."""
    save_dataset(folder / "whole")
    name = next(path.name for path in (folder / "whole").iterdir() if path.suffix == ".arrow")
    content = (folder / "whole" / name).read_bytes()
    for number in range(count):
        damaged = damage(content, random.Random(f"{seed} {number}"))
        copy = folder / "damaged"
        shutil.copytree(folder / "whole", copy)
        (copy / name).write_bytes(damaged)
        code = _in_child(lambda copy=copy, damaged=damaged: _read_all(copy, damaged))
        shutil.rmtree(copy)
        yield number, OUTCOMES.get(code, f"exit code {code}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as _folder:
        _outcomes = list(read_damaged(int(sys.argv[1]), int(sys.argv[2]), Path(_folder)))
    print(json.dumps(Counter(outcome for _, outcome in _outcomes)))
    print(*(pair for pair in _outcomes if pair[1] not in HARMLESS), file=sys.stderr, sep="\n")

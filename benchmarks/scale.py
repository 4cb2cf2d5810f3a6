"""What ten million records cost: written through the store's own door, indexed, planned over, and read again.

`python -m benchmarks.scale [RECORDS …]`, by default 100 000 and a million; ten million take some minutes and 10 GB.
Each step is a process of its own, so that the memory told is its own. `--at FOLDER` says where the records lie
meanwhile.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ita_pipeline.cache.keys import stage_key
from ita_pipeline.cache.plan import make_plan
from ita_pipeline.cache.records import CRC_START, Record, encode
from ita_pipeline.cache.store import Store
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef
from stages.base import Identity, Item, Stage, StageConfig, Value
from stages.ocr.schema import OcrValue, Word

A_BATCH = 1000
# Of the pictures planned over, so many have no record yet.
NEW = 0.01
READ = 1000
MOST_ENCODED = 20_000


class Synthetic(Stage[StageConfig]):
    """Has said of every picture what Tesseract says of one with five words."""

    name, version = "synthetic", 1
    config_type, value_type = StageConfig, OcrValue

    def identity(self) -> Identity:
        return Identity()

    def run(self, items: Sequence[Item]) -> Sequence[Value]:
        raise AssertionError("nothing is computed here")


STAGE = Synthetic(StageConfig())
KEY = stage_key(STAGE, {})
WORDS = tuple(
    Word(text=text, confidence=0.93, box=(10, 20, 110, 40), line=0) for text in ("a", "big", "night", "for", "us")
)
VALUE = OcrValue(width=1200, height=800, words=WORDS)


def name(number: int) -> str:
    return hashlib.sha256(number.to_bytes(8, "big")).hexdigest()


def encoding(_: Path, count: int) -> dict[str, float]:
    """Records as lines: what `append` does before it writes. Of so many at most that it is soon done."""
    some = min(count, MOST_ENCODED)
    began = time.process_time()
    for number in range(some):
        encode(Record(name(number), VALUE, 0.3))
    return {"cpu": (time.process_time() - began) * count / some}


def write(root: Path, count: int) -> dict[str, float]:
    head, rest = encode(Record(name(0), VALUE, 0.3)).split(name(0).encode())
    rest = rest[: -len(CRC_START) - len('01234567"}') - 1]
    with Store(root).open_writer(KEY) as writer:
        for start in range(0, count, A_BATCH):
            bodies = [head + name(n).encode() + rest for n in range(start, min(start + A_BATCH, count))]
            lines = (b'%b%b%08x"}\n' % (body, CRC_START, zlib.crc32(body)) for body in bodies)
            writer.append_lines(b"".join(lines))
    files = [path.stat().st_size for path in Store(root).folder(KEY).glob("*.jsonl")]
    return {"bytes": sum(files), "segments": len(files)}


def index(root: Path, _: int) -> dict[str, float]:
    store = Store(root)
    store.index.refresh(store.folder(KEY))
    return {"bytes": (root / "index.sqlite").stat().st_size}


def items(root: Path, count: int) -> list[ImageRef]:
    new = int(count * NEW)
    return [ImageRef(name(number), LocalFile(root / f"{number}.jpg")) for number in range(count + new)]


def hold(root: Path, count: int) -> dict[str, float]:
    return {"items": len(items(root, count))}


def plan(root: Path, count: int) -> dict[str, float]:
    images = items(root, count)
    began, worked = time.perf_counter(), time.process_time()
    (todo,) = make_plan([STAGE], images, Store(root)).stages
    assert (todo.fresh, len(todo.stale)) == (count, int(count * NEW))
    return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - worked}


def read(root: Path, count: int) -> dict[str, float]:
    store, chance = Store(root), random.Random(1)
    names = [name(chance.randrange(count)) for _ in range(READ)]
    store.results(STAGE, KEY, names[:1])
    began, worked = time.perf_counter(), time.process_time()
    assert store.results(STAGE, KEY, names)
    return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - worked, "of": READ}


STEPS: dict[str, Callable[[Path, int], dict[str, float]]] = {
    "encode": encoding,
    "write": write,
    "index": index,
    "hold": hold,
    "plan": plan,
    "read": read,
}


def step(what: str, root: Path, count: int) -> dict[str, Any]:
    """Do one step in a process of its own: what it told, its seconds, and the most memory in megabytes."""
    command = [sys.executable, "-m", "benchmarks.scale", "--step", what, "--at", str(root), str(count)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measured(what: str, root: Path, count: int) -> dict[str, Any]:
    """CPU seconds are those of this process: other work on the machine does not stretch them."""
    began, worked = time.perf_counter(), time.process_time()
    told = STEPS[what](root, count)
    took = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - worked}
    return {**took, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, **told}


HEADER = (
    "| records | step | seconds | CPU seconds | CPU µs each | peak MB | bytes each | files |\n"
    "|---:|---|---:|---:|---:|---:|---:|---:|"
)


def rows(count: int, at: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir=at) as folder:
        root = Path(folder) / ".ita"
        for what in STEPS:
            found = step(what, root, count)
            each = found["cpu"] / found.get("of", count) * 1e6
            size = f"{found['bytes'] / count:.0f}" if "bytes" in found else ""
            took = f"{found['seconds']:.1f} | {found['cpu']:.1f} | {each:.1f} | {found['megabytes']:.0f}"
            yield f"| {count} | {what} | {took} | {size} | {found.get('segments', '')} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", nargs="*", type=int, default=[100_000, 1_000_000])
    parser.add_argument("--at", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--step", choices=STEPS)
    given = parser.parse_args()
    if given.step:
        print(json.dumps(measured(given.step, given.at, given.counts[0])))
        return
    print(HEADER)
    for count in given.counts:
        for row in rows(count, given.at):
            print(row, flush=True)


if __name__ == "__main__":
    main()

"""What it costs to find out that nothing has changed, beside DVC and a `datasets` map on the same folder.

`python -m benchmarks.staleness [PICTURES …]`; DVC is looked for at `.venv-peers/bin/dvc`, which `make bench` makes.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from benchmarks.timing import HEADER, Comparison, compare
from ita_pipeline.api import cache as upkeep
from ita_pipeline.cache.records import Record
from ita_pipeline.cache.store import Workspace
from ita_pipeline.extraction.options import Options
from stages.base import Value
from stages.caption.schema import CaptionValue
from stages.objects.schema import ObjectsValue
from stages.ocr.schema import OcrValue

HERE = Path(__file__).parent.parent
DVC = HERE / ".venv-peers" / "bin" / "dvc"
ITA = Path(sys.executable).parent / "ita"
A_FOLDER = 1000
VALUES: dict[str, Value] = {
    "caption": CaptionValue(source="template", captions=()),
    "objects": ObjectsValue(width=8, height=8, objects=()),
    "ocr": OcrValue(width=8, height=8, words=()),
}

MAP = """
import sys, datasets
datasets.disable_progress_bars()
found = datasets.load_dataset("imagefolder", data_dir=sys.argv[1], split="train", cache_dir=sys.argv[2])
def size(row):
    return {"width": row["image"].width}
print(len(found.map(size)))
"""


def picture(number: int) -> bytes:
    """A small JPEG unlike any other: what follows its end is not decoded, but is part of its content."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "JPEG")
    return buffer.getvalue() + number.to_bytes(8, "big")


def make_pictures(folder: Path, count: int) -> list[str]:
    """So many pictures, a thousand to a folder; their keys."""
    content, keys = picture(0)[:-8], []
    for number in range(count):
        place = folder / f"{number // A_FOLDER:05}"
        if number % A_FOLDER == 0:
            place.mkdir(parents=True)
        bytes_ = content + number.to_bytes(8, "big")
        (place / f"{number:08}.jpg").write_bytes(bytes_)
        keys.append(hashlib.sha256(bytes_).hexdigest())
    return keys


def seed(workspace: Path, keys: Sequence[str], stages: Sequence[str] = ()) -> int:
    """Synthetic records for all pictures under the keys that are current; how many."""
    store = Workspace(workspace).store
    wanted = upkeep.current_keys(Options("bundled", tuple(stages), workspace=workspace))
    for key in wanted.values():
        with store.open_writer(key) as writer:
            for start in range(0, len(keys), 1000):
                some = keys[start : start + 1000]
                writer.append([Record(image, VALUES[key.stage], 0.1) for image in some])
    return len(wanted) * len(keys)


@dataclass(frozen=True)
class Cost:
    """Wall seconds, seconds of CPU, and the most memory in megabytes, of a whole process."""

    seconds: float
    cpu: float
    megabytes: float


def run_command(*command: str | Path) -> Cost:
    began = time.perf_counter()
    with subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
        if child.returncode:
            assert child.stderr is not None
            raise RuntimeError(f"{command}: {child.stderr.read().decode()}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def extract(images: Path, workspace: Path) -> Cost:
    return run_command(ITA, "extract", images, "--preset", "bundled", "--workspace", workspace)


def status(images: Path, workspace: Path) -> Cost:
    return run_command(ITA, "status", images, "--preset", "bundled", "--stage", "ocr", "--workspace", workspace)


def unchanged(count: int) -> Iterator[Comparison]:
    """Three stages over pictures that are as they were."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        images, project = here / "project" / "images", here / "project"
        seed(here, make_pictures(images, count))
        extract(images, here)

        def ours() -> object:
            return extract(images, here)

        name = f"{count} pictures unchanged, three stages"
        if DVC.exists():
            dvc = quietly(DVC, project)
            dvc("init", "--no-scm")
            dvc("config", "core.analytics", "false")
            dvc("add", "images")
            yield compare(f"{name}; dvc status", ours, lambda: dvc("status"), pairs=3)
        mapped: Callable[[], object] = lambda: run_command(sys.executable, "-c", MAP, images, here / "datasets")  # noqa: E731
        yield compare(f"{name}; a datasets map", ours, mapped, pairs=3)


def quietly(program: Path, folder: Path) -> Callable[..., None]:
    def call(*arguments: str) -> None:
        subprocess.run([str(program), *arguments], cwd=folder, check=True, capture_output=True)

    return call


def hashing(count: int = 2000, size: int = 100_000) -> float:
    """Pictures of 100 KB identified a second, when none of them is known; their files are in memory."""
    from ita_pipeline.sources.identify import identify
    from ita_pipeline.sources.local import LocalFile

    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        for number in range(count):
            (here / f"{number}.jpg").write_bytes(os.urandom(size))
        paths = sorted(here.iterdir())
        store = Workspace(here / "workspace").store
        began = time.perf_counter()
        assert len(list(identify(map(LocalFile, paths), store.manifest))) == count
        return count / (time.perf_counter() - began)


def growth(counts: Sequence[int]) -> Iterator[str]:
    """The first status, which hashes and indexes everything, and the second, for more and more pictures."""
    columns = f"{'first, s':>10} {'µs each':>9} {'again, s':>10} {'µs each':>9} {'MB':>6} {'index, MB':>10}"
    yield f"{'records':>9} {columns}"
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            here = Path(folder)
            seed(here, make_pictures(here / "images", count), ["ocr"])
            first, again = status(here / "images", here), status(here / "images", here)
            index = (here / ".ita" / "index.sqlite").stat().st_size / 1e6
            each = [f"{cost.seconds:>10.2f} {cost.seconds / count * 1e6:>9.1f}" for cost in (first, again)]
            yield f"{count:>9} {each[0]} {each[1]} {max(first.megabytes, again.megabytes):>6.0f} {index:>10.1f}"
            shutil.rmtree(here / "images")


def run() -> Iterator[Comparison]:
    yield from unchanged(20_000)


def main() -> None:
    counts = [int(argument) for argument in sys.argv[1:]] or [100_000]
    print(f"identified: {hashing():.0f} pictures of 100 KB a second")
    print(HEADER)
    for comparison in unchanged(counts[0]):
        print(comparison, flush=True)
    for line in growth([1_000, 10_000, *counts]):
        print(line, flush=True)


if __name__ == "__main__":
    main()

"""Long trials of what cannot be tried in each test run: `make reliability`, or `python -m tests.robustness.trials`.

    python -m tests.robustness.trials --seed 7 --times 100 replaced changing clock

Each trial is a function that draws everything from its generator, works in an empty folder, and fails by an
assertion, so that a seed repeats it. `docs/reliability.md` says what each shows, and has the counts.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

from ita_pipeline.cache.plan import PlanOptions, make_plan
from ita_pipeline.cache.shared.store import SharedCache
from ita_pipeline.cache.shared.sync import pull, push
from ita_pipeline.cache.store import Store
from tests.robustness.system_trials import cluster, full, memory, objects, readonly, tls
from tests.support.fakes import SizeStage, SizeValue, ita_here
from tests.support.trials import check_said, draw_sized, measure, read_values


class NewerSize(SizeStage):
    """The same stage in a later version of its package."""

    version = 2

    def measure(self, item: object) -> SizeValue:
        size = super().measure(item)  # pyright: ignore
        return SizeValue(width=-size.width, height=-size.height)


def replaced(chance: random.Random) -> None:
    """Images replaced by others of the same size and the same time, in place or by renaming: all are seen."""
    folder, keys = Path("in"), dict[str, int]()
    folder.mkdir()
    widths = {name: chance.randrange(1, 900) for name in "abc"}
    for name, width in widths.items():
        draw_sized(folder / f"{name}.png", width)
    measure(Path(), folder)
    name = chance.choice("abc")
    file, stamp = folder / f"{name}.png", (folder / f"{name}.png").stat()
    time.sleep(chance.choice((0, 0, 0.2)))
    widths[name] = widths[name] % 899 + 1
    target = Path("new.png") if chance.random() < 0.5 else file
    draw_sized(target, widths[name])
    os.utime(target, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    target.replace(file)
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (stamp.st_size, stamp.st_mtime_ns)
    measure(Path(), folder)
    values = dict(read_values(Path()))
    keys = {hashlib.sha256((folder / f"{name}.png").read_bytes()).hexdigest(): widths[name] for name in "abc"}
    assert {key: values[key]["width"] for key in keys} == keys


def changing(chance: random.Random) -> None:
    """Images rewritten while they are hashed and read: no record belongs to other content than its key."""
    folder, widths = Path("in"), dict[str, int]()
    folder.mkdir()
    ended = threading.Event()

    def rewrite() -> None:
        while not ended.is_set():
            file, width = folder / f"{chance.randrange(8)}.png", chance.randrange(1, 900)
            draw_sized(Path("new.png"), width)
            content = Path("new.png").read_bytes()
            widths[hashlib.sha256(content).hexdigest()] = width
            if chance.random() < 0.5:
                Path("new.png").replace(file)
            else:
                file.write_bytes(content)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(6):
            measure(Path(), folder)
    finally:
        ended.set()
        writer.join()
    measure(Path(), folder, retry=True)  # of content that had gone when it was its turn, and is there again
    values = list(read_values(Path()))
    assert all(widths.get(key) == value["width"] for key, value in values)
    keys = {hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    assert keys <= {key for key, _ in values}


def clock(chance: random.Random) -> None:
    """A clock that jumps by up to two hours, forward and back, during runs too: the results are the same."""
    folder, real = Path("in"), time.time
    folder.mkdir()
    widths = {name: chance.randrange(1, 900) for name in "abcd"}
    for _ in range(4):
        for name in chance.sample("abcd", 2):
            widths[name] = chance.randrange(1, 900)
        for name, width in widths.items():
            draw_sized(folder / f"{name}.png", width)
            if chance.random() < 0.3:
                moment = real() + chance.uniform(-7200, 7200)
                os.utime(folder / f"{name}.png", (moment, moment))
        offsets = [chance.choice((0, -3600, 3600, chance.uniform(-7200, 7200))) for _ in range(3)]
        with patch("time.time", lambda offsets=offsets: real() + chance.choice(offsets)):
            measure(Path(), folder)
            check_said(ita_here("cache", "verify"), 0)
        values = dict(read_values(Path()))
        for name, width in widths.items():
            assert values[hashlib.sha256((folder / f"{name}.png").read_bytes()).hexdigest()]["width"] == width


def versions(chance: random.Random) -> None:
    """Two hosts with different versions of a stage on one shared cache: each reads only its own records."""
    shared = SharedCache(str(Path("shared").absolute()))
    stages = {"old": SizeStage, "new": NewerSize}
    folder = Path("in")
    folder.mkdir()
    widths = dict[str, int]()
    for _ in range(8):
        host = chance.choice(["old", "new"])
        width = chance.randrange(1, 900)
        draw_sized(file := folder / f"{chance.randrange(5)}.png", width)
        widths[hashlib.sha256(file.read_bytes()).hexdigest()] = width
        store, stage = Store(Path(host, ".ita")), stages[host]()
        (key,) = make_plan([stage], [], store, PlanOptions()).keys.values()
        with suppress(FileNotFoundError):
            pull(store, shared, key, stage)
        measure(Path(host), folder, stage)
        push(store, shared, key)
    for host, sign in (("old", 1), ("new", -1)):
        for key, value in read_values(Path(host)):
            assert value["width"] == sign * widths[key]
    check_said(ita_here("cache", "verify", str(Path("shared").absolute())), 0)


def settings(chance: random.Random) -> None:
    """`ita.yaml` replaced while commands read it: the old or the new settings, or one sentence."""
    texts = [f"preset: bundled\nobjects:\n  overlap_within: 0.{n}\n# {'x' * 9000}\n" for n in (3, 7)]
    is_whole = chance.random() < 0.5
    ended = threading.Event()
    Path("ita.yaml").write_text(texts[0])

    def rewrite() -> None:
        while not ended.is_set():
            if is_whole:
                Path("new").write_text(chance.choice(texts))
                Path("new").replace("ita.yaml")
            else:
                Path("ita.yaml").write_text(chance.choice(texts))

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(10):
            answer = ita_here("config", "show")
            check_said(answer, *((0,) if is_whole else (0, 2)))
    finally:
        ended.set()
        writer.join()


TRIALS: dict[str, Callable[[random.Random], None]] = {
    trial.__name__: trial
    for trial in (replaced, changing, clock, versions, settings, full, readonly, objects, tls, cluster, memory)
}

NEEDS_ROOT = ("full", "readonly")


def main() -> int:
    """Run trials and print how many held."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=list(TRIALS), metavar="|".join(TRIALS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--times", type=int, default=20)
    arguments = parser.parse_args()
    failed = False
    for name in arguments.names:
        if name in NEEDS_ROOT and os.geteuid() != 0:
            print(f"{name}: not tried, since it needs root")
            continue
        held = 0
        for number in range(arguments.seed, arguments.seed + arguments.times):
            folder = Path(tempfile.mkdtemp(prefix="trial-"))
            os.chdir(folder)
            try:
                TRIALS[name](random.Random(f"{name} {number}"))
                held += 1
                os.chdir("/")
                shutil.rmtree(folder)
            except AssertionError as error:
                print(f"{name}: seed {number} fails in {folder}: {str(error)[:2000]}", file=sys.stderr)
        failed |= held < arguments.times
        seeds = f"{arguments.seed} to {arguments.seed + arguments.times - 1}"
        print(f"{name}: {held} of {arguments.times} held (seeds {seeds})", flush=True)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())

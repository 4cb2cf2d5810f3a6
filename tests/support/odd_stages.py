"""Stages that crash, raise, run out of a budget, break or are slow.

They have a module of their own, because each process that gets a stage imports the stage's module with everything
that it imports.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from stages.base import Failure, Item, Postponed, Result, StageError, Subject, Value
from tests.support.fakes import SizeStage, SizeValue


class Allergic(SizeStage):
    """Raises if an image named `bad` is in the batch."""

    error: type[BaseException] = RuntimeError
    says = "CUDA out of memory"

    def run(self, items: Sequence[Item]) -> list[Value | Failure]:
        if any("bad" in item.name for item in items):
            raise self.error(self.says)
        return super().run(items)


class Hostile(SizeStage):
    """Does to its process what the name of an image says."""

    def run(self, items: Sequence[Item]) -> list[Value | Failure]:
        for item in items:
            if "abort" in item.name:
                os.abort()
            if "exit" in item.name:
                os._exit(3)
            if "hang" in item.name:
                time.sleep(600)
            if "hungry" in item.name:
                bytearray(3_000_000_000)
            if "killed" in item.name and not Path("once").exists():
                Path("once").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if "always" in item.name:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().run(items)


class Touchy(SizeStage):
    """Crashes its process at one image, and raises at another."""

    def measure(self, item: Item) -> SizeValue:
        if "deadly" in item.name:
            os.abort()
        if "odd" in item.name:
            raise ValueError("an odd picture")
        return super().measure(item)


class Longer(SizeStage):
    """Returns the length of a post's text, and the width of its image according to `size`, if it has one."""

    name = "longer"
    subject = Subject.POST

    @property
    def reads(self) -> tuple[str, ...]:
        return ("size",)

    def measure(self, item: Item) -> SizeValue:
        size = item.upstream.get("size")
        return SizeValue(width=len(item.text), height=size.width if isinstance(size, SizeValue) else 0)


class Frugal(SizeStage):
    """Stops after three images, counted over the whole run."""

    spent = 0

    @property
    def alone(self) -> bool:
        return True

    def run(self, items: Sequence[Item]) -> Sequence[Result]:
        some = super().run(items[: 3 - self.spent])
        self.spent += len(some)
        return [*some, *[Postponed(reason="the budget is spent")] * (len(items) - len(some))]


class Broken(SizeStage):
    def run(self, items: Sequence[Item]) -> Sequence[Result]:
        if any("last" in item.name for item in items):
            return [Postponed(reason="the server is gone", hint="start it", broken=True)] * len(items)
        return super().run(items)


class Unready(SizeStage):
    def open(self) -> None:
        raise StageError("the weights are gone", "get them")


class RaisesInOpen(SizeStage):
    """Raises what the file `raise` names when it is opened."""

    def open(self) -> None:
        raise {"RuntimeError": RuntimeError, "SystemExit": SystemExit}[Path("raise").read_text()]("odd")


class KilledInOpen(SizeStage):
    """Kills its process when it is opened: once, or each time if there is a file `always`."""

    def open(self) -> None:
        if Path("always").exists() or not Path("once").exists():
            Path("once").touch()
            os.kill(os.getpid(), signal.SIGKILL)


class WordyValue(Value):
    words: tuple[str, ...]


class Wordy(SizeStage):
    """Returns as many words as an image is wide, times a hundred thousand."""

    value_type = WordyValue

    def run(self, items: Sequence[Item]) -> list[Value | Failure]:
        return [WordyValue(words=("word",) * 100_000 * item.picture().width) for item in items]


class Invalid(SizeStage):
    """Returns values that were built without validation."""

    def run(self, items: Sequence[Item]) -> list[Value | Failure]:
        return [SizeValue.model_construct(width=object(), height=1) for _ in items]


class Slow(SizeStage):
    def measure(self, item: Item) -> SizeValue:
        time.sleep(0.2)
        return super().measure(item)

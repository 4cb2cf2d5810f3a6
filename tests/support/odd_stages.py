"""Stages that die, run out, break down or dawdle.

They have a module of their own, since each process that a stage goes to imports the one it is from, with all that
this imports.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from stages.base import Item, Postponed, Result, StageError, Subject
from tests.support.fakes import SizeStage, SizeValue


class Touchy(SizeStage):
    """Dies of one picture, process and all, and says of another that it cannot be read."""

    def measure(self, item: Item) -> SizeValue:
        if "deadly" in item.name:
            os.abort()
        if "odd" in item.name:
            raise ValueError("an odd picture")
        return super().measure(item)


class Longer(SizeStage):
    """Says how long a post's text is, times the width of its picture as `size` saw it, where there is one."""

    name = "longer"
    subject = Subject.POST

    @property
    def reads(self) -> tuple[str, ...]:
        return ("size",)

    def measure(self, item: Item) -> SizeValue:
        size = item.upstream.get("size")
        return SizeValue(width=len(item.text), height=size.width if isinstance(size, SizeValue) else 0)


class Frugal(SizeStage):
    """Has had enough after three pictures, and counts those of the whole run."""

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


class Slow(SizeStage):
    def measure(self, item: Item) -> SizeValue:
        time.sleep(0.2)
        return super().measure(item)

"""A share of the work for each of several jobs that know nothing of each other."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from ita_pipeline.errors import UsageError

FORM = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Shard:
    """The `number`th of `of` shares, counted from 1. Each thing is in exactly one, by its key alone.

    Raises:
        UsageError: there is no such share.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            what = f"there is no shard {self.number}/{self.of}"
            raise UsageError(what, f"shards are counted from 1: 1/{max(1, self.of)} is the first")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """
        Raises:
            UsageError: it is not of the form 3/16.
        """
        found = FORM.fullmatch(text.strip())
        if found is None:
            raise UsageError(f"{text!r} is no shard", "--shard 3/16, the third of sixteen")
        return cls(int(found[1]), int(found[2]))

    def has(self, key: str) -> bool:
        """Whether a picture or post is in it; `key` is the sha256 that it is known by."""
        return int(key[:16], 16) % self.of == self.number - 1

    def has_place(self, address: bytes) -> bool:
        """The same for a picture that could not be read, so that nobody knows its key."""
        return self.has(hashlib.sha256(address).hexdigest())

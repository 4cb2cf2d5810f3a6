"""Shards: shares of the work for several jobs that do not communicate."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from ita_pipeline.core.errors import UsageError

FORM = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Shard:
    """The `number`th of `of` shares, counted from 1. The key of an item determines its only shard.

    Raises:
        UsageError: there is no such shard.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            message = f"there is no shard {self.number}/{self.of}"
            raise UsageError(message, f"shards are counted from 1: 1/{max(1, self.of)} is the first")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Parse a shard.

        Raises:
            UsageError: the text does not have the form 3/16.
        """
        match = FORM.fullmatch(text.strip())
        if match is None:
            raise UsageError(f"{text!r} is no shard", "--shard 3/16, the third of sixteen")
        return cls(int(match[1]), int(match[2]))

    def contains(self, key: str) -> bool:
        """Whether an image or post is in the shard; `key` is the sha256 of its content."""
        return int(key[:16], 16) % self.of == self.number - 1

    def contains_address(self, address: bytes) -> bool:
        """Whether an image is in the shard that could not be read, and so has no key."""
        return self.contains(hashlib.sha256(address).hexdigest())

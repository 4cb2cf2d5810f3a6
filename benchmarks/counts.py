"""What was found of what was to be found, counted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    right: int
    found: int
    expected: int

    def __add__(self, other: Score) -> Score:
        return Score(self.right + other.right, self.found + other.found, self.expected + other.expected)

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        return self.right / self.expected if self.expected else 0.0

    @property
    def f1(self) -> float:
        return 2 * self.right / (self.found + self.expected) if self.right else 0.0

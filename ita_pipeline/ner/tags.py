"""Tag schemes: mentions as one tag a word, and which tags may follow each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ita_pipeline.corpus.posts import Span


@dataclass(frozen=True, slots=True)
class TagScheme:
    """IOBES: a mention of one word is S-x, a longer one B-x, I-x …, E-x, everything else O.

    Tags are numbered: O is 0, then S-, B-, I-, E- of each type in turn.
    """

    types: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return ("O", *(f"{prefix}-{name}" for name in self.types for prefix in "SBIE"))

    def encode(self, spans: Iterable[Span], length: int) -> list[int]:
        """Tag numbers of a sentence of `length` words.

        Raises:
            ValueError: a mention's type is not one of the scheme's.
        """
        tags = [0] * length
        for span in spans:
            if span.type not in self.types:
                raise ValueError(f"the type {span.type} is none of {', '.join(self.types)}")
            first = 1 + 4 * self.types.index(span.type)
            if span.end - span.start == 1:
                tags[span.start] = first
            else:
                tags[span.start : span.end] = [
                    first + 1,
                    *[first + 2] * (span.end - span.start - 2),
                    first + 3,
                ]
        return tags

    def decode(self, tags: Sequence[int]) -> list[Span]:
        """Mentions of a sentence; what is no whole mention is none."""
        spans: list[Span] = []
        start: int | None = None
        kind = -1
        for position, tag in enumerate(tags):
            prefix, type_index = self.split(tag)
            if prefix == "S":
                spans.append(Span(position, position + 1, self.types[type_index]))
            if prefix == "B":
                start, kind = position, type_index
            elif prefix == "E" and start is not None and type_index == kind:
                spans.append(Span(start, position + 1, self.types[kind]))
                start = None
            elif not (prefix == "I" and type_index == kind):
                start = None
        return spans

    def split(self, tag: int) -> tuple[str, int]:
        """Prefix and type number of a tag; O has type -1."""
        return ("O", -1) if tag == 0 else ("SBIE"[(tag - 1) % 4], (tag - 1) // 4)

    def may_start(self) -> list[bool]:
        return [self.split(tag)[0] in "OSB" for tag in range(len(self.labels))]

    def may_end(self) -> list[bool]:
        return [self.split(tag)[0] in "OSE" for tag in range(len(self.labels))]

    def may_follow(self) -> list[list[bool]]:
        """Entry [a][b]: whether tag b may stand right after tag a."""
        size = range(len(self.labels))
        return [[self.follows(self.split(a), self.split(b)) for b in size] for a in size]

    @staticmethod
    def follows(before: tuple[str, int], after: tuple[str, int]) -> bool:
        if before[0] in "BI":
            return after[0] in "IE" and after[1] == before[1]
        return after[0] in "OSB"

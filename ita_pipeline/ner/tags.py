"""Tag schemes: one tag per word for mentions, and which tags may follow each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ita_pipeline.corpus.posts import Span, select_taggable


@dataclass(frozen=True, slots=True)
class TagScheme:
    """IOBES: a mention of one word is S-x, a longer one B-x, I-x …, E-x, everything else O.

    Tags are numbered: O is 0, then S-, B-, I-, E- of each type in turn.
    """

    types: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the tags, by number."""
        return ("O", *(f"{prefix}-{name}" for name in self.types for prefix in "SBIE"))

    def encode(self, spans: Iterable[Span], length: int) -> list[int]:
        """Tag numbers of a sentence of `length` words, for the mentions that tags can express.

        Raises:
            ValueError: a mention's type is not one of the scheme's.
        """
        tags = [0] * length
        for span in select_taggable(spans):
            if span.type not in self.types:
                raise ValueError(f"the type {span.type} is none of {', '.join(self.types)}")
            single = 1 + 4 * self.types.index(span.type)
            begin, inside, end = single + 1, single + 2, single + 3
            inner = span.end - span.start - 2
            tags[span.start : span.end] = [single] if inner < 0 else [begin, *[inside] * inner, end]
        return tags

    def decode(self, tags: Sequence[int]) -> list[Span]:
        """Complete mentions of a sentence; incomplete ones are dropped."""
        spans: list[Span] = []
        start: int | None = None
        current_type = -1
        for position, tag in enumerate(tags):
            prefix, type_index = self.parse(tag)
            if prefix == "S":
                spans.append(Span(position, position + 1, self.types[type_index]))
            if prefix == "B":
                start, current_type = position, type_index
            elif prefix == "E" and start is not None and type_index == current_type:
                spans.append(Span(start, position + 1, self.types[current_type]))
                start = None
            elif not (prefix == "I" and type_index == current_type):
                start = None
        return spans

    def parse(self, tag: int) -> tuple[str, int]:
        """Prefix and type number of a tag; O has type -1."""
        return ("O", -1) if tag == 0 else ("SBIE"[(tag - 1) % 4], (tag - 1) // 4)

    def _parse_all(self) -> list[tuple[str, int]]:
        return [self.parse(tag) for tag in range(len(self.labels))]

    def may_start(self) -> list[bool]:
        """Whether each tag may be the first of a sentence."""
        return [prefix in "OSB" for prefix, _ in self._parse_all()]

    def may_end(self) -> list[bool]:
        """Whether each tag may be the last of a sentence."""
        return [prefix in "OSE" for prefix, _ in self._parse_all()]

    def may_follow(self) -> list[list[bool]]:
        """Entry [a][b]: whether tag b may follow tag a."""
        tags = self._parse_all()
        return [[_may_follow(previous, tag) for tag in tags] for previous in tags]


def _may_follow(previous: tuple[str, int], tag: tuple[str, int]) -> bool:
    if previous[0] in "BI":
        return tag[0] in "IE" and tag[1] == previous[1]
    return tag[0] in "OSB"

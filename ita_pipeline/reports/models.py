"""One post, or one picture, as a page shows it. These models are the data that the page's script reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ita_pipeline.corpus.posts import Post, Span
from stages.base import Frozen

GOLD, T, IT = "gold", "T", "I+T"

Box = tuple[int, int, int, int]


class Marked(Frozen):
    """A mention in words, `end` exclusive. `right` compares a predicted one with the gold ones."""

    start: int
    end: int
    type: str
    score: float | None = None
    right: bool | None = None

    @property
    def span(self) -> Span:
        return Span(self.start, self.end, self.type)


class FoundObject(Frozen):
    """`used` says whether it was appended to the post; so do the others. Boxes are xyxy in pixels. `tag` is the
    label with its attributes as they are appended, where it has any.
    """

    label: str
    score: float
    box: Box
    attributes: tuple[tuple[str, float], ...] = ()
    tag: str = ""
    used: bool = True


class FoundWord(Frozen):
    text: str
    score: float
    box: Box
    used: bool = True


class FoundCaption(Frozen):
    text: str
    score: float | None = None
    used: bool = True


class Trouble(Frozen):
    """A stage that failed on the picture, and why."""

    stage: str
    kind: str
    reason: str


class Findings(Frozen):
    """All that the stages found in a picture; `width` and `height` are in pixels of the upright picture.

    `others` are the values of stages that this page has no drawing for, as JSON. `waiting` are stages that have
    not looked at it yet.
    """

    width: int = 0
    height: int = 0
    objects: tuple[FoundObject, ...] = ()
    words: tuple[FoundWord, ...] = ()
    captions: tuple[FoundCaption, ...] = ()
    caption_source: str = ""
    others: Mapping[str, str] = {}
    failed: tuple[Trouble, ...] = ()
    waiting: tuple[str, ...] = ()

    @property
    def scores(self) -> Iterator[float]:
        yield from (thing.score for thing in self.objects if thing.used)
        yield from (word.score for word in self.words if word.used)


class Entry(Frozen):
    """`anchor` links to it and holds nothing that a post said. `parts` are the text cut at its words: what is
    before the first word, the first word, what is between it and the second, and so on. `answers` are mentions
    by who says so: gold, T, I+T. `picture` is the picture's key in the page's album, `problem` why there is none
    to show. `tags` are the filters that it passes; `rank` puts the most telling posts first.
    """

    anchor: str
    id: str
    split: str = ""
    parts: tuple[str, ...] = ()
    answers: Mapping[str, tuple[Marked, ...]] = {}
    file: str = ""
    picture: str = ""
    problem: str = ""
    contexts: tuple[str, ...] = ()
    found: Findings = Findings()
    tags: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    confidence: float | None = None
    rank: int = 0


def parts_of(post: Post) -> tuple[str, ...]:
    """The text cut at its words, white space and words by turns; together they are the text."""
    cuts = [0]
    for start, end in post.offsets:
        cuts += [start, end]
    cuts.append(len(post.text))
    return tuple(post.text[a:b] for a, b in zip(cuts, cuts[1:], strict=False))


def verdict(
    answers: Mapping[str, Sequence[Marked]], before: str = T, after: str = IT
) -> tuple[tuple[str, ...], int]:
    """The filters that a post passes by how two answers compare with the gold mentions, and its rank.

    Right is what the second one says exactly as it should be, span by span and type by type.
    """
    if GOLD not in answers or after not in answers:
        return (), 0
    gold, one, other = ({m.span for m in answers[name]} for name in (GOLD, before, after))
    changed = one != other
    right = other == gold
    tags = ["right" if right else "wrong", *(["changed"] if changed else [])]
    if changed and right:
        return (*tags, "helped"), 0
    if changed and one == gold:
        return (*tags, "harmed"), 1
    return tuple(tags), 2 if changed else 4 if right else 3

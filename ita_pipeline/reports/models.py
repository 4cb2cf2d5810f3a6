"""Data of one gallery entry, a post or a picture, in the form that the page's script reads as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.runs.run import TEXT, TEXT_AND_IMAGE
from stages.base import Frozen

# Labels on a page: gold mentions, and the paper's names of the two views.
GOLD, T, IT = "gold", "T", "I+T"

# Keys of the two views in the files of a run, by label.
VIEWS = {T: TEXT, IT: TEXT_AND_IMAGE}

Box = tuple[int, int, int, int]


class ReportMention(Frozen):
    """A mention; `start` and `end` (exclusive) count words, and `right` means equal to a gold mention."""

    start: int
    end: int
    type: str
    score: float | None = None
    right: bool | None = None
    partial: bool = False

    @property
    def span(self) -> Span:
        """The mention without its score."""
        return Span(self.start, self.end, self.type, self.partial)


Answers = Mapping[str, Sequence[ReportMention]]


class ObjectFinding(Frozen):
    """A detected object; `box` is (x0, y0, x1, y1) in pixels, and `used` means appended to the post.

    `tag` is the label with its attributes as appended, or empty if that equals the label.
    """

    label: str
    score: float
    box: Box
    attributes: tuple[tuple[str, float], ...] = ()
    tag: str = ""
    used: bool = True


class WordFinding(Frozen):
    """A word read in the picture; `box` and `used` as in `ObjectFinding`."""

    text: str
    score: float
    box: Box
    used: bool = True


class CaptionFinding(Frozen):
    """A caption of the picture; `used` as in `ObjectFinding`."""

    text: str
    score: float | None = None
    used: bool = True


class StageFailure(Frozen):
    """A stage that failed on the picture, and the reason."""

    stage: str
    kind: str
    reason: str


class Findings(Frozen):
    """Results of all stages on one picture; `width` and `height` are in pixels of the upright picture.

    `others` are the values, as JSON, of stages that the page cannot draw. `waiting` are stages without a result.
    """

    width: int = 0
    height: int = 0
    objects: tuple[ObjectFinding, ...] = ()
    words: tuple[WordFinding, ...] = ()
    captions: tuple[CaptionFinding, ...] = ()
    caption_source: str = ""
    others: Mapping[str, str] = {}
    failed: tuple[StageFailure, ...] = ()
    waiting: tuple[str, ...] = ()

    @property
    def scores(self) -> Iterator[float]:
        """The scores of the objects and words that were appended to the post."""
        yield from (finding.score for finding in self.objects if finding.used)
        yield from (finding.score for finding in self.words if finding.used)


class GalleryEntry(Frozen):
    """A post or a picture of the gallery.

    `anchor` is its link fragment and contains no text of the post. `parts` is the result of `split_at_words`.
    `answers` are mentions by label: gold, T, I+T. `picture` is the key of the thumbnail, and `problem` the reason
    if there is none. `tags` are the filters that the entry passes; `rank` sorts the most telling posts first.
    """

    anchor: str
    id: str
    split: str = ""
    parts: tuple[str, ...] = ()
    answers: Mapping[str, tuple[ReportMention, ...]] = {}
    file: str = ""
    picture: str = ""
    problem: str = ""
    contexts: tuple[str, ...] = ()
    found: Findings = Findings()
    tags: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    confidence: float | None = None
    rank: int = 0


def split_at_words(post: Post) -> tuple[str, ...]:
    """Split the text into the space before the first word, that word, the space after it, and so on."""
    borders = [0, *(position for offsets in post.offsets for position in offsets), len(post.text)]
    return tuple(post.text[start:end] for start, end in zip(borders, borders[1:], strict=False))


def judge_answers(answers: Answers, before: str = T, after: str = IT) -> tuple[tuple[str, ...], int]:
    """Compare two answers with the gold mentions; return the filters that the post passes, and its rank.

    An answer is right if its spans and types equal the gold ones exactly.
    """
    if GOLD not in answers or after not in answers:
        return (), 0
    gold, first, second = ({mention.span for mention in answers[name]} for name in (GOLD, before, after))
    changed = first != second
    right = second == gold
    tags = ["right" if right else "wrong", *(["changed"] if changed else [])]
    if changed and right:
        return (*tags, "helped"), 0
    if changed and first == gold:
        return (*tags, "harmed"), 1
    return tuple(tags), 2 if changed else 4 if right else 3

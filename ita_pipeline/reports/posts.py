"""Posts of a page with their gold mentions, and with those that each view of a run predicted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.progress import Notes
from ita_pipeline.corpus.datasets import Dataset
from ita_pipeline.corpus.formats.conll import read_conll
from ita_pipeline.corpus.posts import Box, Post, Span
from ita_pipeline.ner.metrics.errors import OUTSIDE, ErrorKind, compare_spans, surface_form
from ita_pipeline.runs.predictions import Mention
from ita_pipeline.runs.run import TEXT, TEXT_AND_IMAGE, Run
from stages.base import Frozen

# Labels on a page: gold mentions, and the paper's names of the two views.
GOLD, T, IT = "gold", "T", "I+T"

# Keys of the two views in the files of a run, by label.
VIEWS = {T: TEXT, IT: TEXT_AND_IMAGE}

SPLITS = ("test", "dev")

KIND_NAMES = {
    ErrorKind.RIGHT: "right",
    ErrorKind.TYPE: "right words, wrong type",
    ErrorKind.BOUNDARY: "right type, wrong words",
    ErrorKind.BOTH: "both wrong, but overlapping",
    ErrorKind.MISSED: "missed",
    ErrorKind.SPURIOUS: "spurious: no mention there",
}


class ReportMention(Frozen):
    """A mention; `start` and `end` (exclusive) count words, and `right` means equal to a gold mention.

    `boxes` are where the post's first picture shows it, `visible` is the probability that it does, `why` the sign.
    """

    start: int
    end: int
    type: str
    score: float | None = None
    right: bool | None = None
    partial: bool = False
    boxes: tuple[Box, ...] | None = None
    visible: float | None = None
    why: str | None = None

    @classmethod
    def from_span(cls, span: Span, score: float | None = None, right: bool | None = None) -> ReportMention:
        """Create the mention of a span."""
        return cls(
            start=span.start,
            end=span.end,
            type=span.type,
            score=score,
            right=right,
            partial=span.partial,
            boxes=span.boxes,
        )

    @classmethod
    def from_mention(cls, mention: Mention, start: int, end: int) -> ReportMention:
        """Create a predicted mention of these words."""
        shown = mention.to_json()
        names = ("type", "score", "boxes", "visible", "why")
        return cls(start=start, end=end, **{name: shown[name] for name in names if name in shown})

    @property
    def span(self) -> Span:
        """The mention without its score."""
        return Span(self.start, self.end, self.type, self.partial, self.boxes)


class ExplainedMention(ReportMention):
    """A mention with its probability with all contexts; `found` unless it is only found without some part."""

    found: bool = True


class PagePart(Frozen):
    """A part of the contexts, as in `SwitchOff`, and the probabilities of all mentions without it."""

    context: str = ""
    text: str = ""
    pieces: tuple[int, ...] = ()
    scores: tuple[float, ...]


class PageExplanation(Frozen):
    """How the probabilities of mentions move without each part of the contexts; all contexts are the first part."""

    mentions: tuple[ExplainedMention, ...]
    without: tuple[PagePart, ...]


@dataclass(frozen=True, slots=True)
class ReportPost:
    """A post of a page; `number` is its place in the split, if any, `answers` its mentions by label.

    `tags` are more filters that it passes.
    """

    post: Post
    split: str
    number: int
    answers: Mapping[str, tuple[ReportMention, ...]]
    tags: tuple[str, ...] = ()
    explanation: PageExplanation | None = None

    @property
    def anchor(self) -> str:
        """The fragment that links to the post; it contains no text of the post."""
        return f"{self.split or 'post'}-{self.number}"

    def spans(self, label: str) -> set[Span]:
        """Return the spans of an answer's mentions; none without this answer."""
        return {mention.span for mention in self.answers.get(label, ())}


def read_posts(
    run: Run, dataset: Dataset | None, notes: Notes, splits: Sequence[str] = SPLITS
) -> Iterator[ReportPost]:
    """Read the posts of these splits.

    They are the dataset's posts, with pictures and original text. If the dataset is missing or has changed, they
    have the words and mentions of the run's own files.

    Raises:
        UserError: a file of the run cannot be read.
    """
    for split in splits:
        if not run.predictions(split, TEXT).is_file():
            continue
        tagged = run.read_gold(split, TEXT)
        posts = list(enumerate(tagged, 1))
        if dataset is not None:
            loaded = [(number, post) for number, post in enumerate(dataset.splits.get(split, ()), 1) if post.words]
            if [_words_in_file(post) for _, post in loaded] == [post.words for post in tagged]:
                posts = loaded
            else:
                name = f"the {split} posts of {dataset.name}"
                notes.add(f"{name} have changed since training, so their pictures are not shown")
        predicted = {label: _read_answers(run, split, view) for label, view in VIEWS.items()}
        if any(len(mentions) != len(tagged) for mentions in predicted.values()):
            raise UsageError(
                f"the predictions of {split} in {run.folder} belong to different posts", "train it again"
            )
        for index, (number, post) in enumerate(posts):
            answers = {label: _judge(mentions[index], post) for label, mentions in predicted.items()}
            yield ReportPost(post, split, number, {**list_gold_mentions(post), **answers})


def list_gold_mentions(post: Post) -> dict[str, tuple[ReportMention, ...]]:
    """Return the gold mentions under their label, or nothing if the post is not labeled."""
    if post.gold is None:
        return {}
    return {GOLD: tuple(map(ReportMention.from_span, sorted(post.gold)))}


def judge_answers(
    answers: Mapping[str, Sequence[ReportMention]], before: str = T, after: str = IT
) -> tuple[tuple[str, ...], int]:
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


def list_facets(item: ReportPost, known: frozenset[str]) -> tuple[str, ...]:
    """Return the tags by which a page filters posts: errors of I+T, confused types, and novelty of gold mentions.

    `known` are the `surface_forms` of train; if there are none, novelty is not known.
    """
    if GOLD not in item.answers or IT not in item.answers:
        return ()
    gold, predicted = ([mention.span for mention in item.answers[label]] for label in (GOLD, IT))
    matches = compare_spans(gold, predicted)
    types = [tuple(span.type if span else OUTSIDE for span in (match.gold, match.predicted)) for match in matches]
    tags = [*(f"error:{match.kind}" for match in matches), *(f"pair:{a}>{b}" for a, b in types)]
    if known:
        seen = (surface_form(item.post, span) in known for span in gold)
        tags += ["seen:seen" if is_seen else "seen:unseen" for is_seen in seen]
    return tuple(dict.fromkeys(tags))


def _words_in_file(post: Post) -> tuple[str, ...]:
    """Return the words as a file gives them back: a word of odd white space alone is lost there."""
    return tuple(word.strip() or "\ufffd" for word in post.words)


def _read_answers(run: Run, split: str, view: str) -> list[list[ReportMention]]:
    """Read the predicted mentions of each post, with scores and boxes if the run has them."""
    spans = [sorted(post.gold or ()) for post in read_conll(run.predictions(split, view))]
    read = [line.mentions for line in run.prediction_lines(split, view)]
    if list(map(len, read)) != list(map(len, spans)):
        return [list(map(ReportMention.from_span, of_post)) for of_post in spans]
    pairs = (zip(*of_post, strict=True) for of_post in zip(spans, read, strict=True))
    return [
        [
            ReportMention.from_span(span).model_copy(update=one.model_dump(exclude={"start"}))
            for span, one in of_post
        ]
        for of_post in pairs
    ]


def _judge(predicted: Sequence[ReportMention], post: Post) -> tuple[ReportMention, ...]:
    gold = set(post.gold or ())
    return tuple(mention.model_copy(update={"right": mention.span in gold}) for mention in predicted)

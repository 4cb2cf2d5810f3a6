"""Beyond the scores: what kinds of errors a tagger makes, on which mentions, and what its probabilities are worth.

The kinds of errors follow the usual taxonomy of MUC and of error studies of NER: a mention that was missed, one
that is spurious, a right span with a wrong type, a right type with wrong boundaries, or both wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.ner.metrics.scores import Score
from ita_pipeline.ner.prediction import ScoredSpan
from stages.base import Frozen

Group = TypeVar("Group", bound=Hashable)


OUTSIDE = "O"

BINS = 10

LONGEST = 4

WORST = 5


class ErrorKind(StrEnum):
    """How a gold mention and a predicted one stand to each other."""

    RIGHT = "right"
    TYPE = "type"
    BOUNDARY = "boundary"
    BOTH = "both"
    MISSED = "missed"
    SPURIOUS = "spurious"


@dataclass(frozen=True, slots=True)
class Match:
    """A gold mention and the predicted one that stands for it; one of them is None where there is no other."""

    kind: ErrorKind
    gold: Span | None
    predicted: Span | None


class Bin(Frozen):
    """Predicted mentions whose probability lies from `low` up to `high`: how many, their mean probability, and
    the share of them that is right.
    """

    low: float
    high: float
    mentions: int
    confidence: float
    precision: float


class Calibration(Frozen):
    """Reliability of the probabilities of predicted mentions.

    `ece`, the expected calibration error (Naeini et al. 2015), is the mean over mentions of the difference between
    probability and precision in their bin. Empty bins are left out.
    """

    bins: tuple[Bin, ...]
    ece: float


class Mistake(Frozen):
    """A wrong match in the post `id`; spans count words. `confidence` is that of what was predicted, None where
    a mention was missed.
    """

    id: str
    gold: Span | None
    predicted: Span | None
    confidence: float | None


class Analysis(Frozen):
    """One view of one split.

    `seen` are the mentions whose words, whatever their case, are also a mention in train, `unseen` the others.
    `by_length` are the mentions of 1, 2, 3, and `4+` words. `errors` counts each kind of `Match`. `confusion` has
    the predicted types of each gold type, with O where there is no mention. `worst` are a few mistakes of each
    kind, the most confident first; of missed mentions those that are in train come first.
    """

    seen: Score
    unseen: Score
    by_length: Mapping[str, Score]
    errors: Mapping[ErrorKind, int]
    confusion: Mapping[str, Mapping[str, int]]
    calibration: Calibration
    # Analyses that were written before there were any have none.
    worst: Mapping[ErrorKind, tuple[Mistake, ...]] = {}


def analyze(posts: Sequence[Post], predicted: Sequence[Sequence[ScoredSpan]], known: frozenset[str]) -> Analysis:
    """What was predicted of posts, held against their gold mentions; `known` are the `surfaces` of train.

    Raises:
        ValueError: not as many predictions as posts.
    """
    spans = [[mention.span for mention in found] for found in predicted]
    by_post = [compare_spans(post.gold or (), found) for post, found in zip(posts, spans, strict=True)]
    matches = [match for found in by_post for match in found]
    kinds = Counter(match.kind for match in matches)
    seen = scores_by(posts, spans, lambda post, span: surface_form(post, span) in known)
    return Analysis(
        seen=seen.get(True, Score.of(0, 0, 0)),
        unseen=seen.get(False, Score.of(0, 0, 0)),
        by_length=dict(sorted(scores_by(posts, spans, lambda _, span: length_bucket(span)).items())),
        errors={kind: kinds[kind] for kind in ErrorKind},
        confusion=count_confusions(matches),
        calibration=calibrate(posts, predicted),
        worst=find_worst(posts, predicted, by_post, known),
    )


def find_worst(
    posts: Sequence[Post],
    predicted: Sequence[Sequence[ScoredSpan]],
    matches: Sequence[Sequence[Match]],
    known: frozenset[str],
) -> dict[ErrorKind, tuple[Mistake, ...]]:
    """The worst few mistakes of every kind; of equally bad ones those that come first."""
    found: dict[ErrorKind, list[tuple[float, Mistake]]] = {
        kind: [] for kind in ErrorKind if kind != ErrorKind.RIGHT
    }
    for post, mentions, own in zip(posts, predicted, matches, strict=True):
        scores = {mention.span: mention.score for mention in mentions}
        for match in own:
            if match.kind == ErrorKind.RIGHT:
                continue
            confidence = scores[match.predicted] if match.predicted else None
            seen = match.gold is not None and surface_form(post, match.gold) in known
            mistake = Mistake(id=post.id, gold=match.gold, predicted=match.predicted, confidence=confidence)
            found[match.kind].append((float(seen) if confidence is None else confidence, mistake))
    return {
        kind: tuple(one for _, one in sorted(all_of, key=lambda pair: -pair[0])[:WORST])
        for kind, all_of in found.items()
    }


def surface_forms(posts: Iterable[Post]) -> frozenset[str]:
    """The words of every gold mention, in lower case."""
    return frozenset(surface_form(post, span) for post in posts for span in post.gold or ())


def surface_form(post: Post, span: Span) -> str:
    return " ".join(post.words[span.start : span.end]).casefold()


def length_bucket(span: Span) -> str:
    length = span.end - span.start
    return f"{LONGEST}+" if length >= LONGEST else str(length)


def scores_by(
    posts: Sequence[Post], predicted: Sequence[Sequence[Span]], group: Callable[[Post, Span], Group]
) -> dict[Group, Score]:
    """Scores of the mentions of each group, to which a span belongs whether it is gold or predicted."""
    right, guessed, wanted = Counter[Group](), Counter[Group](), Counter[Group]()
    for post, found in zip(posts, predicted, strict=True):
        gold = set(post.gold or ())
        wanted.update(group(post, span) for span in gold)
        guessed.update(group(post, span) for span in set(found))
        right.update(group(post, span) for span in gold & set(found))
    return {name: Score.of(right[name], guessed[name], wanted[name]) for name in wanted | guessed}


def compare_spans(gold: Iterable[Span], predicted: Iterable[Span]) -> list[Match]:
    """Every gold and every predicted mention of a post once, each with the one that stands for it.

    A mention stands for the same span first, whatever its type, then for one that it overlaps: of the same type
    rather than of another, and the more words they share the rather.
    """
    pairs = sorted(
        (match_priority(wanted, found), wanted, found)
        for wanted in set(gold)
        for found in set(predicted)
        if overlap(wanted, found)
    )
    open_gold, open_predicted = set(gold), set(predicted)
    matches = []
    for _, wanted, found in pairs:
        if wanted in open_gold and found in open_predicted:
            open_gold.remove(wanted)
            open_predicted.remove(found)
            matches.append(Match(classify_match(wanted, found), wanted, found))
    matches += [Match(ErrorKind.MISSED, wanted, None) for wanted in open_gold]
    matches += [Match(ErrorKind.SPURIOUS, None, found) for found in open_predicted]
    return sorted(matches, key=lambda match: match.gold or match.predicted or Span(0, 0, ""))


def overlap(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end


def match_priority(gold: Span, predicted: Span) -> tuple[bool, bool, int]:
    """Pairs that belong together come first."""
    shared = min(gold.end, predicted.end) - max(gold.start, predicted.start)
    same = (gold.start, gold.end) == (predicted.start, predicted.end)
    return not same, gold.type != predicted.type, -shared


def classify_match(gold: Span, predicted: Span) -> ErrorKind:
    same_span = (gold.start, gold.end) == (predicted.start, predicted.end)
    if gold.type == predicted.type:
        return ErrorKind.RIGHT if same_span else ErrorKind.BOUNDARY
    return ErrorKind.TYPE if same_span else ErrorKind.BOTH


def count_confusions(matches: Iterable[Match]) -> dict[str, dict[str, int]]:
    """How often each gold type was taken for each type; O stands for no mention on either side."""
    counts = Counter(
        (match.gold.type if match.gold else OUTSIDE, match.predicted.type if match.predicted else OUTSIDE)
        for match in matches
    )
    rows = sorted({gold for gold, _ in counts})
    return {row: {found: n for (gold, found), n in sorted(counts.items()) if gold == row} for row in rows}


def calibrate(posts: Sequence[Post], predicted: Sequence[Sequence[ScoredSpan]], bins: int = BINS) -> Calibration:
    """Bins of equal width over the probabilities of all predicted mentions."""
    scored = [
        (mention.score, mention.span in (post.gold or ()))
        for post, found in zip(posts, predicted, strict=True)
        for mention in found
    ]
    by_bin: dict[int, list[tuple[float, bool]]] = {}
    for probability, right in scored:
        by_bin.setdefault(min(int(probability * bins), bins - 1), []).append((probability, right))
    found = [
        Bin(
            low=number / bins,
            high=(number + 1) / bins,
            mentions=len(inside),
            confidence=sum(probability for probability, _ in inside) / len(inside),
            precision=sum(right for _, right in inside) / len(inside),
        )
        for number, inside in sorted(by_bin.items())
    ]
    gap = sum(one.mentions * abs(one.confidence - one.precision) for one in found)
    return Calibration(bins=tuple(found), ece=gap / len(scored) if scored else 0.0)

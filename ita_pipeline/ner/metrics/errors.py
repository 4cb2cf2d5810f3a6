"""Error analysis: kinds of errors, scores of groups of mentions, and calibration of the probabilities.

The kinds of errors follow the usual taxonomy of MUC and of error studies of NER: a missed mention, a spurious one,
a right span with a wrong type, a right type with wrong boundaries, or both wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.ner.metrics.scores import Score, score_groups
from ita_pipeline.ner.prediction import ScoredSpan
from stages.base import Frozen

OUTSIDE = "O"

NUM_BINS = 10

# Mentions of at least this many words form one group.
LONG_MENTION = 4

# The number of mistakes of each kind that an analysis lists.
NUM_WORST = 5


class ErrorKind(StrEnum):
    """How a gold mention and a predicted one differ."""

    RIGHT = "right"
    TYPE = "type"
    BOUNDARY = "boundary"
    BOTH = "both"
    MISSED = "missed"
    SPURIOUS = "spurious"


@dataclass(frozen=True, slots=True)
class Match:
    """A gold mention and the predicted one that matches it; one of them is None if it has no match."""

    kind: ErrorKind
    gold: Span | None
    predicted: Span | None


class Bin(Frozen):
    """Predicted mentions with a probability from `low` up to `high`.

    `mentions` counts them, `confidence` is their mean probability, `precision` the share that is right.
    """

    low: float
    high: float
    mentions: int
    confidence: float
    precision: float


class Calibration(Frozen):
    """Reliability of the probabilities of predicted mentions, without empty bins.

    `ece`, the expected calibration error (Naeini et al. 2015), is the mean over mentions of the difference between
    probability and precision in their bin.
    """

    bins: tuple[Bin, ...]
    ece: float


class Mistake(Frozen):
    """A wrong match in the post `id`. `confidence` is that of the predicted mention, None for a missed mention."""

    id: str
    gold: Span | None
    predicted: Span | None
    confidence: float | None


class Analysis(Frozen):
    """The analysis of one view of one split.

    `seen` are the mentions whose words, case-folded, are also a mention in train, `unseen` the others. `by_length`
    are the mentions of 1, 2, 3, and `4+` words. `errors` counts each kind of `Match`. `confusion` has the predicted
    types of each gold type, with O for no mention. `worst` lists a few mistakes of each kind, the most confident
    first; among missed mentions, those that are in train are first.
    """

    seen: Score
    unseen: Score
    by_length: Mapping[str, Score]
    errors: Mapping[ErrorKind, int]
    confusion: Mapping[str, Mapping[str, int]]
    calibration: Calibration
    # Analyses of older runs have no mistakes.
    worst: Mapping[ErrorKind, tuple[Mistake, ...]] = {}


def analyze(posts: Sequence[Post], predicted: Sequence[Sequence[ScoredSpan]], known: frozenset[str]) -> Analysis:
    """Compare predictions with the gold mentions of posts; `known` are the `surface_forms` of train.

    Raises:
        ValueError: the numbers of posts and predictions differ.
    """
    gold = [post.gold or () for post in posts]
    spans = [[mention.span for mention in mentions] for mentions in predicted]
    matches = [compare_spans(*pair) for pair in zip(gold, spans, strict=True)]
    kinds = Counter(match.kind for post_matches in matches for match in post_matches)
    by_known = score_groups(gold, spans, lambda index, span: surface_form(posts[index], span) in known)
    return Analysis(
        seen=by_known.get(True, Score.of(0, 0, 0)),
        unseen=by_known.get(False, Score.of(0, 0, 0)),
        by_length=dict(sorted(score_groups(gold, spans, lambda _, span: _length_group(span)).items())),
        errors={kind: kinds[kind] for kind in ErrorKind},
        confusion=_count_confusions(match for post_matches in matches for match in post_matches),
        calibration=calibrate(posts, predicted),
        worst=_find_worst(posts, predicted, matches, known),
    )


def _find_worst(
    posts: Sequence[Post],
    predicted: Sequence[Sequence[ScoredSpan]],
    matches: Sequence[Sequence[Match]],
    known: frozenset[str],
) -> dict[ErrorKind, tuple[Mistake, ...]]:
    """The worst mistakes of every kind; of equally bad ones the first."""
    ranked: dict[ErrorKind, list[tuple[float, Mistake]]] = {kind: [] for kind in ErrorKind}
    for post, mentions, post_matches in zip(posts, predicted, matches, strict=True):
        scores = {mention.span: mention.score for mention in mentions}
        for match in post_matches:
            confidence = scores[match.predicted] if match.predicted else None
            is_known = match.gold is not None and surface_form(post, match.gold) in known
            mistake = Mistake(id=post.id, gold=match.gold, predicted=match.predicted, confidence=confidence)
            ranked[match.kind].append((float(is_known) if confidence is None else confidence, mistake))
    del ranked[ErrorKind.RIGHT]
    return {
        kind: tuple(mistake for _, mistake in sorted(pairs, key=lambda pair: -pair[0])[:NUM_WORST])
        for kind, pairs in ranked.items()
    }


def surface_forms(posts: Iterable[Post]) -> frozenset[str]:
    """The words of every gold mention, case-folded."""
    return frozenset(surface_form(post, span) for post in posts for span in post.gold or ())


def surface_form(post: Post, span: Span) -> str:
    """The words of a mention, case-folded."""
    return " ".join(post.words[span.start : span.end]).casefold()


def _length_group(span: Span) -> str:
    length = span.end - span.start
    return f"{LONG_MENTION}+" if length >= LONG_MENTION else str(length)


def compare_spans(gold: Iterable[Span], predicted: Iterable[Span]) -> list[Match]:
    """Match the gold and the predicted mentions of a post. Each of them is in one match.

    A mention matches the same span first, whatever its type, then a span that it overlaps: one of the same type
    before one of another, and the more words they share the earlier.
    """
    open_gold, open_predicted = set(gold), set(predicted)
    pairs = sorted(
        (_match_priority(one, other), one, other)
        for one in open_gold
        for other in open_predicted
        if one.start < other.end and other.start < one.end
    )
    matches = []
    for _, one, other in pairs:
        if one in open_gold and other in open_predicted:
            open_gold.remove(one)
            open_predicted.remove(other)
            matches.append(Match(_classify_match(one, other), one, other))
    matches += [Match(ErrorKind.MISSED, span, None) for span in open_gold]
    matches += [Match(ErrorKind.SPURIOUS, None, span) for span in open_predicted]
    return sorted(matches, key=lambda match: match.gold or match.predicted or Span(0, 0, ""))


def _is_same_span(gold: Span, predicted: Span) -> bool:
    return (gold.start, gold.end, gold.partial) == (predicted.start, predicted.end, predicted.partial)


def _match_priority(gold: Span, predicted: Span) -> tuple[bool, bool, int]:
    """A sort key that is smaller the better two mentions match."""
    shared = min(gold.end, predicted.end) - max(gold.start, predicted.start)
    return not _is_same_span(gold, predicted), gold.type != predicted.type, -shared


def _classify_match(gold: Span, predicted: Span) -> ErrorKind:
    if gold.type == predicted.type:
        return ErrorKind.RIGHT if _is_same_span(gold, predicted) else ErrorKind.BOUNDARY
    return ErrorKind.TYPE if _is_same_span(gold, predicted) else ErrorKind.BOTH


def _count_confusions(matches: Iterable[Match]) -> dict[str, dict[str, int]]:
    """How often each gold type was predicted as each type; O is no mention on either side."""
    counts = Counter(
        (match.gold.type if match.gold else OUTSIDE, match.predicted.type if match.predicted else OUTSIDE)
        for match in matches
    )
    rows: dict[str, dict[str, int]] = {}
    for (gold, predicted), count in sorted(counts.items()):
        rows.setdefault(gold, {})[predicted] = count
    return rows


def calibrate(posts: Sequence[Post], predicted: Sequence[Sequence[ScoredSpan]]) -> Calibration:
    """Put the probabilities of all predicted mentions into bins of equal width."""
    members: dict[int, list[tuple[float, bool]]] = {}
    for post, mentions in zip(posts, predicted, strict=True):
        for mention in mentions:
            number = min(int(mention.score * NUM_BINS), NUM_BINS - 1)
            members.setdefault(number, []).append((mention.score, mention.span in (post.gold or ())))
    bins = tuple(
        Bin(
            low=number / NUM_BINS,
            high=(number + 1) / NUM_BINS,
            mentions=len(pairs),
            confidence=sum(probability for probability, _ in pairs) / len(pairs),
            precision=sum(right for _, right in pairs) / len(pairs),
        )
        for number, pairs in sorted(members.items())
    )
    total = sum(one.mentions for one in bins)
    gap = sum(one.mentions * abs(one.confidence - one.precision) for one in bins)
    return Calibration(bins=bins, ece=gap / total if total else 0.0)

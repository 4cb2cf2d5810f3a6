"""Kinds of errors, what was confused with what, mentions seen in train, and what probabilities are worth."""

from __future__ import annotations

import pytest
from hypothesis import given

from ita_pipeline.corpus.posts import Post, Span, join_words
from ita_pipeline.ner.metrics.errors import Analysis, ErrorKind, analyze, calibrate, compare_spans, surface_forms
from ita_pipeline.ner.metrics.scores import score
from ita_pipeline.ner.prediction import ScoredSpan
from tests.support.spans import SENTENCES, sentence


def post(words: str, *gold: Span) -> Post:
    text, offsets = join_words(tuple(words.split()))
    return Post("1", text, tuple(words.split()), offsets, gold=gold)


def scored(*spans: Span, probability: float = 0.9) -> list[ScoredSpan]:
    return [ScoredSpan(span, probability) for span in spans]


@pytest.mark.parametrize(
    ("gold", "predicted", "kinds"),
    [
        ([Span(0, 2, "PER")], [Span(0, 2, "PER")], [ErrorKind.RIGHT]),
        ([Span(0, 2, "PER")], [Span(0, 2, "LOC")], [ErrorKind.TYPE]),
        ([Span(0, 2, "PER")], [Span(0, 1, "PER")], [ErrorKind.BOUNDARY]),
        ([Span(0, 2, "PER")], [Span(1, 3, "LOC")], [ErrorKind.BOTH]),
        ([Span(0, 2, "PER")], [], [ErrorKind.MISSED]),
        ([], [Span(0, 2, "PER")], [ErrorKind.SPURIOUS]),
        ([Span(0, 2, "PER")], [Span(2, 3, "PER")], [ErrorKind.MISSED, ErrorKind.SPURIOUS]),
        # One long mention found in two pieces: one stands for it, the other is too many.
        ([Span(0, 3, "PER")], [Span(0, 1, "PER"), Span(1, 3, "PER")], [ErrorKind.SPURIOUS, ErrorKind.BOUNDARY]),
        ([Span(0, 3, "PER")], [Span(0, 2, "LOC"), Span(2, 3, "PER")], [ErrorKind.SPURIOUS, ErrorKind.BOUNDARY]),
        ([Span(0, 1, "PER"), Span(1, 2, "PER")], [Span(0, 2, "PER")], [ErrorKind.BOUNDARY, ErrorKind.MISSED]),
    ],
)
def test_each_kind_of_error(gold: list[Span], predicted: list[Span], kinds: list[ErrorKind]):
    assert [match.kind for match in compare_spans(gold, predicted)] == kinds


@given(SENTENCES)
def test_every_mention_is_counted_once(sentences: list[list[tuple[str, str]]]):
    posts = [post(" ".join("w" for _ in tags), *sentence(tags)[0]) for tags in sentences]
    predicted = [scored(*sentence(tags)[1]) for tags in sentences]
    found = analyze(posts, predicted, frozenset())
    wanted = sum(len(p.gold or ()) for p in posts)
    guessed = sum(map(len, predicted))
    errors = found.errors
    paired = errors[ErrorKind.RIGHT] + errors[ErrorKind.TYPE] + errors[ErrorKind.BOUNDARY] + errors[ErrorKind.BOTH]
    assert paired + errors[ErrorKind.MISSED] == wanted
    assert paired + errors[ErrorKind.SPURIOUS] == guessed
    whole = score([p.gold or () for p in posts], [[m.span for m in found] for found in predicted])
    assert errors[ErrorKind.RIGHT] == pytest.approx(whole.micro.recall * wanted)
    rows = {name: sum(row.values()) for name, row in found.confusion.items()}
    assert sum(rows.values()) == wanted + errors[ErrorKind.SPURIOUS]
    assert rows.get("O", 0) == errors[ErrorKind.SPURIOUS]
    assert found.unseen == whole.micro
    assert found.seen.support == 0
    assert sum(part.support for part in found.by_length.values()) == wanted
    assert sum(one.mentions for one in found.calibration.bins) == guessed


def test_mentions_seen_in_train_are_scored_apart_from_unseen_ones():
    known = surface_forms([post("in New York", Span(1, 3, "LOC"))])
    posts = [post("NEW YORK calls Ada", Span(0, 2, "LOC"), Span(3, 4, "PER")), post("new york", Span(0, 2, "ORG"))]
    found = analyze(posts, [scored(Span(0, 2, "LOC")), scored(Span(0, 2, "LOC"))], known)
    assert (found.seen.support, found.seen.recall, found.seen.precision) == (2, 0.5, 0.5)
    assert (found.unseen.support, found.unseen.recall) == (1, 0)
    assert {length: part.support for length, part in found.by_length.items()} == {"1": 1, "2": 2}
    assert found.confusion == {"LOC": {"LOC": 1}, "ORG": {"LOC": 1}, "PER": {"O": 1}}


def test_a_long_mention_is_one_of_four_words_or_more():
    found = analyze([post("a b c d e", Span(0, 5, "ORG"))], [scored(Span(0, 5, "ORG"))], frozenset())
    assert found.by_length["4+"].f1 == 1


def test_calibrated_probabilities_have_no_calibration_error():
    posts = [post("a b c d", *(Span(n, n + 1, "PER") for n in range(3)))]
    predicted = [[ScoredSpan(Span(n, n + 1, "PER"), 0.75) for n in range(4)]]
    found = calibrate(posts, predicted)
    assert [(one.low, one.high, one.mentions, one.confidence, one.precision) for one in found.bins] == [
        (0.7, 0.8, 4, 0.75, 0.75)
    ]
    assert found.ece == 0


def test_the_calibration_error_is_the_mean_gap_over_mentions():
    posts = [post("a b c d", Span(0, 1, "PER"))]
    predicted = [
        [ScoredSpan(Span(0, 1, "PER"), 1.0), *(ScoredSpan(Span(n, n + 1, "PER"), 0.65) for n in (1, 2, 3))]
    ]
    found = calibrate(posts, predicted)
    assert [one.mentions for one in found.bins] == [3, 1]
    assert found.ece == pytest.approx((1 * 0 + 3 * 0.65) / 4)
    assert calibrate([post("a")], [[]]).ece == 0


def test_the_most_confident_mistakes_of_each_kind_are_named():
    known = surface_forms([post("in Rome", Span(1, 2, "LOC"))])
    posts = [post("a b", Span(1, 2, "PER")), post("is Rome", Span(1, 2, "LOC")), *(post("c d") for _ in range(7))]
    guesses = [ScoredSpan(Span(0, 1, "PER"), number / 10) for number in range(7)]
    found = analyze(posts, [[], [], *([guess] for guess in guesses)], known).worst
    assert [mistake.confidence for mistake in found[ErrorKind.SPURIOUS]] == [0.6, 0.5, 0.4, 0.3, 0.2]
    assert [mistake.gold for mistake in found[ErrorKind.MISSED]] == [Span(1, 2, "LOC"), Span(1, 2, "PER")]
    assert {mistake.confidence for mistake in found[ErrorKind.MISSED]} == {None}
    assert (found[ErrorKind.TYPE], ErrorKind.RIGHT in found) == ((), False)


def test_an_analysis_without_the_worst_mistakes_is_still_read():
    found = analyze([post("a")], [[]], frozenset())
    assert Analysis.model_validate(found.model_dump(mode="json")) == found
    assert Analysis.model_validate(found.model_dump(exclude={"worst"})).worst == {}

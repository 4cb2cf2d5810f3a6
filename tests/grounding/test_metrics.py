"""Scores of grounded mentions against a count by hand, and floors of published data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.corpus.datasets import Dataset
from ita_pipeline.corpus.posts import Span
from ita_pipeline.grounding import metrics
from ita_pipeline.grounding.metrics import TypePrior

LEFT, RIGHT, ALMOST_LEFT = (0.0, 0.0, 10.0, 10.0), (20.0, 0.0, 30.0, 10.0), (0.0, 0.0, 10.0, 6.0)
HALF_LEFT = (0.0, 0.0, 10.0, 5.0)


def test_a_triple_needs_span_type_and_more_than_half_of_a_box():
    first, second, third = Span(0, 1, "PER"), Span(1, 2, "ORG"), Span(3, 4, "LOC")
    gold = [[replace(first, boxes=(LEFT, RIGHT)), replace(second, boxes=()), replace(third, boxes=(LEFT,))]]
    close, wrong, far = replace(first, boxes=(ALMOST_LEFT,)), Span(1, 2, "LOC"), replace(third, boxes=(HALF_LEFT,))
    predicted = [[close, wrong, far]]
    found = metrics.score_grounded(gold, predicted)
    assert [score.f1 * 3 for score in (found.mner, found.eeg, found.gmner)] == pytest.approx([2, 2, 1])
    assert found.ratio == pytest.approx(0.5)
    assert metrics.count_triples(gold[0], predicted[0]) == (1, 3, 3)


def test_a_prediction_without_boxes_says_that_the_picture_does_not_show_it():
    gold = [[Span(0, 1, "PER", boxes=())]]
    assert metrics.score_grounded(gold, [[Span(0, 1, "PER")]]).gmner.f1 == 1


SPANS = st.lists(
    st.builds(
        lambda start, type_name, boxes: Span(start, start + 1, type_name, boxes=tuple(boxes)),
        st.integers(0, 3),
        st.sampled_from(["PER", "ORG"]),
        st.lists(st.sampled_from([LEFT, RIGHT, ALMOST_LEFT, HALF_LEFT]), max_size=2),
    ),
    max_size=5,
    unique_by=lambda span: (span.start, span.type),
)


def count(gold: list[list[Span]], predicted: list[list[Span]], with_type: bool, with_box: bool) -> float:
    """F1, one pair at a time."""
    right = total = wanted = 0
    for golds, guesses in zip(gold, predicted, strict=True):
        key = (lambda s: (s.start, s.end, s.type)) if with_type else (lambda s: (s.start, s.end))
        last = {key(span): span for span in golds}
        guessed = {key(span): span for span in guesses}
        total, wanted = total + len(guessed), wanted + len(last)
        for place, guess in guessed.items():
            if place not in last:
                continue
            theirs, ours = last[place].boxes, guess.boxes
            hit = not theirs and not ours
            for mine in ours:
                for other in theirs:
                    width = min(mine[2], other[2]) - max(mine[0], other[0])
                    height = min(mine[3], other[3]) - max(mine[1], other[1])
                    both = max(width, 0) * max(height, 0)
                    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (mine, other)]
                    hit = hit or both / (sum(areas) - both) > 0.5
            right += hit or not with_box
    return 2 * right / (total + wanted) if total + wanted else 0.0


@given(st.lists(st.tuples(SPANS, SPANS), max_size=3))
def test_scores_equal_an_independent_count(posts: list[tuple[list[Span], list[Span]]]):
    gold, predicted = [one for one, _ in posts], [other for _, other in posts]
    found = metrics.score_grounded(gold, predicted)
    assert found.mner.f1 == pytest.approx(count(gold, predicted, with_type=True, with_box=False))
    assert found.eeg.f1 == pytest.approx(count(gold, predicted, with_type=False, with_box=True))
    assert found.gmner.f1 == pytest.approx(count(gold, predicted, with_type=True, with_box=True))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), max_size=20))
def test_the_area_under_the_curve_counts_pairs(pairs: list[tuple[bool, int]]):
    shown, hidden = ([score for label, score in pairs if label is wanted] for wanted in (True, False))
    found = metrics.auroc([label for label, _ in pairs], [score for _, score in pairs])
    if not shown or not hidden:
        assert found is None
        return
    wins = sum((one > other) + (one == other) / 2 for one in shown for other in hidden)
    assert found == pytest.approx(wins / len(shown) / len(hidden))


def test_the_prior_box_is_given_to_the_types_that_it_gains_something_for():
    size = (80.0, 40.0)
    person = (Span(0, 1, "PER", boxes=((20.0, 10.0, 60.0, 40.0),)), size)
    absent = (Span(0, 1, "LOC", boxes=()), size)
    priors = metrics.learn_priors([person, person, absent, (Span(0, 1, "ORG"), None)])
    assert priors["PER"] == TypePrior(shown=1, box=(0.25, 0.25, 0.75, 1), hits=1)
    assert set(priors) == {"PER", "LOC"}
    (_, people, prior) = metrics.floors(priors)
    spans = [Span(0, 1, "PER"), Span(1, 2, "LOC"), Span(2, 3, "ORG")]
    for floor in (people, prior):
        assert [span.boxes for span in floor.ground(spans, size)] == [((20, 10, 60, 40),), (), ()]


def test_the_floors_of_gmner_are_those_of_the_field(gmner: Dataset):
    sized = {name: [(post, post.pictures[0].size) for post in posts] for name, posts in gmner.splits.items()}
    priors = metrics.learn_priors((span, size) for post, size in sized["train"] for span in post.gold or ())
    none, people, _ = (metrics.measure_floor(floor, sized["dev"]) for floor in metrics.floors(priors))
    assert (none.mentions, round(100 * none.boxes, 1), round(100 * people.accuracy, 1)) == (2450, 59.6, 72.8)


def test_scores_equal_an_independent_count_on_all_of_dev(gmner: Dataset):
    random = np.random.default_rng(7)
    gold = [list(post.gold or ()) for post in gmner.splits["dev"]]

    def guess(span: Span) -> Span:
        """Sometimes another end, another type, no box, or a box that was moved."""
        changed = replace(span, end=span.end + int(random.random() < 0.1), boxes=span.boxes[:1])
        if random.random() < 0.2:
            changed = replace(changed, type="ORG")
        shift = float(random.choice([0, 20, 200]))
        moved = tuple((x0 + shift, y0, x1 + shift, y1) for x0, y0, x1, y1 in changed.boxes or ())
        return replace(changed, boxes=moved if random.random() < 0.8 else ())

    predicted = [[guess(span) for span in spans if random.random() < 0.9] for spans in gold]
    found = metrics.score_grounded(gold, predicted)
    for score, flags in ((found.mner, (True, False)), (found.eeg, (False, True)), (found.gmner, (True, True))):
        assert 0.2 < score.f1 < 0.9
        assert score.f1 == pytest.approx(count(gold, predicted, *flags))
    assert found.gmner.support == 2450

"""Boxes that overlap: one thing each, in one view of a picture and in several."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.objects.boxes import Boxes, fuse_views, suppress
from tests.support.stages_fixtures import overlap

# -- suppression

side = st.integers(1, 60)
box = st.tuples(st.integers(0, 60), st.integers(0, 60), side, side)
found = st.tuples(box, st.integers(1, 100), st.sampled_from(["cat", "dog", "bus"]))
limit = st.sampled_from([0.1, 0.35, 0.5, 0.65, 0.9])


@given(st.lists(found, min_size=1, max_size=25), limit, limit, st.integers(1, 30))
def test_overlapping_boxes_are_suppressed(things: list, within: float, across: float, most: int):
    xyxy = np.array([[x, y, x + width, y + height] for (x, y, width, height), _, _ in things], float)
    scores = np.array([score / 100 for _, score, _ in things], np.float32)
    boxes = Boxes(xyxy, scores, [label for _, _, label in things])
    kept = suppress(boxes, within, across, most)
    assert 1 <= len(kept) <= most
    assert kept.scores[0] == scores.max()
    assert list(kept.scores) == sorted(kept.scores, reverse=True)
    given_boxes = {
        (*row, score, label) for row, score, label in zip(xyxy.tolist(), scores, boxes.labels, strict=True)
    }
    for index, (row, label) in enumerate(zip(kept.xyxy, kept.labels, strict=True)):
        assert (*row.tolist(), kept.scores[index], label) in given_boxes
        for before in range(index):
            bound = min(within, across) if kept.labels[before] == label else across
            assert overlap(row, kept.xyxy[before]) <= bound + 1e-5
    every = suppress(boxes, within, across, len(things))
    stayed = {
        (*row, score, label)
        for row, score, label in zip(every.xyxy.tolist(), every.scores, every.labels, strict=True)
    }
    for dropped in given_boxes - stayed:
        assert any(suppresses(better, dropped, within, across) for better in given_boxes - {dropped})


def suppresses(better: tuple, box: tuple, within: float, across: float) -> bool:
    *row, score, label = box
    *other, higher, other_label = better
    bound = min(within, across) if label == other_label else across
    return higher >= score and overlap(np.array(row), np.array(other)) > bound - 1e-5


def test_no_boxes_are_suppressed_to_no_boxes():
    empty = Boxes(np.empty((0, 4)), np.empty(0), [])
    assert len(suppress(empty, 0.5, 0.5, 10)) == 0


def test_boxes_of_two_labels_side_by_side_are_kept():
    boxes = Boxes(np.array([[0, 0, 10, 10], [4, 0, 14, 10.0]]), np.array([0.9, 0.8]), ["person", "horse"])
    assert suppress(boxes, 0.3, 0.65, 10).labels == ["person", "horse"]


# -- several views of one picture


def seen(*boxes: tuple[list[float], float, str]) -> Boxes:
    xyxy = np.array([box for box, _, _ in boxes], float).reshape(-1, 4)
    return Boxes(xyxy, np.array([score for _, score, _ in boxes]), [label for _, _, label in boxes])


def test_an_object_in_both_views_is_fused_and_one_in_a_single_view_scores_half():
    left = seen(([0, 0, 10, 10], 0.9, "cat"), ([50, 50, 60, 60], 0.8, "dog"))
    right = seen(([0, 0, 10, 12], 0.3, "cat"), ([0, 0, 10, 10], 0.6, "dog"))
    found = fuse_views(left, right, 0.5)
    assert found.labels == ["cat", "dog", "dog"]
    assert found.scores == pytest.approx([0.6, 0.4, 0.3])
    assert found.xyxy[0] == pytest.approx([0, 0, 10, 10.5])


def test_only_the_best_box_per_view_is_fused():
    left = seen(([0, 0, 10, 10], 0.8, "cat"), ([0, 0, 10, 9], 0.7, "cat"))
    found = fuse_views(left, seen(), 0.5)
    assert found.labels == ["cat"]
    assert found.scores == pytest.approx([0.4])
    assert len(fuse_views(seen(), seen(), 0.5)) == 0


@given(st.lists(found, max_size=12), st.lists(found, max_size=12))
def test_the_order_of_views_does_not_matter(a: list, b: list):
    # Scores that differ, since of equal ones the first is taken.
    views = [
        seen(
            *(
                ([x, y, x + w, y + h], (score + (i + 13 * number) / 100) / 120, label)
                for i, ((x, y, w, h), score, label) in enumerate(some)
            )
        )
        for number, some in enumerate((a, b))
    ]
    one, other = fuse_views(*views, 0.4), fuse_views(*views[::-1], 0.4)
    assert sorted(one.scores) == pytest.approx(sorted(other.scores))
    assert sorted(one.labels) == sorted(other.labels)
    assert len(one) <= len(a) + len(b)

"""The assignment that gains most, against all assignments there are."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.grounding.assignment import assign

GAINS = st.integers(0, 4).flatmap(
    lambda columns: st.lists(st.lists(st.integers(-5, 9), min_size=columns, max_size=columns), max_size=4)
)


@given(GAINS)
def test_no_other_assignment_gains_more(gains: list[list[int]]):
    assigned = assign(gains)
    columns = range(len(gains[0]) if gains else 0)
    used = [column for column in assigned if column is not None]
    assert len(set(used)) == len(used)
    best = max(
        sum(gains[row][column] for row, column in enumerate(choice) if column is not None)
        for choice in itertools.product([None, *columns], repeat=len(gains))
        if len({column for column in choice if column is not None}) == sum(column is not None for column in choice)
    )
    assert sum(gains[row][column] for row, column in enumerate(assigned) if column is not None) == best


def test_a_box_that_gains_nothing_is_not_given():
    assert assign([[0.5, 0.4], [0.45, -1.0]]) == [1, 0]
    assert assign([[-0.1]]) == [None]
    assert assign([[], []]) == [None, None]

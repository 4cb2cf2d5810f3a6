"""The assignment of mentions to boxes that gains most, by the shortest paths of Jonker and Volgenant (1987)."""

from __future__ import annotations

from collections.abc import Sequence

INFINITY = float("inf")


def assign(gains: Sequence[Sequence[float]]) -> list[int | None]:
    """Give each row at most one column, and each column to at most one row, so that the sum of gains is largest.

    A row without a column gains 0. Returns the column of each row, or None.
    """
    rows = len(gains)
    columns = len(gains[0]) if gains else 0
    # Each row has a column of its own that gains nothing.
    costs = [[*(-gain for gain in row), *[0.0] * rows] for row in gains]
    owner = _solve(costs, columns + rows)
    assigned: list[int | None] = [None] * rows
    for column, row in enumerate(owner[:columns]):
        if row is not None and gains[row][column] > 0:
            assigned[row] = column
    return assigned


def _solve(costs: Sequence[Sequence[float]], columns: int) -> list[int | None]:
    """The row of each column in the cheapest assignment of all rows, which are added one by one."""
    row_prices, column_prices = [0.0] * len(costs), [0.0] * columns
    owner: list[int | None] = [None] * columns
    for new_row in range(len(costs)):
        distance, previous, done = [INFINITY] * columns, [-1] * columns, [False] * columns
        row: int | None = new_row
        base, last = 0.0, -1
        while row is not None:
            for column in range(columns):
                reduced = base + costs[row][column] - row_prices[row] - column_prices[column]
                if not done[column] and reduced < distance[column]:
                    distance[column], previous[column] = reduced, last
            last = min((column for column in range(columns) if not done[column]), key=distance.__getitem__)
            base, done[last], row = distance[last], True, owner[last]
        row_prices[new_row] += base
        for column in range(columns):
            if done[column] and column != last:
                shift = base - distance[column]
                column_prices[column] -= shift
                row_prices[owner[column]] += shift  # type: ignore[index]
        while last >= 0:
            owner[last] = owner[previous[last]] if previous[last] >= 0 else new_row
            last = previous[last]
    return owner

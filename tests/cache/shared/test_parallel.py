"""Parallel calls: results in order, and the first error ends them."""

from __future__ import annotations

import pytest

from ita_pipeline.cache.shared.parallel import run_parallel


def test_several_at_once_end_with_the_first_error_and_keep_their_order():
    assert run_parallel(lambda number: number * 2, list(range(50))) == list(range(0, 100, 2))
    assert run_parallel(str, []) == []

    def fail(number: int) -> int:
        if number == 7:
            raise OSError("seven")
        return number

    with pytest.raises(OSError, match="seven"):
        run_parallel(fail, list(range(50)))

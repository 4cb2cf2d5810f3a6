"""Checks of arguments: a wrong type is one sentence, and what is right passes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from ita_pipeline.core.arguments import ArgumentTypeError, check_types
from ita_pipeline.core.errors import UsageError


@check_types
def work(
    run: str | Path, posts: Iterable[int] = (), confidence: float = 0.0, names: Sequence[str] | None = None
) -> int:
    return len([run, posts, confidence, names])


class Color(StrEnum):
    RED = "red"


def test_right_arguments_pass():
    @check_types
    def paint(color: Color) -> Color:
        return color

    assert paint(Color.RED) is Color.RED
    assert work("a") == work(Path("a"), [1], 1, ["x"]) == work("a", names=None, posts=iter([1])) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5,), "work(): run must be str or Path, not 5"),
        (("a", 5), "work(): posts must be Iterable of int, not 5"),
        (("a", "text"), "work(): posts must be Iterable of int, not 'text'"),
        (("a", (), "0.5"), "work(): confidence must be float, not '0.5'"),
        (("a", (), 0.5, "x"), "work(): names must be Sequence of str, not 'x'"),
    ],
)
def test_wrong_types_are_named(arguments: tuple[str], message: str):
    with pytest.raises(ArgumentTypeError) as caught:
        work(*arguments)
    assert str(caught.value) == message
    assert isinstance(caught.value, UsageError)
    assert isinstance(caught.value, TypeError)


def test_missing_and_unknown_arguments_are_errors_of_the_function():
    untyped: Any = work
    with pytest.raises(TypeError, match=r"work\(\) missing 1 required"):
        untyped()
    with pytest.raises(TypeError, match=r"work\(\) got an unexpected keyword argument 'seed'"):
        untyped("a", seed=1)

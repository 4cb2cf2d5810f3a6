"""The contract of stages: every setting has exactly one role, and nothing unknown is let through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import pytest
from pydantic import ValidationError

from stages.base import (
    EXECUTION,
    SEMANTIC,
    BadItemError,
    Failure,
    FailureKind,
    Item,
    StageConfig,
    Value,
    batched,
    guarded,
    map_successes,
)


class Example(StageConfig):
    floor: Annotated[float, SEMANTIC] = 0.5
    device: Annotated[str, EXECUTION] = "cpu"


def test_a_setting_without_a_role_is_rejected():
    with pytest.raises(TypeError, match=r"Careless\.floor must be either SEMANTIC or EXECUTION"):

        class Careless(StageConfig):
            floor: float = 0.5


def test_a_setting_with_both_roles_is_rejected():
    with pytest.raises(TypeError, match=r"Undecided\.floor"):

        class Undecided(StageConfig):
            floor: Annotated[float, SEMANTIC, EXECUTION] = 0.5


def test_a_setting_added_by_a_subclass_needs_a_role_too():
    with pytest.raises(TypeError, match=r"More\.extra"):

        class More(Example):
            extra: int = 1


def test_an_unknown_setting_is_rejected():
    with pytest.raises(ValidationError, match="flor"):
        Example.model_validate({"flor": 0.1})


def test_settings_are_immutable():
    with pytest.raises(ValidationError, match="frozen"):
        Example().floor = 0.1  # pyright: ignore[reportAttributeAccessIssue]


def test_of_role_returns_the_settings_of_one_role():
    settings = Example(floor=0.25, device="cuda")
    assert settings.of_role(SEMANTIC) == {"floor": 0.25}
    assert settings.of_role(EXECUTION) == {"device": "cuda"}
    assert Example.list_local_settings() == ["device"]


def test_an_error_of_an_item_becomes_its_failure():
    def work(item: Item) -> Value:
        raise BadItemError("too large", FailureKind.RESOURCE)

    item = Item(key="", name="", decode=lambda: pytest.fail("not needed"))
    assert guarded(work, item) == Failure(kind=FailureKind.RESOURCE, reason="too large")


def test_an_error_of_the_program_passes_through():
    def work(item: Item) -> Value:
        raise ZeroDivisionError

    item = Item(key="", name="", decode=lambda: pytest.fail("not needed"))
    with pytest.raises(ZeroDivisionError):
        guarded(work, item)


FAILURE = Failure(kind=FailureKind.PERMANENT, reason="broken")


def test_all_batches_but_the_last_have_the_size():
    assert list(batched(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batched([], 2)) == []


def test_a_batch_takes_no_more_inputs_than_it_needs():
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(4):
            taken.append(number)
            yield number

    assert next(batched(numbers(), 2)) == [0, 1]
    assert taken == [0, 1]


def test_failures_keep_their_positions():
    calls: list[list[int]] = []

    def double(numbers: list[int]) -> list[int]:
        calls.append(numbers)
        return [2 * number for number in numbers]

    assert map_successes(double, [1, FAILURE, 3]) == [2, FAILURE, 6]
    assert map_successes(double, [FAILURE]) == [FAILURE]
    assert calls == [[1, 3], []]

"""Every setting of a stage has exactly one role, and no unknown setting is accepted."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import ValidationError

from stages.settings import EXECUTION, SEMANTIC, StageConfig


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

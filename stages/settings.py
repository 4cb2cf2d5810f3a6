"""The settings of a stage: each is either part of the stage's key, or changes only how the work is done."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from stages.validation import Frozen


class Role(StrEnum):
    """Whether a setting is part of the stage key.

    A semantic setting changes the output and is part of the key. An execution setting, such as a batch size or a
    device, changes only how the work is done and never makes a result stale.
    """

    SEMANTIC = "semantic"
    EXECUTION = "execution"


SEMANTIC = Role.SEMANTIC

EXECUTION = Role.EXECUTION


# Marks a setting that names a model, beside its role: `model: Annotated[str, SEMANTIC, MODEL] = ""`.
MODEL = "model"


class Portable:
    """The type of `PORTABLE`."""


# Marks an execution setting that a run passes on to predictions with it: `Annotated[int, EXECUTION, PORTABLE]`.
# Others, such as a timeout, are those of the prediction.
PORTABLE = Portable()


class StageConfig(Frozen):
    """Base of a stage's settings. Declare each as `name: Annotated[type, SEMANTIC] = default`, or `EXECUTION`.

    Raises:
        TypeError: When the subclass is defined, if a setting has no role or both.
    """

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for name, info in cls.model_fields.items():
            roles = [item for item in info.metadata if isinstance(item, Role)]
            if len(roles) != 1:
                raise TypeError(f"{cls.__name__}.{name} must be either SEMANTIC or EXECUTION, not {roles}")

    def of_role(self, role: Role) -> dict[str, Any]:
        """Return the settings of one role as plain JSON values."""
        names = {name for name, info in type(self).model_fields.items() if role in info.metadata}
        return self.model_dump(mode="json", include=names)

    @classmethod
    def list_model_settings(cls) -> list[str]:
        """Return the names of the settings that are marked with `MODEL`."""
        return [name for name, info in cls.model_fields.items() if MODEL in info.metadata]

    @classmethod
    def list_local_settings(cls) -> list[str]:
        """Return the names of the settings that a run does not pass on: execution settings without `PORTABLE`."""
        fields = cls.model_fields.items()
        return [name for name, info in fields if EXECUTION in info.metadata and PORTABLE not in info.metadata]

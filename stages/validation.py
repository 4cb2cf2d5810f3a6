"""Validated data: immutable classes, types of texts and scores, and sentences about what is invalid."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError


class Frozen(BaseModel):
    """Base of immutable data classes that reject unknown names and numbers that are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def describe_invalid(error: ValidationError) -> str:
    """Describe the first problem of rejected data, such as `mentions[0].type must be a string, not 5`."""
    first = error.errors()[0]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    place, kind, value = path or "it", first["type"], first.get("input")
    if kind == "missing":
        return f"{place} is missing"
    if kind == "extra_forbidden":
        return f"{place} is not a known field"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return f"{place} is not an object of names and values"
    if kind == "json_invalid":
        problem = first["msg"].removeprefix("Invalid JSON: ").replace(" at line 1 column", " at column")
        return f"invalid JSON: {problem}"
    message = first["msg"].removeprefix("Value error, ")
    if not message.startswith(("Input should be ", "String should ")):
        return f"{path}: {message}" if path else message
    message = re.sub(r"^Input should be a valid (.+?)(, .*)?$", r"must be a \1", message)
    message = re.sub(r"^(Input|String) should ", "must ", message).replace(" a integer", " an integer")
    shown = f", not {value!r}"[:80] if isinstance(value, str | int | float | bool | None) else ""
    return f"{place} {message}{shown}"


def replace_surrogates(text: str) -> str:
    """Replace each lone surrogate, which JSON may contain, with U+FFFD, so that the text can be encoded."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _require_content(text: str) -> str:
    if not text.strip():
        raise ValueError("a label must not be blank")
    return text


# A string that can be encoded in UTF-8, whatever a model or a server returned.
Text = Annotated[str, AfterValidator(replace_surrogates)]

# A `Text` that is not blank.
Label = Annotated[str, AfterValidator(replace_surrogates), AfterValidator(_require_content)]


def clip_rounding(value: float) -> float:
    """Return a number that is outside 0..1 only by rounding, such as 1.0000001, as 0 or 1; others unchanged."""
    if isinstance(value, float) and -ROUNDING <= value <= 1 + ROUNDING:
        return min(max(value, 0.0), 1.0)
    return value


ROUNDING = 1e-3

# A probability, or anything else in 0..1.
Score = Annotated[float, BeforeValidator(clip_rounding), Field(ge=0, le=1)]

"""Check the types of arguments of public functions, so that a wrong one is reported before work begins."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from types import NoneType, UnionType
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from ita_pipeline.core.errors import UsageError

_Parameters = ParamSpec("_Parameters")

_Result = TypeVar("_Result")


class ArgumentTypeError(UsageError, TypeError):
    """An argument of a Python function has the wrong type."""


def check_types(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Return a function that first compares its arguments with their annotations.

    Classes, unions of them, and collections without their elements are checked; a text is no collection.

    Raises:
        ArgumentTypeError: an argument has another type.
    """
    signature, where = inspect.signature(function), getattr(function, "__name__", "this function")

    @functools.wraps(function)
    def checked(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        try:
            given = signature.bind_partial(*args, **kwargs).arguments
        except TypeError:
            return function(*args, **kwargs)  # raises an error that names the function
        hints = get_type_hints(function)
        for name, value in given.items():
            if name in hints and not _matches(value, hints[name]):
                problem = f"{where}(): {name} must be {_describe(hints[name])}, not {value!r}"
                raise ArgumentTypeError(problem[:200], f"help(ita_pipeline.{where}) describes {name}")
        return function(*args, **kwargs)

    return checked


def _matches(value: object, hint: object) -> bool:
    """Whether a value has a type, as far as this can be seen without its elements."""
    origin = get_origin(hint) or hint
    if origin in (Union, UnionType):
        return any(_matches(value, option) for option in get_args(hint))
    if hint is float:
        return isinstance(value, int | float)
    if origin is Any or not isinstance(origin, type) or getattr(origin, "_is_protocol", False):
        return True
    if isinstance(value, str) and issubclass(origin, Iterable) and not issubclass(origin, str):
        return False
    return isinstance(value, origin)


def _describe(hint: object) -> str:
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    names = [_name(option) for option in options if option is not NoneType]
    return " or ".join(names)


def _name(hint: object) -> str:
    elements = [_name(element) for element in get_args(hint) if element is not Ellipsis]
    name = getattr(get_origin(hint) or hint, "__name__", str(hint))
    return f"{name} of {elements[0]}" if len(elements) == 1 else name

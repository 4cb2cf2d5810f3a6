"""Numbers and settings as the text of table cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def format_percent(number: float) -> str:
    """Format a fraction as a percentage, 0.5 as 50.00."""
    return f"{100 * number:.2f}"


def format_gain(number: float) -> str:
    """Format a difference of fractions in percentage points, with its sign."""
    return f"{100 * number:+.2f}".replace("-", "−")


def format_setting(value: object) -> str:
    """Format the value of a setting; the items of a list are separated by dots."""
    return " · ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def format_settings(values: Mapping[str, Any]) -> str:
    """Format settings on one line."""
    return ", ".join(f"{name} {format_setting(value)}" for name, value in values.items())


def flatten_settings(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted name and the formatted value of every setting."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten_settings(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", format_setting(value)

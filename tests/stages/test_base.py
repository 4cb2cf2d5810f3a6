"""The contract of stages: what becomes of errors, and the names that stages import from here."""

from __future__ import annotations

import pytest

from stages import base
from stages.base import BadItemError, Failure, FailureKind, Item, Value, guarded


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


def test_what_a_stage_needs_can_be_imported_from_the_contract():
    settings = ("StageConfig", "Role", "SEMANTIC", "EXECUTION", "MODEL", "PORTABLE")
    types = ("Frozen", "Text", "Label", "Score", "clip_rounding", "describe_invalid", "replace_surrogates")
    assert [name for name in (*settings, *types, "IMAGE_SUFFIXES") if not hasattr(base, name)] == []

"""Tests of plugins: the stages that installed packages provide."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.plugins import ENTRY_POINT_GROUP, stage_entry_points


def entry_point(value: str) -> EntryPoint:
    return EntryPoint(name="ocr", value=value, group=ENTRY_POINT_GROUP)


def test_built_in_stages_are_entry_points():
    assert {"caption", "external", "objects", "ocr"} <= set(stage_entry_points())


def test_a_stage_name_in_two_packages_is_refused(monkeypatch: pytest.MonkeyPatch):
    both = [entry_point("stages.ocr.stage:OcrStage"), entry_point("tests.support.fakes:SizeStage")]
    monkeypatch.setattr("ita_pipeline.core.plugins.entry_points", lambda group: both)
    with pytest.raises(UsageError, match="two packages bring a stage ocr"):
        stage_entry_points.__wrapped__()

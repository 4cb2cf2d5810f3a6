"""What work reports: remarks are kept and logged once each."""

from __future__ import annotations

import logging

import pytest

from ita_pipeline.core.progress import ACTIVITY_LOGGER, Notes, activity
from tests.support.messages import logged_messages


def test_a_remark_is_logged_once():
    notes = Notes(logging.getLogger("ita_pipeline.tests"))
    with logged_messages() as messages:
        for line in "abab":
            notes.add(line)
    assert notes.lines == messages == ["a", "b"]


def test_after_an_activity_the_one_around_it_is_shown(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG, ACTIVITY_LOGGER)
    with activity("scoring"), activity("loading the model"):
        pass
    assert caplog.messages == ["scoring", "loading the model", "scoring", ""]

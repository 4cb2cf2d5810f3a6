"""What work reports: remarks are kept and logged once each."""

from __future__ import annotations

import logging

from ita_pipeline.core.progress import Notes
from tests.support.messages import logged_messages


def test_a_remark_is_logged_once():
    notes = Notes(logging.getLogger("ita_pipeline.tests"))
    with logged_messages() as messages:
        for line in "abab":
            notes.add(line)
    assert notes.lines == messages == ["a", "b"]

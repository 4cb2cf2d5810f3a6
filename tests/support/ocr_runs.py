"""Runs of `ita extract` with the stage `ocr` alone, and how many images they read."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.fakes import Answer, ita_here

OCR = ("--preset", "bundled", "--stage", "ocr")


def extract(target: str | Path, *more: str) -> Answer:
    """Extract the words of the images of a target."""
    return ita_here("extract", target, *OCR, "--json", *more)


def counts(answer: Answer) -> tuple[int, int, int]:
    """Return how many images were fresh, done and failed."""
    assert "Traceback" not in answer.err
    assert answer.out, answer.err
    (stage,) = json.loads(answer.out)["stages"]
    return stage["fresh"], stage["done"], stage["failed"]

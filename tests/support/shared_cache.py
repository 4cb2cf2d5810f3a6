"""Runs of `ita extract` with a shared cache."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.fakes import Answer, draw_sign, ita_here
from tests.support.s3_server import URL

OCR = ["--preset", "bundled", "--stage", "ocr", "--set", "ocr.workers=1"]


def draw_signs(count: int, folder: str = "images") -> None:
    """Draw images with words."""
    for number in range(count):
        draw_sign(Path(folder) / f"{number}.png", f"NUMBER {number}")


def extract(workspace: str, *more: str, url: str = URL) -> Answer:
    """Extract the words of these images with a shared cache."""
    return ita_here("extract", "images", *OCR, "--workspace", workspace, "--shared", url, *more)


def count_done(answer: Answer) -> int:
    """Return how many images the only stage of a run processed."""
    return json.loads(answer.out)["stages"][0]["done"]

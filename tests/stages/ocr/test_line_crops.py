"""Crops of lines: what is kept of them, and the way back to the picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from stages.ocr.line_crops import HEIGHT, RIM, LineCrop, LineImage, crop_line
from tests.support.texts import drawn, on_leaves


@pytest.mark.parametrize("size", [14, 40, 110])
@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (100, 150), (220, 160)])
def test_letters_become_dark_on_light_at_one_height(size: int, ink: int, paper: int):
    grey, box = drawn("MARLOW", size, ink, paper)
    crop = crop_line(grey, box)
    assert crop is not None
    for image in (crop.gray, crop.wiped):
        dark = np.flatnonzero((image < 128).any(axis=1))
        assert abs(np.ptp(dark) + 1 - HEIGHT) <= 4
        assert np.median(image) > 200


def test_a_restless_background_is_wiped_and_a_plain_one_needs_no_second_reading():
    grey, box = on_leaves("MARLOW")
    restless = crop_line(grey, box)
    assert restless is not None
    assert not restless.is_plain
    assert restless.gray[:RIM].std() > 20
    assert (restless.wiped[:RIM] == 255).all()

    calm = crop_line(*drawn("MARLOW", 48, 0, 255))
    assert calm is not None
    assert calm.is_plain


def test_background_within_letters_is_wiped_and_dots_are_kept():
    picture = Image.new("L", (700, 200), 40)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(60)
    draw.text((60, 60), "Olivia", 255, font)
    x0, y0, x1, y1 = (round(side) for side in draw.textbbox((60, 60), "Olivia", font))
    clean = crop_line(np.asarray(picture), (x0, y0, x1, y1))
    # Brighter than half way to the letters: a patch within the O, specks between letters, a spot of their height.
    draw.ellipse((x0 + 14, y0 + 18, x0 + 30, y0 + 30), fill=170)
    for x in (x0 + 52, x0 + 74, x0 + 96):
        draw.rectangle((x, y1 - 4, x + 4, y1), fill=255)
    draw.rectangle((x1 + 8, y0 + 10, x1 + 14, y1), fill=170)
    crop = crop_line(np.asarray(picture), (x0, y0, x1, y1))
    assert clean is not None
    assert crop is not None
    heights = spot_heights(crop.wiped)
    assert len(heights) == len(spot_heights(clean.wiped)) == len("Olivia") + 2
    assert sum(height < HEIGHT / 4 for height in heights) == 2


def spot_heights(image: np.ndarray) -> list[int]:
    _, _, spots, _ = cv2.connectedComponentsWithStats((image < 128).astype(np.uint8))
    return sorted(spots[1:, cv2.CC_STAT_HEIGHT].tolist())


def test_without_letters_there_is_no_crop():
    assert crop_line(np.full((60, 200), 128, np.uint8), (20, 20, 120, 40)) is None
    stripes = np.zeros((60, 200), np.uint8)
    stripes[:, ::20] = 255  # they run out of the crop above and below
    assert crop_line(stripes, (20, 20, 120, 40)) is None


@given(st.floats(0.05, 4), st.integers(0, 900), st.integers(0, 900), st.integers(0, 500), st.integers(1, 500))
def test_boxes_are_mapped_back_to_the_picture(scale: float, left: int, top: int, x: int, width: int):
    blank = np.zeros((1, 1), np.uint8)
    crop = LineCrop(blank, blank, LineImage(blank, left, top, scale))
    there = (round(x * scale) + RIM, RIM, round((x + width) * scale) + RIM, RIM + 10)
    x0, y0, x1, _ = crop.map_back(there)
    assert y0 == top
    assert abs(x0 - left - x) <= 1 + 0.5 / scale
    assert abs(x1 - left - x - width) <= 1 + 0.5 / scale


@pytest.mark.parametrize("degrees", [-9, -4, 4, 9])
@pytest.mark.parametrize("size", [30, 90])
def test_sloping_lines_are_leveled_and_their_boxes_mapped_back(degrees: int, size: int):
    picture = Image.new("L", (900, 600), 255)
    ImageDraw.Draw(picture).text((150, 250), "MARLOW", 0, ImageFont.load_default(size))
    grey = np.asarray(picture.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=255))
    rows, columns = (np.flatnonzero((grey < 128).any(axis=axis)) for axis in (1, 0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    crop = crop_line(grey, box)
    assert crop is not None
    assert np.sign(crop.line.slope) == -np.sign(degrees)

    inked = crop.wiped < 128
    rows, columns = (np.flatnonzero(inked.any(axis=axis)) for axis in (1, 0))
    assert abs(np.ptp(rows) + 1 - HEIGHT) <= 6
    found = crop.map_back((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
    assert max(abs(a - b) for a, b in zip(found, box, strict=True)) <= size / 6

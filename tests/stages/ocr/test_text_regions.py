"""Where lines of text are proposed, on drawn pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from stages.ocr.text_regions import MAX_LINES, Box, find_components, find_text_lines
from tests.support.texts import drawn


def common(a: Box, b: Box) -> float:
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - max(0, across) * max(0, down)
    return max(0, across) * max(0, down) / union


@pytest.mark.parametrize("size", [16, 28, 60, 120])
@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0), (90, 150), (150, 90)])
def test_lines_of_any_size_and_shade_are_proposed(size: int, ink: int, paper: int):
    grey, truth = drawn("MARLOW", size, ink, paper)
    assert max(common(box, truth) for box in find_text_lines(grey)) > 0.5


def test_separate_lines_are_proposed_from_top_to_bottom():
    picture = Image.new("L", (900, 320), 255)
    for row in range(4):
        text = "the quick brown fox jumps"
        ImageDraw.Draw(picture).text((30, 20 + 60 * row), text, 0, ImageFont.load_default(36))
    boxes = [box for box in find_text_lines(np.asarray(picture)) if box[2] - box[0] > 300]
    assert len(boxes) == 4
    assert boxes == sorted(boxes, key=lambda box: box[1])


@pytest.mark.parametrize("shape", [(1, 1), (3, 900), (900, 3), (64, 64), (12, 12)])
def test_a_uniform_picture_has_no_lines(shape: tuple[int, int]):
    assert find_text_lines(np.full(shape, 128, np.uint8)) == []


def test_texture_gives_a_bounded_number_of_lines():
    noise = np.random.default_rng(0).integers(0, 256, (150, 200), dtype=np.uint8)
    grey = np.asarray(Image.fromarray(noise).resize((2000, 1500), Image.Resampling.BICUBIC))
    assert len(find_text_lines(grey)) <= MAX_LINES


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 120), st.integers(1, 120))
def test_boxes_are_not_empty_and_within_the_picture(seed: int, width: int, height: int):
    small = np.random.default_rng(seed).integers(0, 256, (max(1, height // 6), max(1, width // 6)), dtype=np.uint8)
    grey = np.asarray(Image.fromarray(small).resize((width, height)))
    for x0, y0, x1, y1 in find_text_lines(grey):
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height


@given(st.integers(1, 12), st.data())
def test_components_are_the_nodes_that_are_connected(count: int, data: st.DataObject):
    thing = st.integers(0, count - 1)
    links = data.draw(st.lists(st.tuples(thing, thing), max_size=15))
    reached = np.eye(count, dtype=bool)
    for a, b in links:
        reached[a, b] = reached[b, a] = True
    for middle in range(count):
        reached |= reached[:, [middle]] & reached[[middle], :]
    first, second = (np.array([link[side] for link in links], dtype=np.int64) for side in (0, 1))
    assert find_components(count, first, second).tolist() == [int(np.flatnonzero(row)[0]) for row in reached]

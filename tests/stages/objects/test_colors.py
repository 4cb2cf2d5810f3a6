"""The colour that dominates a patch."""

from __future__ import annotations

import numpy as np
import pytest

from stages.objects.colors import find_dominant_color
from tests.support.stages_fixtures import CSS, plain


@pytest.mark.parametrize("name", CSS)
def test_a_plain_patch_has_its_color(name: str):
    assert find_dominant_color(np.asarray(plain(CSS[name]))) == (name, 1.0)


@pytest.mark.parametrize("blue", [(65, 105, 225), (25, 50, 120), (70, 130, 180), (30, 60, 200)])
def test_common_blues_are_blue(blue: tuple[int, int, int]):
    assert find_dominant_color(np.asarray(plain(blue))) == ("blue", 1.0)


def test_the_share_is_that_of_the_dominant_color():
    halves = plain((255, 0, 0), 100, 80)
    halves.paste((65, 105, 225), (50, 0, 100, 80))
    name, share = find_dominant_color(np.asarray(halves))
    assert name in ("red", "blue")
    assert share == pytest.approx(0.5, abs=0.03)


def test_the_edge_of_a_crop_is_ignored():
    framed = plain((0, 128, 0), 100, 100)
    framed.paste((255, 0, 0), (20, 20, 80, 80))
    assert find_dominant_color(np.asarray(framed)) == ("red", 1.0)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (2, 3)])
def test_tiny_patches_have_colors(size: tuple[int, int]):
    assert find_dominant_color(np.asarray(plain(CSS["green"], *size)))[0] == "green"

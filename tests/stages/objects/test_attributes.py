"""The list of attributes, the kinds of ImageNet, dominant colors, and the rules for people and animals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.objects.attributes import (
    ATTRIBUTES_FILE,
    PALETTE,
    digest_attribute_list,
    find_dominant_color,
    load_attribute_list,
    load_kinds,
    select_attributes,
)
from stages.objects.nanodet import COCO
from stages.objects.schema import Attribute
from tests.support.stages_fixtures import CSS, plain


def test_each_attribute_is_in_one_group():
    words = load_attribute_list().words
    assert 150 <= len(words) <= 200
    assert len(set(words)) == len(words)
    assert all(isinstance(word, str) and word == word.strip().lower() for word in words)
    assert min(map(len, load_attribute_list().groups.values())) >= 2
    assert set(PALETTE) <= set(load_attribute_list().groups["colour"])


def test_the_digest_follows_the_words_and_not_the_layout(tmp_path: Path):
    text = ATTRIBUTES_FILE.read_text("utf-8")
    same, other = tmp_path / "same.yaml", tmp_path / "other.yaml"
    same.write_text("# a comment\n" + text.replace("[black, grey", "[black,    grey"), "utf-8")
    other.write_text(text.replace("[black, grey", "[black, gray"), "utf-8")
    assert digest_attribute_list(same) == digest_attribute_list()
    assert digest_attribute_list(other) != digest_attribute_list()


@pytest.mark.parametrize("label", ["horse", "teddy bear"])
def test_an_animal_gets_only_colors_of_fur(label: str):
    assert select_attributes(label, [("green", 0.9), ("brown", 0.8)]) == (Attribute(label="brown", score=0.8),)


@pytest.mark.parametrize("label", ["person", "Woman", "young boy"])
def test_people_get_no_color(label: str):
    attributes = [("white", 0.9), ("smiling", 0.8), ("golden", 0.7)]
    assert select_attributes(label, attributes) == (Attribute(label="smiling", score=0.8),)
    assert len(select_attributes("bus", attributes)) == 3


def test_kinds_have_the_names_of_imagenet():
    from timm.data.imagenet_info import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    for names in load_kinds().values():
        for number, word in names.items():
            assert info.index_to_description(number).split(",")[0] == word


def test_the_kinds_of_a_label_fit_it():
    assert set(load_kinds()) <= {*COCO, "bear"}
    assert all(label not in names.values() for label, names in load_kinds().items())
    assert set(load_kinds()["bus"].values()) == {"minibus", "school bus", "trolleybus"}
    assert {"beagle", "Great Dane", "Mexican hairless"} <= set(load_kinds()["dog"].values())
    assert "timber wolf" not in load_kinds()["dog"].values()
    assert "person" not in load_kinds()


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

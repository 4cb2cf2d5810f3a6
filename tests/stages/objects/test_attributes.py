"""The list of attributes, and the rules for people and animals."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.objects.attributes import ATTRIBUTES_FILE, digest_attribute_list, load_attribute_list, select_attributes
from stages.objects.colors import PALETTE
from stages.objects.schema import Attribute


def test_each_attribute_stands_in_one_group():
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
def test_what_is_green_around_an_animal_is_not_the_animal(label: str):
    assert select_attributes(label, [("green", 0.9), ("brown", 0.8)]) == (Attribute(label="brown", score=0.8),)


@pytest.mark.parametrize("label", ["person", "Woman", "young boy"])
def test_no_model_gives_people_a_colour(label: str):
    attributes = [("white", 0.9), ("smiling", 0.8), ("golden", 0.7)]
    assert select_attributes(label, attributes) == (Attribute(label="smiling", score=0.8),)
    assert len(select_attributes("bus", attributes)) == 3

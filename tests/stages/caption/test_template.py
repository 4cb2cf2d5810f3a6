"""Sentences about detected objects, word for word."""

from __future__ import annotations

import pytest

from stages.caption.template import build_sentence, pluralize
from stages.objects.schema import Object
from tests.support.stages_fixtures import thing


@pytest.mark.parametrize(
    ("things", "said"),
    [
        ([thing("dog")], "a picture of a dog"),
        ([thing("umbrella")], "a picture of an umbrella"),
        ([thing("bus", attribute="orange")], "a picture of an orange bus"),
        ([thing("orange", attribute="green")], "a picture of a green orange"),
        ([thing("scissors", attribute="old")], "a picture of old scissors"),
        ([thing("dog"), thing("bus", attribute="red")], "a picture of a dog and a red bus"),
        (
            [thing("person"), thing("bus", attribute="red"), thing("person"), thing("dog")],
            "a picture of two people, a red bus and a dog",
        ),
        ([thing("sheep")] * 6, "a picture of six sheep"),
        ([thing("bird")] * 7, "a picture of many birds"),
    ],
)
def test_a_sentence_lists_the_objects(things: list[Object], said: str):
    assert build_sentence(things) == said


def test_the_best_object_of_a_label_gives_the_attribute():
    with_attribute, without = thing("bus", 0.8, "red"), thing("bus", 0.7)
    assert build_sentence([with_attribute, without]) == "a picture of two buses"
    assert build_sentence([with_attribute]) == "a picture of a red bus"


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("person", "people"),
        ("woman", "women"),
        ("knife", "knives"),
        ("bench", "benches"),
        ("toothbrush", "toothbrushes"),
        ("wine glass", "wine glasses"),
        ("box", "boxes"),
        ("toy", "toys"),
        ("berry", "berries"),
        ("skis", "skis"),
        ("mouse", "mice"),
        ("giraffe", "giraffes"),
    ],
)
def test_plurals(one: str, many: str):
    assert pluralize(one) == many

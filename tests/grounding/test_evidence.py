"""Names against words in a picture, and the boxes that may show them."""

from __future__ import annotations

import pytest

from ita_pipeline.grounding.evidence import Evidence, is_person, name_of, propose, resemblance
from ita_pipeline.ner.tags import Span
from stages.base import Failure, FailureKind
from stages.objects.schema import Object, ObjectsValue
from stages.ocr.schema import OcrValue, Word
from tests.support.datasets import make_post


@pytest.mark.parametrize(
    ("name", "words", "expected"),
    [
        (["julia"], ["JULIA"], 1),
        (["julia"], ["JUL1A"], 0.8),
        (["julia", "carver"], ["Julia", "x"], 5 / 11),
        (["mount", "everest"], ["#MountEverest"], 1),
        (["julia"], ["Julian", "Jul"], pytest.approx(10 / 11)),
        (["ab"], ["abc", "ab!"], 1),
        (["julia"], [], 0),
        ([], ["x"], 0),
        (["julia"], ["!?"], 0),
    ],
)
def test_a_name_resembles_words_as_far_as_they_contain_it(name: list[str], words: list[str], expected: float):
    assert resemblance(name, words) == pytest.approx(expected)


def test_people_are_known_by_the_names_of_types():
    assert [is_person(name) for name in ("PER", "person", "athlete", "LOC", "personality")] == [1, 1, 1, 0, 0]


def word(text: str, x: int, line: int = 0, confidence: float = 0.9) -> Word:
    return Word(text=text, confidence=confidence, box=(x, 0, x + 10, 8), line=line)


def evidence() -> Evidence:
    bus = Object(label="bus", score=0.7, box=(0, 0, 24, 20), attributes=())
    words = (word("Visit", 0), word("Mount", 12), word("Carver", 24), word("now", 50, 1), word("noise", 60, 1, 0.1))
    return Evidence.from_results(
        {
            "objects": ObjectsValue(width=100, height=50, objects=(bus,)),
            "ocr": OcrValue(width=100, height=50, words=words),
            "caption": Failure(kind=FailureKind.TRANSIENT, reason="none"),
        }
    )


def test_objects_lines_and_the_part_of_a_line_that_is_like_the_name_are_proposed():
    found = evidence()
    assert (found.size, found.captions) == ((100, 50), ())
    proposed = propose(found, ("mount", "carver"))
    assert [(one.label, one.box, one.words) for one in proposed] == [
        ("bus", (0, 0, 24, 20), ("Visit", "Mount")),
        ("text", (0, 0, 34, 8), ("Visit", "Mount", "Carver")),
        ("text", (12, 0, 34, 8), ("Mount", "Carver")),
        ("text", (50, 0, 60, 8), ("now",)),
    ]


def test_without_results_nothing_is_known():
    assert Evidence.from_results({}) == Evidence()


def test_a_name_is_its_letters():
    post = make_post("# Mount_Everest — Ünï !", "1")
    assert name_of(post, Span(0, 5, "LOC")) == ("mounteverest", "ünï")

"""Contexts: what of a picture is appended to a tweet."""

from __future__ import annotations

from pathlib import Path

import pytest

from ita_pipeline.corpus.contexts import ContextConfig, ReservedContext, render
from stages.base import Failure, FailureKind
from stages.caption.schema import Caption, CaptionValue
from stages.external import TextValue, read_contexts
from stages.knowledge.schema import KnowledgeValue
from stages.objects.schema import Attribute, Object, ObjectsValue
from stages.ocr.schema import OcrValue, Word


def thing(label: str, score: float, *attributes: tuple[str, float]) -> Object:
    found = tuple(Attribute(label=name, score=share) for name, share in attributes)
    return Object(label=label, score=score, box=(0, 0, 1, 1), attributes=found)


def word(text: str, confidence: float = 0.9) -> Word:
    return Word(text=text, confidence=confidence, box=(0, 0, 1, 1), line=0)


OBJECTS = ObjectsValue(
    width=9,
    height=9,
    objects=(
        thing("bus", 0.8, ("red", 0.7), ("shiny", 0.4)),
        thing("person", 0.7),
        thing("person", 0.6),
        thing("sports ball", 0.5, ("soccer ball", 0.9)),
        thing("dog", 0.1),
    ),
)
CAPTIONS = CaptionValue(
    source="blip",
    captions=tuple(Caption(text=t, score=s) for t, s in [("a bus", -1), ("a bus", -2), ("two men", -3)]),
)
WORDS = OcrValue(width=9, height=9, words=(word("MARLOW"), word("FC"), word("~"), word("x"), word("noise", 0.2)))
ALL = {"caption": CAPTIONS, "objects": OBJECTS, "ocr": WORDS}


def test_the_order_is_objects_captions_words_and_can_be_changed():
    assert render(ALL, ContextConfig()) == ("red bus, person, soccer ball", "a bus", "two men", "MARLOW FC")
    other = ContextConfig(order=("ocr", "objects"))
    assert render(ALL, other) == ("MARLOW FC", "red bus, person, soccer ball")
    assert render(ALL, ContextConfig(order=())) == ()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"object_score": 0.05}, "red bus, person, soccer ball, dog"),
        ({"object_score": 0.75}, "red bus"),
        ({"objects": 2}, "red bus, person"),
        ({"attributes": 2}, "red shiny bus, person, soccer ball"),
        ({"attributes": 0}, "bus, person, sports ball"),
        ({"attribute_score": 0.8}, "bus, person, soccer ball"),
    ],
)
def test_thresholds_and_counts_apply_to_objects(settings: dict[str, object], expected: str):
    assert render({"objects": OBJECTS}, ContextConfig(**settings)) == (expected,)


def test_tags_and_words_follow_the_rules_of_a_language():
    config = ContextConfig(language="zh")
    assert render({"objects": OBJECTS}, config) == ("红色公交车、人、足球",)
    texts = ["北京", "大", "学", "iPhone", "15", "，", "a", "Pro", "Max"]
    apart = [word(text).model_copy(update={"line": number}) for number, text in enumerate(texts)]
    words = OcrValue(width=9, height=9, words=tuple(apart))
    assert render({"ocr": words}, config) == ("北京大学iPhone 15 Pro Max",)
    assert render({"ocr": words}, ContextConfig()) == ("北京 iPhone 15 Pro Max",)
    # As RapidOCR reads 小米 iPad 13, and an x far away.
    places = zip("小米iPad13x", [0, 20, 50, 60, 70, 80, 100, 110, 300], strict=True)
    letters = [word(text).model_copy(update={"box": (left, 0, left + 10, 20)}) for text, left in places]
    assert render({"ocr": OcrValue(width=9, height=9, words=tuple(letters))}, config) == ("小米iPad 13",)


def test_labels_of_objects_are_lower_case():
    value = ObjectsValue(
        width=9, height=9, objects=(thing("Pickup Truck", 0.9, ("red", 0.8)), thing("Person", 0.8))
    )
    assert render({"objects": value}, ContextConfig()) == ("red pickup truck, person",)


def test_counts_of_captions_and_words():
    assert render({"caption": CAPTIONS}, ContextConfig(captions=1)) == ("a bus",)
    assert render({"ocr": WORDS}, ContextConfig(words=1)) == ("MARLOW",)
    assert render({"ocr": WORDS}, ContextConfig(word_confidence=0, word_characters=1)) == ("MARLOW FC x noise",)


def test_failed_and_empty_values_are_left_out():
    failed = Failure(kind=FailureKind.PERMANENT, reason="no picture")
    nothing = ObjectsValue(width=1, height=1, objects=())
    assert render({"caption": failed, "objects": nothing, "ocr": WORDS}, ContextConfig()) == ("MARLOW FC",)


def test_imported_texts_are_knowledge_only_if_the_file_names_them_so() -> None:
    head = b'{"schema": "ita.contexts/1"}\n'
    old = read_contexts(head + b'{"image": "1", "texts": ["it rains"]}\n', Path("old.jsonl"))["1"]
    new = read_contexts(head + b'{"image": "1", "knowledge": ["it", "rains"]}\n', Path("new.jsonl"))["1"]
    config = ContextConfig()
    assert render(old.parts, config) == ("it rains",)
    assert not isinstance(render(old.parts, config)[0], ReservedContext)
    (context,) = render(new.parts, config)
    assert (context, isinstance(context, ReservedContext)) == ("it rains", True)
    own = KnowledgeValue(source="http", text="it rains")
    assert render({"knowledge": own, "extra": TextValue(texts=("x",))}, config) == ("x", "it rains")


def test_the_images_of_a_post_take_turns_under_one_limit():
    def say(*texts: str) -> CaptionValue:
        return CaptionValue(source="c", captions=tuple(Caption(text=text, score=None) for text in texts))

    first, second = {"caption": say("a", "b"), "ocr": WORDS}, {"caption": say("c", "a"), "ocr": WORDS}
    assert render(first, ContextConfig(captions=3), {}, second) == ("a", "c", "b", "MARLOW FC MARLOW FC")
    assert render(first, ContextConfig(captions=2, words=3), second) == ("a", "c", "MARLOW FC MARLOW")

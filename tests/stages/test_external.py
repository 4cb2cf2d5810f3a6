"""Captions made elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from stages.base import Failure, Item, StageError
from stages.caption.schema import Caption
from stages.external import ContextLine, ExternalConfig, ExternalStage, ExternalValue, format_contexts
from stages.objects.schema import Attribute, Object, ObjectsValue


def stage(path: Path, content: str) -> ExternalStage:
    path.write_text(content, encoding="utf-8")
    return ExternalStage(ExternalConfig(file=str(path)))


def captions(found: ExternalStage, name: str) -> list[str]:
    (value,) = found.run([Item(name, name, lambda: pytest.fail("no pixels are needed"))])
    assert isinstance(value, ExternalValue)
    assert value.caption is not None
    return [caption.text for caption in value.caption.captions]


def test_lines_of_image_and_caption_are_read(tmp_path: Path):
    found = stage(tmp_path / "c.txt", "1.jpg :a dog: on a mat\n\n17_06_2.jpg:two people\r\n3.jpg :\n")
    assert captions(found, "1.jpg") == ["a dog: on a mat"]
    assert captions(found, "17_06_2.jpg") == ["two people"]
    assert captions(found, "3.jpg") == []


def test_a_json_object_may_have_one_or_several_captions(tmp_path: Path):
    found = stage(tmp_path / "c.json", json.dumps({"1.jpg": "a dog", "2.jpg": ["one", "two"]}))
    assert captions(found, "1.jpg") == ["a dog"]
    assert captions(found, "2.jpg") == ["one", "two"]


@pytest.mark.parametrize(
    "content",
    [
        "1.jpg :a dog\n1.jpg :a cat\n1.jpg :a dog\n",
        '{"1.jpg": "a dog", "1.jpg": "a cat"}',
        '{"schema": "ita.contexts/1"}\n{"image": "1.jpg", "captions": [{"text": "a dog", "score": null}]}\n'
        '{"image": "1", "captions": [{"text": "a cat", "score": null}]}\n',
    ],
)
def test_several_captions_of_one_image_are_all_kept(tmp_path: Path, content: str):
    assert captions(stage(tmp_path / "c.txt", content), "1.jpg") == ["a dog", "a cat"]


def test_images_of_equal_stem_are_different_images(tmp_path: Path):
    found = stage(tmp_path / "c.txt", "train/1.jpg :a\n./dev\\1.jpg :b\n1.png :c\n1.jpg :d\n")
    names = ("train/1.jpg", "dev/1.jpg", "1.png", "1.jpg")
    assert [captions(found, name) for name in names] == [["a"], ["b"], ["c"], ["d"]]


def test_a_name_without_ending_may_not_stand_for_two_images(tmp_path: Path):
    with pytest.raises(StageError, match=r"1 could be 1\.png or 1\.jpg"):
        _ = stage(tmp_path / "c.txt", "1.png :c\n1.jpg :d\n1 :e\n").entries


def test_the_source_is_the_file_name_and_a_missing_id_a_failure(tmp_path: Path):
    found = stage(tmp_path / "c.txt", "1.jpg :a dog")
    known, unknown = found.run([Item(name, name, lambda: None) for name in ("1.jpg", "2.jpg")])  # type: ignore[arg-type]
    assert isinstance(known, ExternalValue)
    assert known.source == "c.txt"
    assert list(known.parts) == ["caption"]
    assert isinstance(unknown, Failure)


def test_the_key_depends_on_the_content_and_not_on_the_path(tmp_path: Path):
    here, there = stage(tmp_path / "a.txt", "1.jpg :x"), stage(tmp_path / "b.txt", "1.jpg :x")
    assert here.identity() == there.identity()
    assert stage(tmp_path / "a.txt", "1.jpg :y").identity() != there.identity()


@pytest.mark.parametrize("content", ["no colon here", "{not json", '{"1.jpg": 7}', ":nothing before"])
def test_a_file_of_another_form_is_an_error_that_lists_the_forms(tmp_path: Path, content: str):
    with pytest.raises(StageError, match="not a caption file") as caught:
        _ = stage(tmp_path / "c.txt", content).entries
    assert "<id>.jpg" in caught.value.hint


def test_written_context_lines_are_read_back(tmp_path: Path):
    thing = Object(label="dog", score=0.9, box=(0, 0, 4, 4), attributes=(Attribute(label="red", score=0.5),))
    lines = [
        ContextLine(image="1", captions=(Caption(text="a", score=0.5),)),
        ContextLine(image="2", objects=ObjectsValue(width=4, height=4, objects=(thing,)), texts=("one", "two")),
    ]
    found = stage(tmp_path / "c.jsonl", "".join(format_contexts(lines)))
    assert found.parts == {"caption", "objects", "extra"}
    one, two = (found.entries[name].parts for name in ("1", "2"))
    assert (list(one), list(two)) == (["caption"], ["objects", "extra"])
    assert two["objects"] == lines[1].objects


def test_a_record_of_version_1_is_read():
    old = {"source": "c.txt", "captions": [{"text": "a dog", "score": None}]}
    value = ExternalValue.model_validate(old)
    assert value.caption is not None
    assert (value.source, value.caption.captions[0].text) == ("c.txt", "a dog")


def test_an_invalid_line_is_an_error_that_names_it(tmp_path: Path):
    content = (
        '{"schema": "ita.contexts/1"}\n{"image": "1", "texts": ["a"]}\n{"image": "2", "captions": [{"text": 3}]}\n'
    )
    with pytest.raises(StageError, match=r"line 3: captions\[0\]\.text must be a string, not 3"):
        _ = stage(tmp_path / "c.jsonl", content).entries


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path):
    with pytest.raises(StageError, match=r"c\.txt cannot be read"):
        ExternalStage(ExternalConfig(file=str(tmp_path / "c.txt"))).identity()


def test_a_lone_surrogate_is_replaced(tmp_path: Path):
    found = stage(tmp_path / "c.json", '{"1.jpg": "so \\ud83d happy"}')
    assert captions(found, "1.jpg") == ["so \ufffd happy"]


@pytest.mark.parametrize(
    "wrong", [{"label": " "}, {"score": float("nan")}, {"score": 2}, {"box": (0, 0, float("inf"), 1)}]
)
def test_invalid_objects_are_an_error(wrong: dict[str, object]):
    right: dict[str, object] = {"label": "cat", "score": 0.5, "box": (0, 0, 1, 1), "attributes": ()}
    assert Object.model_validate(right).label == "cat"
    with pytest.raises(ValidationError):
        Object.model_validate({**right, **wrong})

"""VinVL's predictions and Oscar's captions, as those projects write them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.corpus.contexts import ContextConfig, render
from ita_pipeline.corpus.formats.vinvl import read_context_files
from stages.base import StageError
from stages.external import ExternalConfig, ExternalStage, format_contexts, parse_contexts

THING = {
    "rect": [10.5, 20.0, 300.2, 200.9],
    "bbox_id": 0,
    "class": "shirt",
    "conf": 0.91,
    "feature": base64.b64encode(bytes(8192)).decode(),
    "attributes": ["striped", "blue"],
    "attr_scores": [0.4, 0.8],
}


def vinvl(*things: dict[str, Any], name: str = "17_06_1", **more: Any) -> Path:
    path = Path("predictions.tsv")
    with path.open("a") as file:
        file.write(f"{name}\t{json.dumps({'objects': things, 'relations': None, **more})}\n")
    return path


def write(name: str, content: str) -> Path:
    Path(name).write_text(content, "utf-8")
    return Path(name)


def test_objects_of_vinvl_become_tags_with_attributes():
    other = {"rect": [0, 0, 5, 5], "class": "man", "conf": 0.95}
    vinvl(THING, other)
    found = read_context_files([vinvl(name="2.jpg")])
    line = found.lines["17_06_1"]
    assert line.objects is not None
    assert [(thing.label, thing.score) for thing in line.objects.objects] == [("man", 0.95), ("shirt", 0.91)]
    assert (line.objects.width, line.objects.height) == (301, 201)
    assert [one.label for one in line.objects.objects[1].attributes] == ["blue", "striped"]
    assert found.counts == {"objects": 2}
    write("c.jsonl", "".join(format_contexts(found.lines.values())))
    stage = ExternalStage(ExternalConfig(file="c.jsonl"))
    assert render(stage.entries["17_06_1"].parts, ContextConfig(attributes=2)) == ("man, blue striped shirt",)
    assert render(stage.entries["2.jpg"].parts, ContextConfig()) == ()


def test_the_size_of_the_image_is_taken_from_the_file():
    objects = read_context_files([vinvl(THING, image_w=640, image_h=480)]).lines["17_06_1"].objects
    assert objects is not None
    assert (objects.width, objects.height) == (640, 480)


def test_a_confidence_that_is_too_high_by_rounding_is_clipped():
    objects = read_context_files([vinvl({**THING, "conf": 1.0000001, "attr_scores": [-1e-9, 1.0000001]})])
    (line,) = objects.lines.values()
    assert line.objects is not None
    (thing,) = line.objects.objects
    assert (thing.score, [one.score for one in thing.attributes]) == (1.0, [1.0, 0.0])
    text = "".join(format_contexts([line])).replace('"score":1.0', '"score":1.0000001')
    assert list(parse_contexts(text)) == [line]


def test_attributes_without_scores_count_as_certain():
    thing = {name: value for name, value in THING.items() if name != "attr_scores"}
    objects = read_context_files([vinvl(thing)]).lines["17_06_1"].objects
    assert objects is not None
    assert {one.score for one in objects.objects[0].attributes} == {1.0}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.tsv", '1.jpg\t[{"caption": "a dog", "conf": 0.5}, {"caption": "a cat"}]\n'),
        (
            "c.json",
            '[{"image_id": "1.jpg", "caption": "a dog", "conf": 0.5}, {"image_id": "1", "caption": "a cat"}]',
        ),
        ("c.json", '{"1.jpg": ["a dog", "a cat"]}'),
    ],
)
def test_captions_of_oscar(name: str, content: str):
    line = read_context_files([write(name, content)]).lines["1.jpg"]
    assert [caption.text for caption in line.captions or ()] == ["a dog", "a cat"]


def test_several_files_are_merged_and_the_last_wins():
    files = [
        vinvl(THING, name="1"),
        write("c.tsv", '1\t[{"caption": "a dog"}]\n'),
        write("d.txt", "1.jpg :a cat\n"),
    ]
    found = read_context_files(files)
    line = found.lines["1"]
    assert line.objects is not None
    assert [caption.text for caption in line.captions or ()] == ["a cat"]
    assert found.repeated == 1


def test_images_of_equal_stem_in_different_folders_stay_apart():
    vinvl(THING, name="a/1.jpg")
    found = read_context_files([vinvl(name="b/1.jpg"), write("c.txt", "data\\b\\1.jpg :a cat\n")])
    parts = {name: [part for part, value in line if value] for name, line in found.lines.items()}
    assert parts == {"a/1.jpg": ["image", "objects"], "b/1.jpg": ["image", "captions", "objects"]}


def test_a_name_that_may_be_two_images_of_another_file_is_refused():
    vinvl(THING, name="a/1.jpg")
    with pytest.raises(UsageError, match=r"c\.txt: .*a/1\.jpg or b/1\.jpg"):
        read_context_files([vinvl(name="b/1.jpg"), write("c.txt", "1.jpg :a cat\n")])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rect": [1, 2, 3]}, "rect of four numbers"),
        ({"rect": [1, 2, 3, float("nan")]}, "is not a number"),
        ({"rect": [1, 2, 3, True]}, "is not a number"),
        ({"class": " "}, "no class"),
        ({"conf": 1.5}, "is not between 0 and 1"),
        ({"attr_scores": [0.5]}, "2 attributes have 1"),
        ({"attributes": "blue"}, "not a list of words"),
    ],
)
def test_a_malformed_prediction_is_refused_with_its_line(change: dict[str, Any], message: str):
    vinvl(THING)
    with pytest.raises(UsageError, match=f"predictions.tsv, line 2: .*{message}"):
        read_context_files([vinvl({**THING, **change})])


@pytest.mark.parametrize(
    "content", ["1\t{broken\n", "1\t7\n", "..\t[]\n", "1\t[]\nno tab\n", "[1]", "nothing known"]
)
def test_other_files_are_refused(content: str):
    with pytest.raises(UsageError) as caught:
        read_context_files([write("x.tsv", content)])
    assert "predictions.tsv" in caught.value.hint


def test_an_endless_line_is_not_read_into_memory():
    with pytest.raises(UsageError, match="line 1 is longer than"):
        read_context_files([vinvl(THING)], max_line_bytes=1000)


def test_a_missing_file_is_named():
    with pytest.raises(MissingError, match=r"gone\.tsv"):
        read_context_files([Path("gone.tsv")])


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_in_one_sentence(content: bytes):
    Path("any.tsv").write_bytes(content)
    try:
        read_context_files([Path("any.tsv")])
    except (UsageError, StageError) as error:
        assert "any.tsv" in str(error)

"""Tasks for Label Studio, and the way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ita_pipeline.corpus.datasets import load_dataset
from ita_pipeline.corpus.formats.label_studio_writer import write_tasks
from ita_pipeline.corpus.posts import Span
from stages.objects.schema import Object, ObjectsValue
from tests.support.datasets import fields_of, make_post, read_dataset, write_odd_posts
from tests.support.fakes import draw, ita_here

OPTIONS = ("--form", "label-studio", "--preset", "bundled", "--contexts", "none")


def test_the_example_comes_back_unchanged():
    exported = ita_here("data", "export", "example", "--to", "to-label", *OPTIONS)
    assert exported.code == 0, exported.err
    assert exported.out.splitlines() == ["to-label/tasks.json", "to-label/labels.xml"]
    imported = ita_here("data", "import", "to-label/tasks.json", "--to", "back")
    assert imported.code == 0, imported.err
    before = load_dataset("example", None, Path())
    assert fields_of(read_dataset("back")) == fields_of(before)
    assert any(span.boxes for post in before.posts for span in post.gold or ())


def test_posts_that_tags_cannot_express_come_back_unchanged():
    before = write_odd_posts()
    assert ita_here("data", "export", "odd", "--to", "to-label", *OPTIONS).code == 0
    # As after a download: the file is elsewhere, and --data names the folder of the pictures.
    Path("to-label/tasks.json").rename("project-1.json")
    imported = ita_here("data", "import", "project-1.json", "--data", "to-label", "--to", "back")
    assert imported.code == 0, imported.err
    assert fields_of(read_dataset("back")) == fields_of(before)


def write(*posts: Any) -> list[dict[str, Any]]:
    Path("new").mkdir()
    write_tasks(Path("new"), "to-label", {"train": posts})
    return json.loads(Path("new/tasks.json").read_text("utf-8"))


def test_offsets_count_code_points_and_boxes_are_in_percent():
    draw(Path("11.jpg"))
    found = Object(label="person", score=0.9, box=(16, 12, 48, 36), attributes=())
    objects = ObjectsValue(width=64, height=48, objects=(found,))
    post = make_post("👏🏽 Ada & Bo", "11", Span(1, 2, "PER"), image="11", picture="11.jpg")
    (task,) = write((post, [objects]))
    assert task["data"] == {
        "id": "11",
        "split": "train",
        "text": "👏🏽 Ada & Bo",
        "image": "/data/local-files/?d=to-label/images/11.jpg",
    }
    assert Path("new/images/11.jpg").read_bytes() == Path("11.jpg").read_bytes()
    (mention,) = task["annotations"][0]["result"]
    assert mention["value"] == {"start": 3, "end": 6, "text": "Ada", "labels": ["PER"]}
    again, box = task["predictions"][0]["result"]
    assert again["value"] == mention["value"]
    assert box["type"] == "rectanglelabels"
    assert (box["original_width"], box["original_height"]) == (64, 48)
    expected = {"x": 25, "y": 25, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["person"]}
    assert box["value"] == expected
    ids = [region["id"] for region in (mention, again, box)]
    assert len(set(ids)) == 3


def test_the_configuration_names_every_label():
    odd = Object(label='"tv" & <b>', score=0.9, box=(0, 0, 1, 1), attributes=())
    post = make_post("Ada", "1", Span(0, 1, "PER"), image="1.jpg")
    tasks = write((post, [ObjectsValue(width=2, height=2, objects=(odd,))]))
    view = ElementTree.fromstring(Path("new/labels.xml").read_text("utf-8"))
    assert [label.get("value") for label in view.iterfind("Labels/Label")] == ["PER"]
    assert [label.get("value") for label in view.iterfind("RectangleLabels/Label")] == ['"tv" & <b>']
    assert [(tag.tag, tag.get("value")) for tag in view if tag.get("value")] == [
        ("Text", "$text"),
        ("Image", "$image"),
    ]
    names = {tag.get("name") for tag in view}
    for region in tasks[0]["annotations"][0]["result"] + tasks[0]["predictions"][0]["result"]:
        assert {region["from_name"], region["to_name"]} <= names


def test_every_task_has_the_key_of_the_picture_and_several_are_a_list():
    first, second = make_post("Ada", "1", image="1.jpg"), make_post("Bo", "2")
    tasks = write((first, [None]), (second, [None]))
    assert [task["data"]["image"] for task in tasks] == ["/data/local-files/?d=to-label/1.jpg", ""]
    write_odd_posts()
    assert ita_here("data", "export", "odd", "--to", "b", *OPTIONS).code == 0
    tasks = json.loads(Path("b/tasks.json").read_text("utf-8"))
    assert [len(task["data"]["images"]) for task in tasks] == [2, 1, 0, 1]
    assert 'valueList="$images"' in Path("b/labels.xml").read_text("utf-8")
    assert "annotations" not in tasks[3]

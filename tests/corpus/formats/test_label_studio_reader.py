"""Tasks as Label Studio exports them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.formats.label_studio_reader import TaskReader, is_task_file
from ita_pipeline.corpus.importing import import_tasks
from ita_pipeline.corpus.posts import Post, Span
from tests.support.datasets import read_dataset
from tests.support.fakes import draw, ita_here

TEXT = "👏🏽 Ada at Marlow"


def mention(start: int, end: int, label: str = "PER", text: str | None = None) -> dict[str, Any]:
    """A region as Label Studio 1.13 exports it."""
    value: dict[str, Any] = {"start": start, "end": end, "labels": [label]} | ({"text": text} if text else {})
    names = {"id": "hFbTkkoyTt", "from_name": "label", "to_name": "text", "type": "labels", "origin": "manual"}
    return {"value": value} | names


def box(**value: Any) -> dict[str, Any]:
    size = {"original_width": 200, "original_height": 100, "image_rotation": 0}
    names = {"id": "yQ0p", "from_name": "box", "to_name": "image", "type": "rectanglelabels", "origin": "manual"}
    default = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["person"]}
    return size | names | {"value": default | value}


def task(*result: Any, id: int = 1, **data: Any) -> dict[str, Any]:
    annotation = {
        "id": id,
        "completed_by": 1,
        "result": list(result),
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2024-08-05T10:12:11.021Z",
        "updated_at": "2024-08-05T10:12:11.021Z",
        "draft_created_at": None,
        "lead_time": 3.2,
        "prediction": {},
        "result_count": 1,
        "unique_id": "8c0e0a31",
        "last_action": None,
        "task": id,
        "project": 1,
    }
    rest = {
        "drafts": [],
        "predictions": [],
        "meta": {},
        "inner_id": 1,
        "total_annotations": 1,
        "file_upload": "x.json",
    }
    return {"id": id, "annotations": [annotation], "data": {"text": TEXT} | data} | rest


def read(*tasks: Any, **options: Any) -> tuple[list[Post], TaskReader]:
    Path("project-1.json").write_text(json.dumps(tasks))
    reader = TaskReader(Path("project-1.json"), [Path()], **options)
    return [post for _, post in reader.read()], reader


def test_mentions_are_read_by_code_points():
    (post,), reader = read(task(mention(3, 6, text="Ada"), mention(10, 16, "LOC")))
    assert (post.id, post.text) == ("1", TEXT)
    assert post.gold == (Span(1, 2, "PER"), Span(3, 4, "LOC"))
    assert list(reader.notes()) == []


def test_offsets_in_utf_16_are_found_out_by_the_text_of_the_mention():
    (post,), reader = read(task(mention(5, 8, text="Ada"), mention(12, 18, "LOC", text="Marlow")))
    assert post.gold == (Span(1, 2, "PER"), Span(3, 4, "LOC"))
    assert list(reader.notes()) == ["mentions with offsets in UTF-16, which are converted: 2"]


@given(st.text("a🎉é \U0001f3fd", min_size=1), st.data())
def test_both_ways_to_count_lead_to_the_same_mention(text: str, data: st.DataObject):
    text = f"b{text}c"
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    if not text[start:end].strip():
        return
    units = [len(text[:at].encode("utf-16-le")) // 2 for at in (start, end)]
    (first,), _ = read(task(mention(start, end, text=text[start:end]), text=text))
    (second,), reader = read(task(mention(*units, text=text[start:end]), text=text))
    # The same words may stand at both offsets; then they are code points.
    if list(reader.notes()) or units == [start, end]:
        assert second.gold == first.gold
        assert [s.characters for s in second.gold or ()] == [s.characters for s in first.gold or ()]


def test_a_mention_whose_text_is_elsewhere_is_an_error():
    with pytest.raises(UsageError, match="task 7: at 0–3 stands '👏🏽 ', not 'Ada'"):
        read(task(mention(0, 3, text="Ada"), id=7))


def test_white_space_around_and_inside_a_mention_does_not_matter():
    (post,), _ = read(
        task(mention(0, 5, text="Ada\\n"), mention(5, 16, "LOC", "New York"), text="Ada\n\nNew \nYork  ")
    )
    assert post.gold == (Span(0, 1, "PER"), Span(1, 3, "LOC"))


def test_the_ground_truth_else_the_newest_annotation_counts():
    several = task(mention(3, 6))
    annotation = several["annotations"][0]
    newer = annotation | {"result": [], "updated_at": "2025-01-01T00:00:00Z"}
    skipped = annotation | {"was_cancelled": True}
    truth = annotation | {"ground_truth": True}
    tasks = [
        several | {"annotations": annotations}
        for annotations in ([annotation, newer], [truth, newer], [skipped], [])
    ]
    posts, reader = read(*tasks)
    assert [post.gold for post in posts] == [(), (Span(1, 2, "PER"),), None, None]
    assert list(reader.notes()) == [
        "tasks without an annotation, read as unlabeled posts: 2",
        "tasks with several annotations, of which the ground truth counts, else the newest: 2",
    ]


def test_boxes_are_objects_of_the_picture_in_pixels():
    draw(Path("images/1.jpg"), size=(200, 100))
    turned = box(x=50, y=0, width=20, height=20, rotation=90, rectanglelabels=["dog"])
    tasks = [task(mention(3, 6), box(), turned, image="/data/local-files/?d=to-label/images/1.jpg")]
    Path("p.json").write_text(json.dumps(tasks))
    imported = import_tasks(Path("p.json"), Path("back"))
    objects = imported.contexts["images/1.jpg"].objects
    assert objects is not None
    assert (objects.width, objects.height) == (200, 100)
    assert [(item.label, item.box) for item in objects.objects] == [
        ("person", (20, 20, 80, 60)),
        ("dog", (80, 0, 100, 40)),
    ]
    assert imported.notes == ["turned boxes, read as the upright boxes around them: 1"]
    again = read_dataset("back")
    assert again.captions == Path("back/contexts.jsonl")
    (post,) = again.posts
    assert post.files == (Path("back/images/1.jpg"),)


def test_a_relation_gives_a_box_to_its_mention():
    found = box(id="", rectanglelabels=["person", "PER"]) | {"id": "b"}
    regions = [mention(3, 6) | {"id": "a"}, found, {"type": "relation", "from_id": "b", "to_id": "a", "labels": []}]
    hidden = mention(10, 16, "LOC") | {"meta": {"text": ["not in the picture"]}}
    (post,), reader = read(task(*regions, hidden, image="1.jpg"))
    assert [span.boxes for span in post.gold or ()] == [((20, 20, 80, 60),), ()]
    assert [item.label for item in reader.objects["images/1.jpg"].objects] == ["person"]


def test_what_a_dataset_cannot_hold_is_counted():
    choice = {"type": "choices", "value": {"choices": ["spam"]}, "from_name": "c", "to_name": "text", "id": "1"}
    relation = {"type": "relation", "from_id": "1", "to_id": "2", "direction": "right"}
    _, reader = read(task(choice, choice, relation, box()))
    assert list(reader.notes()) == [
        "regions of the type choices that are left out: 2",
        "boxes without a picture or its size, which are left out: 1",
        "relations between others than a mention and a box, which are left out: 1",
    ]


@pytest.mark.parametrize(
    "address",
    [
        "/data/local-files/?d=to%20label/pictures/1.jpg",
        "/data/upload/3/8f2bd1c0-1.jpg",
        "https://example.org/pictures/1.jpg?size=large",
        "s3://bucket/pictures/1.jpg",
        "pictures/1.jpg",
        "../../pictures/1.jpg",
    ],
)
def test_pictures_are_found_below_the_folder_by_their_address(address: str):
    draw(Path("pictures/1.jpg"))
    draw(Path("1.jpg"))
    (post,), reader = read(task(image=address))
    assert post.pictures[0].file in (Path("pictures/1.jpg"), Path("1.jpg"))
    assert not list(reader.notes())


@pytest.mark.parametrize("address", ["/etc/passwd", "../outside.jpg", "http://[", "a\0b", "x" * 5000, "/", 7])
def test_a_picture_elsewhere_is_named_and_not_fetched(
    address: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    draw(Path("outside.jpg"))
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    (post,), reader = read(task(image=address))
    assert [picture.file for picture in post.pictures] == [None]
    assert len(list(reader.notes())) == 1


def test_a_task_names_its_data_if_the_text_is_not_found():
    with pytest.raises(UsageError, match=r"task 1 has no text; its data are caption, x") as raised:
        read(task() | {"data": {"caption": TEXT, "x": 1}})
    assert "--text-column" in raised.value.hint
    (post,), _ = read(task(mention(3, 6)) | {"data": {"caption": TEXT}}, text_key="caption")
    assert post.gold == (Span(1, 2, "PER"),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"text": "Ada", "label": [{"start": 0, "end": 3, "labels": ["PER"]}], "id": 1}]', "not a list of tasks"),
        ("[1]", "not a list of tasks"),
        ('[{"data": {"text": "a"}, "annotations": [{}]}]', "not a list of tasks"),
        ("[" * 100_000, "not a list of tasks"),
        ('[{"data": {"text": "a"}, "annotations": [{"result": [{"type": "labels"}]}]}]', "task 1: start"),
        ('[{"data": {"text": {"a": 3}}}]', "task 1"),
        ('[{"data": {"text": "a", "split": "x"}}]', "there is no split 'x'"),
        (json.dumps([task(mention(3, 99))]), "ends after the text"),
        (json.dumps([task(mention(3, 6, "bad type"))]), "task 1"),
        (json.dumps([task(box(x=float("inf")), image="1.jpg")]), "task 1"),
        (json.dumps([task(box() | {"original_width": 10**400}, image="1.jpg")]), "original_width"),
    ],
)
def test_another_file_is_one_sentence(content: str, message: str):
    Path("x.json").write_text(content)
    assert is_task_file(Path("x.json"))
    answer = ita_here("data", "import", "x.json", "--to", "new")
    assert (answer.code, answer.out) == (2, ""), answer.err
    assert message in answer.err
    assert not Path("new").exists()


def test_only_pictures_are_copied(tmp_path: Path):
    (tmp_path / "secret").write_text("secret")
    Path("1.jpg").symlink_to(tmp_path / "secret")
    draw(Path("2.png"))
    Path("x.json").write_text(json.dumps([task(image="1.jpg"), task(image="2.png")]))
    imported = import_tasks(Path("x.json"), Path("new"))
    assert sorted(path.name for path in Path("new").rglob("*.*")) == ["2.png", "tweets.jsonl"]
    assert "pictures in no supported format, or that cannot be read: 1" in imported.notes

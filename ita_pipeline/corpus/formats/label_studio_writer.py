"""Tasks of Label Studio, written: posts as JSON that it imports, with the configuration of a project.

A task has `data`, and annotations whose `result` lists regions: mentions are of the type `labels`, with offsets in
code points, and boxes of the type `rectanglelabels`, in percent of the picture.

https://labelstud.io/guide/task_format https://labelstud.io/tags/text https://labelstud.io/tags/rectanglelabels
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from ita_pipeline.corpus.formats.fields import format_fields
from ita_pipeline.corpus.posts import Picture, Post
from ita_pipeline.sources.classify import is_image_name
from ita_pipeline.sources.decode import copy_image, measure_upright
from stages.objects.schema import ObjectsValue

TASKS_FILE, CONFIG_FILE = "tasks.json", "labels.xml"

# A path below the folder LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT.
LOCAL_FILES = "/data/local-files/?d="

# The note, in Label Studio "meta information", on a mention that the picture does not show.
NOT_SHOWN = "not in the picture"

PostWithObjects = tuple[Post, Sequence[ObjectsValue | None]]
"""A post, and the detected objects of each of its pictures, None where nothing was looked for."""


def write_tasks(
    folder: Path, name: str, splits: Mapping[str, Sequence[PostWithObjects]]
) -> tuple[list[Path], list[str]]:
    """Write tasks, configuration and pictures. `name` is the final name of the folder, which the tasks refer to.

    Gold mentions are an annotation, with a relation from each to its boxes. Where objects were detected, a
    prediction holds them with the mentions, so that annotators can start from both. Returns the files, and notes.
    """
    posts = [post for pairs in splits.values() for post, _ in pairs]
    pairs = [(split, _copy_pictures(post, folder), objects) for split in splits for post, objects in splits[split]]
    is_list = any(len(post.pictures) > 1 for _, post, _ in pairs)
    tasks = [_format_task(n, *pair, name, is_list) for n, pair in enumerate(pairs, 1)]
    files = {TASKS_FILE: json.dumps(tasks, ensure_ascii=False, indent=1) + "\n", CONFIG_FILE: _format_config(tasks)}
    for file, text in files.items():
        (folder / file).write_text(text, "utf-8")
    lost = sum(bool(span.boxes) and not _measure(post) for _, post, _ in pairs for span in post.gold or ())
    notes = [f"mentions whose boxes are left out, since the picture is missing: {lost}"] if lost else []
    given, copied = (sum(len(one.files) for one in some) for some in (posts, [post for _, post, _ in pairs]))
    if copied < given:
        notes.append(f"pictures in no supported format, or that cannot be read: {given - copied}")
    return [folder / file for file in files], notes


def _copy_pictures(post: Post, folder: Path) -> Post:
    """Copy the pictures of a post to the folder. Those of the result are named after the copies."""
    pictures: list[Picture] = []
    for picture in post.pictures:
        name = picture.name
        if picture.file is not None:
            name = name if is_image_name(name) else f"images/{name}{picture.file.suffix}"
        is_copied = picture.file is not None and copy_image(picture.file, folder / name)
        pictures.append(Picture(name, picture.file if is_copied else None))
    return replace(post, pictures=tuple(pictures))


def _format_task(
    number: int, split: str, post: Post, objects: Sequence[ObjectsValue | None], root: str, is_list: bool
) -> dict[str, Any]:
    data = format_fields(post, split, as_text=True)
    mentions = data.pop("mentions", [])
    names = [data.pop("image")] if "image" in data else data.pop("images", [])
    urls = [LOCAL_FILES + quote(f"{root}/{name}") for name in names]
    # Label Studio wants the key of the picture in every task, also in one without a picture.
    data |= {"images": urls} if is_list else {"image": next(iter(urls), "")}
    task: dict[str, Any] = {"data": data}
    size = _measure(post)
    if post.gold is not None:
        task["annotations"] = [{"result": list(_format_mentions(f"{number}-gold", post.text, mentions, size))}]
    boxes = [
        _format_box(f"{number}-{picture}-{n}", item.label, item.box, (value.width, value.height), picture)
        | {"score": item.score}
        for picture, value in enumerate(objects)
        if value is not None
        for n, item in enumerate(value.objects, 1)
    ]
    if boxes:
        result = [*_format_mentions(f"{number}-start", post.text, mentions, size), *boxes]
        task["predictions"] = [{"model_version": "ita", "result": result}]
    return task


def _measure(post: Post) -> tuple[int, int] | None:
    """The size of the picture that the boxes of mentions are in."""
    return measure_upright(post.picture) if post.picture is not None else None


def _format_mentions(
    prefix: str, text: str, mentions: Sequence[dict[str, Any]], size: tuple[int, int] | None
) -> Iterator[dict[str, Any]]:
    """The regions of mentions, those of their boxes in a picture of this size, and relations between both."""
    for number, mention in enumerate(mentions, 1):
        start, end, boxes = mention["start"], mention["end"], mention.get("boxes")
        region = {
            "id": f"{prefix}-{number}",
            "from_name": "mention",
            "to_name": "text",
            "type": "labels",
            "value": {"start": start, "end": end, "text": text[start:end], "labels": [mention["type"]]},
        }
        yield region | ({"meta": {"text": [NOT_SHOWN]}} if boxes == [] else {})
        if size is None:
            continue
        for n, box in enumerate(boxes or (), 1):
            yield _format_box(f"{region['id']}-{n}", mention["type"], box, size)
            yield {
                "type": "relation",
                "from_id": region["id"],
                "to_id": f"{region['id']}-{n}",
                "direction": "right",
            }


def _format_box(
    region_id: str, label: str, box: Sequence[float], size: tuple[int, int], picture: int = 0
) -> dict[str, Any]:
    (left, top, right, bottom), (width, height) = box, size
    return {
        "id": region_id,
        "from_name": "box",
        "to_name": "image",
        "type": "rectanglelabels",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "item_index": picture,
        "value": {
            "x": 100 * left / width,
            "y": 100 * top / height,
            "width": 100 * (right - left) / width,
            "height": 100 * (bottom - top) / height,
            "rotation": 0,
            "rectanglelabels": [label],
        },
    }


def _format_config(tasks: Sequence[dict[str, Any]]) -> str:
    """The labeling configuration of a project with these tasks, as XML."""
    groups = [group for task in tasks for kind in ("annotations", "predictions") for group in task.get(kind, ())]
    regions = [region for group in groups for region in group["result"]]
    view = ElementTree.Element("View")
    # Otherwise white space is shown, and saved, in another form than in the text.
    ElementTree.SubElement(view, "Style").text = ".htx-text { white-space: pre-wrap; }"
    for tag, name, to, kind in (
        ("Labels", "mention", "text", "labels"),
        ("RectangleLabels", "box", "image", "rectanglelabels"),
    ):
        labels = sorted({label for region in regions for label in region.get("value", {}).get(kind, ())})
        if labels:
            parent = ElementTree.SubElement(view, tag, name=name, toName=to)
            for label in labels:
                ElementTree.SubElement(parent, "Label", value=label)
        if to == "text":
            ElementTree.SubElement(view, "Text", name="text", value="$text")
    if any("images" in task["data"] for task in tasks):
        ElementTree.SubElement(view, "Image", name="image", valueList="$images")
    elif any(task["data"]["image"] for task in tasks):
        ElementTree.SubElement(view, "Image", name="image", value="$image")
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"

"""Posts of the library `datasets`, with and without labels."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.formats.hf_datasets import posts_in
from ita_pipeline.corpus.importing import import_dataset
from ita_pipeline.sources.hub_datasets import is_loadable
from tests.support.datasets import read_dataset
from tests.support.fakes import ita_here


def picture_bytes(format: str) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(content, format)
    return content.getvalue()


def saved(folder: str, names: list[str] | None = None, **columns: Any) -> None:
    import datasets

    tags = datasets.ClassLabel(names=names) if names else datasets.Value("int64")
    features: dict[str, Any] = {
        "tokens": datasets.List(datasets.Value("string")),
        "ner_tags": datasets.List(tags),
    }
    if "image" in columns:
        features["image"] = datasets.Image()
    if "images" in columns:
        features["images"] = datasets.List(datasets.Image())
    data = {"tokens": [["Ada", "Love lace"], ["no"]], "ner_tags": [[1, 2], [0]], **columns}
    rows = datasets.Dataset.from_dict(data, features=datasets.Features(features))
    datasets.DatasetDict({"train": rows, "validation": rows}).save_to_disk(folder)


def test_several_images_of_a_post_are_imported():
    one, two, bad = picture_bytes("PNG"), picture_bytes("JPEG"), b"<html>"
    encoded = [{"bytes": content, "path": None} for content in (one, bad, two)]
    saved("hf", ["O", "B-PER", "I-PER"], images=[encoded, []])
    found = import_dataset("hf", Path("new"))
    first, second = read_dataset("new").splits["train"]
    assert [file.read_bytes() for file in first.files] == [one, two]
    assert second.pictures == ()
    assert found.notes[0].startswith("train: 1 pictures are none of a known format")


def test_a_saved_dataset_is_imported_with_its_images():
    pictures = [{"bytes": picture_bytes("PNG"), "path": None}, {"bytes": b"<html>", "path": "../evil.jpg"}]
    saved("hf", ["O", "B-PER", "E-PER"], image=pictures)
    assert is_loadable("hf")
    found = import_dataset("hf", Path("new"))
    new = read_dataset("new")
    assert {name: len(posts) for name, posts in new.splits.items()} == {"train": 2, "dev": 2}
    one, two = new.splits["train"]
    assert one.words == ("Ada", "Love_lace")
    assert [(span.start, span.end, span.type) for span in one.gold or ()] == [(0, 2, "PER")]
    assert (one.picture, two.picture) == (Path("new/images/train-1.png"), None)
    assert found.notes[0].startswith("train: 1 pictures are none of a known format")


def test_an_image_of_several_frames_from_a_camera_is_saved_as_a_jpeg():
    content = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(content, "MPO", save_all=True, append_images=frames[1:])
    saved("hf", ["O", "B-PER", "E-PER"], image=[{"bytes": content.getvalue(), "path": "a.mpo"}] * 2)
    import_dataset("hf", Path("new"))
    assert read_dataset("new").splits["train"][0].picture == Path("new/images/train-1.jpg")


def test_numbered_tags_need_names():
    saved("hf")
    with pytest.raises(UsageError, match="numbers without names") as caught:
        import_dataset("hf", Path("new"))
    assert "--tag-names" in caught.value.hint
    assert not Path("new").exists()
    answer = ita_here("data", "import", "hf", "--to", "new", "--tag-names", "O,S-PER,S-LOC")
    assert answer.out == "new: 4 posts (train 2, dev 2)\n"
    assert [span.type for span in read_dataset("new").splits["train"][0].gold or ()] == ["PER", "LOC"]


def test_parquet_files_are_splits_by_their_names():
    import datasets

    rows = datasets.Dataset.from_dict({"words": [["a"]], "tags": [["B-LOC"]]})
    for name in ("train", "test"):
        rows.to_parquet(f"tables/{name}-00000-of-00001.parquet")
    import_dataset("tables", Path("new"))
    assert {name: len(posts) for name, posts in read_dataset("new").splits.items()} == {"train": 1, "test": 1}


def test_posts_without_labels_are_read_from_words_or_texts_with_their_images():
    import datasets

    pictures = [{"bytes": picture_bytes("JPEG"), "path": None}, {"bytes": b"<html>", "path": None}]
    features = datasets.Features({"text": datasets.Value("string"), "image": datasets.Image()})
    rows = datasets.Dataset.from_dict({"text": ["hi Ada", "no"], "image": pictures}, features=features)
    with posts_in({"train": rows}) as posts:
        one, two = posts
        assert (one.id, one.words, one.gold, one.image_id) == ("train-1", ("hi", "Ada"), None, "train-1")
        assert one.picture is not None
        assert one.picture.read_bytes() == picture_bytes("JPEG")
        assert (two.id, two.picture) == ("train-2", None)
    assert not one.picture.exists()
    with pytest.raises(UsageError, match="has no posts"), posts_in({"train": rows.remove_columns("text")}) as posts:
        list(posts)

"""Datasets from and to the forms of other projects, through the commands and the library."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.corpus.importing import import_dataset, import_tweets
from ita_pipeline.sources.hub_datasets import is_loadable
from tests.support.datasets import read_dataset, read_extra_contexts, write_twitter15
from tests.support.fakes import draw, ita_here

LATE = (
    "Ada\tB-OTHER\r\nspoke\tO\r\n<EOS>\tX\r\none\tX\r\n\r\n"
    "Bo\tO\r\n<EOS>\tX\r\ntwo\tX\r\n<EOS>\tX\r\nthree\tX\r\n\r\n"
)


def late(**files: str) -> Path:
    folder = Path("late")
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.txt").write_bytes(content.encode())
    return folder


def test_late_contexts_are_paired_by_words_and_a_missing_tweet_is_named():
    dataset = write_twitter15()
    found = import_tweets(late(train=LATE, dev=LATE, test=LATE), Path("new"), dataset)
    new = read_dataset("new")
    assert [post.image_id for post in new.splits["train"]] == ["11", "12"]
    assert new.splits["dev"][0].gold == dataset.splits["dev"][0].gold
    assert read_extra_contexts("new") == {"11": ("one",), "12": ("two", "three")}
    assert "train: 2 of the 3 posts of twitter15 are in the file, by their words" in found.notes
    assert "test: not in the file: 13 (the last one); nothing is made up for them" in found.notes


def test_without_a_dataset_to_pair_with_tweets_are_numbered_and_it_is_said():
    found = import_tweets(late(train=LATE), Path("new"))
    assert found.notes == ["train: no ids of pictures; posts are numbered train-1 to train-2"]
    assert read_extra_contexts("new") == {"train-1": ("one",), "train-2": ("two", "three")}


def test_a_file_of_a_split_that_is_not_read_is_named():
    folder = late(train=LATE)
    (folder / "emerging.test.annotated").write_text(LATE)
    (folder / "README.md").write_text("not a split")
    found = import_tweets(folder, Path("new"))
    assert [note for note in found.notes if "not read" in note] == [
        "test: emerging.test.annotated is not read; if it is in CoNLL form, call it test.txt"
    ]


def test_tweets_that_differ_are_told():
    dataset = write_twitter15()
    changed = "Ada\tO\nspoke\tO\n\nsomebody\tO\nelse\tO\n<EOS>\tX\nx\tX\n"
    found = import_tweets(late(train=changed), Path("new"), dataset)
    assert "train: 1 tweets are none of twitter15; they keep numbers of their own" in found.notes
    assert "train: 1 tweets have other labels than in twitter15; those of the file are taken" in found.notes
    assert "train: 1 of 2 tweets have no context: 11" in found.notes


def test_one_picture_cannot_have_the_contexts_of_two_posts():
    content = "IMGID:1\na O\n<EOS> X\nx X\n\nIMGID:1\nb O\n<EOS> X\ny X\n\nIMGID:2\nc O\n<EOS> X\nz X\n"
    found = import_tweets(late(train=content), Path("new"))
    assert read_extra_contexts("new") == {"2": ("z",)}
    assert found.notes == ["posts that share the picture 1 have other contexts; they are left out"]


def test_what_is_there_is_never_overwritten_and_what_is_missing_named():
    Path("new").mkdir()
    Path("new/mine.txt").write_text("x")
    with pytest.raises(UsageError, match="new is there already"):
        import_tweets(late(train=LATE), Path("new"))
    for source, message in ((Path("gone"), "no file or folder gone"), (Path("data"), "no file for train")):
        Path("data").mkdir(exist_ok=True)
        with pytest.raises(MissingError, match=message):
            import_tweets(source, Path("other"))
    assert not Path("other").exists()


def test_a_faulty_file_leaves_nothing_behind():
    with pytest.raises(UsageError, match="line 2"):
        import_tweets(late(train="a\tO\nb\tPERSON\n"), Path("new"))
    assert [path.name for path in Path().iterdir()] == ["late"]


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
    data = {"tokens": [["Ada", "Love lace"], ["no"]], "ner_tags": [[1, 2], [0]], **columns}
    rows = datasets.Dataset.from_dict(data, features=datasets.Features(features))
    datasets.DatasetDict({"train": rows, "validation": rows}).save_to_disk(folder)


def test_a_saved_dataset_with_pictures():
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


def test_numbered_tags_need_names():
    saved("hf")
    with pytest.raises(UsageError, match="numbers without names") as caught:
        import_dataset("hf", Path("new"))
    assert "--tag-names" in caught.value.hint
    assert not Path("new").exists()
    answer = ita_here("data", "import", "hf", "--to", "new", "--tag-names", "O,S-PER,S-LOC")
    assert answer.out == "new: 4 posts (train 2, dev 2)\n"
    assert [span.type for span in read_dataset("new").splits["train"][0].gold or ()] == ["PER", "LOC"]


def test_parquet_files_by_split():
    import datasets

    rows = datasets.Dataset.from_dict({"words": [["a"]], "tags": [["B-LOC"]]})
    for name in ("train", "test"):
        rows.to_parquet(f"tables/{name}-00000-of-00001.parquet")
    import_dataset("tables", Path("new"))
    assert {name: len(posts) for name, posts in read_dataset("new").splits.items()} == {"train": 1, "test": 1}


def test_a_name_that_nobody_has_is_told_without_a_traceback():
    answer = ita_here("data", "import", "owner/nothing-here", "--to", "new")
    assert answer.code == 3
    assert "the dataset owner/nothing-here cannot be had" in answer.err
    assert not Path("new").exists()


def test_pictures_beside_an_imported_dataset_are_found():
    import_tweets(late(train="IMGID:5\na O\n<EOS> X\nx X\n"), Path("new"))
    draw(Path("new/5.jpg"))
    assert read_dataset("new").splits["train"][0].picture == Path("new/5.jpg")


def test_contexts_of_other_programs_reach_the_posts():
    write_twitter15()
    thing = {"rect": [0, 0, 9, 9], "class": "dog", "conf": 0.9, "attributes": ["brown"], "attr_scores": [0.9]}
    Path("predictions.tsv").write_text(f"11\t{json.dumps({'objects': [thing]})}\n")
    Path("captions.tsv").write_text('12\t[{"caption": "two cats", "conf": 0.5}]\n')
    answer = ita_here("data", "import-contexts", "predictions.tsv", "captions.tsv")
    assert (answer.code, answer.out) == (0, "contexts.jsonl: objects of 1, captions of 1 pictures\n")
    options = ("--preset", "bundled", "--captions", "contexts.jsonl")
    exported = ita_here("data", "export", "twitter15", "--to", "kb", *options)
    assert exported.code == 0, exported.err
    content = Path("kb/twitter15_doc/train.txt").read_text()
    assert "<EOS> B-X\nbrown B-X\ndog B-X\n" in content
    assert "<EOS> B-X\ntwo B-X\ncats B-X\n" in content
    assert ita_here("data", "import-contexts", "captions.tsv").code == 2

"""Datasets from and to the forms of other projects, through the commands and the library."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.corpus.importing import import_tweets
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


def test_tweets_are_paired_by_words_and_a_missing_one_is_named():
    dataset = write_twitter15()
    found = import_tweets(late(train=LATE, dev=LATE, test=LATE), Path("new"), dataset)
    new = read_dataset("new")
    assert [post.image_id for post in new.splits["train"]] == ["11", "12"]
    assert new.splits["dev"][0].gold == dataset.splits["dev"][0].gold
    assert read_extra_contexts("new") == {"11": ("one",), "12": ("two", "three")}
    assert "train: 2 of the 3 posts of twitter15 are in the file, by their words" in found.notes
    assert "test: not in the file: 13 (the last one); nothing is made up for them" in found.notes


def test_tweets_without_ids_are_numbered_with_a_note():
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


def test_tweets_that_differ_from_the_dataset_are_noted():
    dataset = write_twitter15()
    changed = "Ada\tO\nspoke\tO\n\nsomebody\tO\nelse\tO\n<EOS>\tX\nx\tX\n"
    found = import_tweets(late(train=changed), Path("new"), dataset)
    assert "train: not in twitter15: 1 tweet, numbered by their order" in found.notes
    assert "train: labels that differ from twitter15: 1 tweet; the file's are used" in found.notes
    assert "train: without a context: 1 of 2 tweets: 11" in found.notes


def test_one_picture_cannot_have_the_contexts_of_two_posts():
    content = "IMGID:1\na O\n<EOS> X\nx X\n\nIMGID:1\nb O\n<EOS> X\ny X\n\nIMGID:2\nc O\n<EOS> X\nz X\n"
    found = import_tweets(late(train=content), Path("new"))
    assert read_extra_contexts("new") == {"2": ("z",)}
    assert found.notes == ["posts that share the picture 1 have other contexts; they are left out"]


def test_nothing_is_overwritten_and_missing_files_are_named():
    Path("new").mkdir()
    Path("new/mine.txt").write_text("x")
    with pytest.raises(UsageError, match="new already exists"):
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


def test_an_unknown_dataset_is_one_sentence():
    answer = ita_here("data", "import", "owner/nothing-here", "--to", "new")
    assert answer.code == 3
    assert "the dataset owner/nothing-here cannot be loaded" in answer.err
    assert not Path("new").exists()


def test_images_beside_an_imported_dataset_are_found():
    import_tweets(late(train="IMGID:5\na O\n<EOS> X\nx X\n"), Path("new"))
    draw(Path("new/5.jpg"))
    assert read_dataset("new").splits["train"][0].picture == Path("new/5.jpg")


def test_imported_contexts_of_other_programs_are_rendered():
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

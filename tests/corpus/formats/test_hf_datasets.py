"""Posts of the library `datasets`, with and without labels."""

from __future__ import annotations

import csv
import io
import itertools
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.datasets import load_dataset
from ita_pipeline.corpus.formats.hf_datasets import posts_in, posts_of_source
from ita_pipeline.corpus.importing import import_dataset
from ita_pipeline.corpus.posts import Span
from ita_pipeline.sources.hub_datasets import is_loadable
from tests.support.datasets import fields_of, read_dataset, write_odd_posts
from tests.support.fakes import draw, ita_here


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
    assert found.notes[0].startswith("train: left out 1 picture in no supported format")


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
    assert found.notes[0].startswith("train: left out 1 picture in no supported format")


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


def test_the_example_is_exported_and_imported_unchanged(tmp_path: Path):
    import datasets

    answer = ita_here("data", "export", "example", "--to", "saved", "--form", "datasets", "--preset", "bundled")
    assert answer.out.splitlines() == ["saved/train", "saved/validation", "saved/test"], answer.err
    loaded: Any = datasets.load_from_disk("saved")
    before = load_dataset("example", None, Path())
    sizes = {split: len(posts) for split, posts in before.splits.items()}
    assert {name: len(rows) for name, rows in loaded.items()} == {
        "train": sizes["train"],
        "validation": sizes["dev"],
        "test": sizes["test"],
    }
    features = loaded["train"].features
    assert features["image"] == datasets.Image()
    names = ["O", "B-LOC", "I-LOC", "B-MISC", "I-MISC", "B-ORG", "I-ORG", "B-PER", "I-PER"]
    assert features["ner_tags"] == datasets.List(datasets.ClassLabel(names=names))
    with Image.open(before.splits["train"][0].files[0]) as picture:
        assert loaded["train"][0]["image"].size == picture.size
    again: Any = datasets.load_dataset("saved", cache_dir=str(tmp_path / "cache"))
    assert again["test"][5]["tokens"] == loaded["test"][5]["tokens"]
    assert ita_here("data", "import", "saved", "--to", "back").code == 0
    assert fields_of(read_dataset("back")) == fields_of(before)


def test_posts_that_tags_cannot_express_come_back_from_a_saved_dataset():
    before = fields_of(write_odd_posts())
    answer = ita_here("data", "export", "odd", "--to", "saved", "--form", "datasets", "--preset", "bundled")
    assert "pictures left out, since they are missing: 1" in answer.err
    assert ita_here("data", "import", "saved", "--to", "back").code == 0
    after = fields_of(read_dataset("back"))
    # Two pictures with the same file name: the second gets another name. A missing picture has no bytes to save.
    first, *others = before["train"]
    names = [("images/1.jpg", first[-1][0][1]), ("images/train-1-2.jpg", first[-1][1][1])]
    assert after["train"] == [(*first[:-1], names), *others]
    assert after["dev"] == before["dev"]
    assert after["test"] == [(*post[:-1], []) for post in before["test"]]


CSV = """\ufeffid,Text,image,split,mentions
007,"Ada says ""hi"",
and Bo",pictures/1.png,train,"[{""start"": 0, ""end"": 3, ""type"": ""PER""}]"
8,NA,,valid,[]
9,no labels,pictures/gone.png,test,
"""


@pytest.mark.parametrize(("name", "delimiter"), [("posts.csv", ","), ("POSTS.CSV", ";"), ("posts.tsv", "\t")])
def test_a_table_of_text_is_a_dataset(name: str, delimiter: str):
    draw(Path("in/pictures/1.png"))
    rows = csv.reader(io.StringIO(CSV))
    with Path("in", name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    answer = ita_here("data", "import", f"in/{name}", "--to", "new")
    assert answer.out == "new: 3 posts (train 1, dev 1, test 1)\n", answer.err
    assert answer.err.startswith(f"in/{name}: pictures that are missing: 1\n")
    splits = read_dataset("new").splits
    (post,) = splits["train"]
    assert (post.id, post.text) == ("007", 'Ada says "hi",\nand Bo')
    assert [(span.start, span.end, span.type) for span in post.gold or ()] == [(0, 1, "PER")]
    assert post.files == (Path("new/pictures/1.png"),)
    assert [(one.text, one.gold, one.pictures) for one in splits["dev"]] == [("NA", (), ())]
    (unlabeled,) = splits["test"]
    assert unlabeled.gold is None
    assert [(picture.name, picture.file) for picture in unlabeled.pictures] == [("pictures/gone.png", None)]
    with posts_of_source(f"in/{name}") as posts:
        assert [(one.id, one.files) for one in posts] == [
            ("007", (Path("in/pictures/1.png"),)),
            ("8", ()),
            ("9", ()),
        ]


def test_words_and_tags_in_cells_are_lists_or_have_spaces():
    Path("posts.csv").write_text(
        'tokens,tags,text\nAda spoke,B-PER O,Ada  spoke\n"[""a b"", ""c""]","[""O"", ""S-LOC""]",x\n'
    )
    assert ita_here("data", "import", "posts.csv", "--to", "new").out == "new: 2 posts (without a split 2)\n"
    first, second = sorted(read_dataset("new").posts, key=lambda post: post.id)
    assert (first.text, first.words, first.gold) == ("Ada  spoke", ("Ada", "spoke"), (Span(0, 1, "PER"),))
    assert (second.text, second.words, second.gold) == ("a_b c", ("a_b", "c"), (Span(1, 2, "LOC"),))


def test_a_table_in_parquet_holds_paths_or_pictures_and_lists():
    import datasets

    draw(Path("1.png"))
    rows = {"body": ["Ada", "Bo"], "photo": ["1.png", None], "tokens": [["x"], ["y"]], "id": [7, 8]}
    datasets.Dataset.from_dict(rows).to_parquet("posts.parquet")
    with posts_of_source("posts.parquet", "body", "photo") as posts:
        assert [(post.id, post.text, post.files) for post in posts] == [
            ("7", "Ada", (Path("1.png"),)),
            ("8", "Bo", ()),
        ]
    saved("hf", ["O", "B-PER", "I-PER"], image=[{"bytes": picture_bytes("PNG"), "path": "a.png"}, None])
    loaded: Any = datasets.load_from_disk("hf")
    loaded["train"].to_parquet("test.parquet")
    assert ita_here("data", "import", "test.parquet", "--to", "new").out == "new: 2 posts (test 2)\n"
    first, _ = read_dataset("new").splits["test"]
    assert first.gold == (Span(0, 2, "PER"),)
    assert first.files == (Path("new/images/a.png"),)


@pytest.mark.parametrize(
    ("name", "content", "message", "hint"),
    [
        ("a.csv", "x,body\n1,Ada\n", "a.csv has no posts: its columns are x, body", "--text-column NAME"),
        ("a.csv", "text,text\n1,2\n", "a.csv has two columns with the name 'text'", "rename"),
        ("a.csv", "text,x\n1,2,3\n", "a.csv is no table: CSV parse error: Expected 2 columns, got 3", "quote"),
        ("a.csv", "", "a.csv is no table", "quote"),
        ("a.csv", "text\nJosé\n".encode("latin1"), "a.csv is no table", ""),
        ("a.csv", "té\n".encode("latin1"), "a.csv is not UTF-8 text", "iconv"),
        ("a.csv", "text,split\nx,y\n", "a.csv, row 1: the split 'y' is none of train, dev, test", ""),
        ("a.csv", "text,image\nx,/etc/passwd\n", "'/etc/passwd' is outside the folder", "start from the folder"),
        ("a.csv", 'tokens,tags\nx,"[1"\n', "[1 is no list in JSON", "B-PER O"),
        (
            "a.csv",
            'text,mentions\nx,"[{""start"": 0, ""end"": 9, ""type"": ""A""}]"\n',
            "ends after the text",
            "mentions",
        ),
        ("a.parquet", "PAR1", "a.parquet is not a parquet file, or is damaged", "write it again"),
    ],
)
def test_a_faulty_table_is_one_sentence(name: str, content: str | bytes, message: str, hint: str):
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    answer = ita_here("data", "import", name, "--to", "new")
    error, told = answer.err.splitlines()[-2:]
    assert (answer.code in (2, 3), message in error, hint in told) == (True, True, True), answer.err
    assert not Path("new").exists()


def test_a_column_that_is_not_there_is_named_with_those_that_are():
    Path("posts.csv").write_text("body,photo\nAda,\n")
    answer = ita_here("data", "import", "posts.csv", "--to", "new", "--text-column", "bodi")
    assert answer.code == 2
    assert "there is no column bodi; the columns are body, photo\nhint: did you mean body?" in answer.err
    assert ita_here("data", "import", "posts.csv", "--to", "new", "--text-column", "body").code == 0
    assert read_dataset("new").posts[0].words == ("Ada",)


def test_a_table_or_a_saved_dataset_is_to_be_imported_first():
    saved("hf", ["O", "B-PER", "I-PER"])
    Path("posts.csv").write_text("text\nAda\n")
    for name in ("hf", "posts.csv"):
        answer = ita_here("data", "stats", name)
        assert answer.code == 2
        assert f"hint: import it first: ita data import {name} --to FOLDER" in answer.err


def test_a_file_in_conll_form_is_no_table():
    Path("posts.tsv").write_text("text\tO\nAda\tB-PER\n")
    assert not is_loadable("posts.tsv")
    Path("train.tsv").write_text("body\nAda\n")
    assert not is_loadable("train.tsv")
    assert is_loadable("train.tsv", "body")
    answer = ita_here("data", "import", "posts.tsv", "--to", "new", "--text-column", "body")
    assert (answer.code, "posts.tsv has no columns" in answer.err) == (2, True)


def test_a_text_that_does_not_contain_the_words_is_another_one():
    import datasets

    rows = datasets.Dataset.from_dict({"tokens": [["a", "b"], ["a", "b"]], "text": ["a  b", "b"], "id": ["1", "2"]})
    datasets.DatasetDict({"train": rows}).save_to_disk("hf")
    import_dataset("hf", Path("new"))
    assert [post.text for post in read_dataset("new").splits["train"]] == ["a  b", "a b"]


@pytest.mark.parametrize("path", ["../evil.png", ".hidden.png", "x" * 300 + ".png", "a.mpo", "a\0.png", "a.html"])
def test_a_picture_keeps_no_unusable_name(path: str):
    saved("hf", ["O", "B-PER", "I-PER"], image=[{"bytes": picture_bytes("PNG"), "path": path}, None])
    import_dataset("hf", Path("new"))
    assert {file.name for file in Path("new/images").iterdir()} <= {"train-1.png", "dev-1.png", "evil.png"}


@pytest.mark.parametrize("kind", ["saved", "parquet", "arrow"])
def test_pictures_elsewhere_that_rows_name_are_left_out(kind: str):
    import datasets
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder, own, private = Path("theirs"), Path("theirs/own.png"), Path("private.png").absolute()
    folder.mkdir()
    for file in (own, private):
        file.write_bytes(picture_bytes("PNG"))
    paths = [
        str(own.absolute()),
        str(private),
        "../private.png",
        "theirs/../private.png",
        "http://127.0.0.1/a.png",
        "\0",
    ]
    features = datasets.Features({"text": datasets.Value("string"), "image": datasets.Image()})
    data = {"text": list(map(str, range(len(paths)))), "image": [{"path": path, "bytes": None} for path in paths]}
    table = datasets.Dataset.from_dict(data, features=features).data.table
    datasets.Dataset.from_dict({"text": ["hi"], "image": [None]}, features=features).save_to_disk("theirs")
    (arrow,) = folder.glob("*.arrow")
    with pa.ipc.new_stream(arrow, table.schema) as stream:
        stream.write_table(table)
    pq.write_table(table, "theirs/a.parquet")
    sources = {"saved": "theirs", "parquet": "theirs/a.parquet", "arrow": str(arrow)}
    found = import_dataset(sources[kind], Path("new"))
    posts = itertools.chain.from_iterable(read_dataset("new").splits.values())
    assert [post.text for post in posts if post.files] == ["0"]
    assert len(list(Path("new/images").iterdir())) == 1
    assert "left out 5 pictures" in found.notes[0]


def test_a_text_that_is_no_post_is_refused():
    Path("a.csv").write_text(f"text\nhi\n{'x' * 1_000_001}\n")
    too_long = pytest.raises(UsageError, match="2: the text has more than a million characters")
    with posts_of_source("a.csv") as posts, too_long:
        list(posts)

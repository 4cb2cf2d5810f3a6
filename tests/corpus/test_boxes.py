"""Gold boxes in Pascal VOC files: which mentions get them, and which files are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.core.errors import UserError
from ita_pipeline.corpus.boxes import MAX_BYTES, BoxFiles, read_boxes
from ita_pipeline.corpus.datasets import load_dataset
from ita_pipeline.corpus.line_errors import LineError
from ita_pipeline.corpus.posts import Span
from tests.support.datasets import make_post

GMNER = Path(__file__).parents[3] / "shared/data/gmner"

ADA = ("Ada Lovelace", (10, 20, 110, 220))


def voc(*boxes: tuple[str, tuple[float, ...]], size: tuple[int, int] = (400, 300)) -> str:
    sides = ("xmin", "ymin", "xmax", "ymax")
    objects = "".join(
        f"<object><name>{name}</name><bndbox>"
        + "".join(f"<{side}>{number}</{side}>" for side, number in zip(sides, box, strict=True))
        + "</bndbox></object>"
        for name, box in boxes
    )
    width, height = size
    return f"<annotation><size><width>{width}</width><height>{height}</height></size>{objects}</annotation>"


def write(folder: Path, content: str, name: str = "1") -> Path:
    (folder / "xml").mkdir(exist_ok=True)
    file = folder / "xml" / f"{name}.xml"
    file.write_text(content)
    return file


def post(image: str = "1"):
    spans = (Span(0, 2, "PER"), Span(3, 4, "PER"), Span(4, 6, "PER"))
    return make_post("Ada Lovelace met Bo Ada Lovelace", "7", *spans, image=image)


def test_a_name_repeated_in_a_post_shares_its_boxes(tmp_path: Path):
    other = ("Ada Lovelace", (0, 0, 5.5, 5))
    write(tmp_path, voc(ADA, other))
    found = BoxFiles(tmp_path, "xml/{id}.xml").complete(post(), pytest.fail)
    assert found == post()
    assert [span.boxes for span in found.gold] == [(ADA[1], other[1]), (), (ADA[1], other[1])]


def test_a_picture_without_a_file_shows_no_mention(tmp_path: Path):
    (tmp_path / "xml").mkdir()
    assert [span.boxes for span in BoxFiles(tmp_path, "xml/{id}.xml").complete(post(), pytest.fail).gold] == [
        ()
    ] * 3


def test_names_of_no_mention_and_boxes_outside_the_picture_are_reported(tmp_path: Path):
    write(tmp_path, voc(("Zoe", (1, 1, 2, 2)), ("Bo", (1, 1, 401, 2))))
    errors: list[LineError] = []
    BoxFiles(tmp_path, "xml/{id}.xml").complete(post(), errors.append)
    assert [(error.kind, error.reason) for error in errors] == [
        ("unmatched-box", "no mention of post 7 has the words 'Zoe'"),
        ("outside-box", "the box of 'Bo' leaves the picture of 400×300"),
    ]


def test_each_box_of_an_object_counts(tmp_path: Path):
    sides = "<xmin>1</xmin><ymin>2</ymin><xmax>{}</xmax><ymax>4</ymax>"
    boxes = "".join(f"<bndbox>{sides.format(right)}</bndbox>" for right in (3, 9))
    file = write(tmp_path, f"<annotation><object>{boxes}<name>Bo</name></object></annotation>")
    assert [(found.name, found.box) for found in read_boxes(file).boxes] == [
        ("Bo", (1, 2, 3, 4)),
        ("Bo", (1, 2, 9, 4)),
    ]


def test_a_name_matches_whether_or_not_its_accents_are_characters_of_their_own(tmp_path: Path):
    write(tmp_path, voc(("Jose\u0301", (1, 1, 2, 2))))
    jose = make_post("Jos\u00e9 sang", "7", Span(0, 1, "PER"), image="1")
    found = BoxFiles(tmp_path, "xml/{id}.xml").complete(jose, pytest.fail)
    assert found.gold[0].boxes == ((1, 1, 2, 2),)


def test_a_size_of_nothing_is_unknown(tmp_path: Path):
    write(tmp_path, voc(ADA, size=(0, 0)))
    found = BoxFiles(tmp_path, "xml/{id}.xml").complete(post(), pytest.fail)
    assert found.gold[0].boxes == (ADA[1],)
    assert found.pictures[0].size is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("no markup", "syntax error"),
        ("<annotation><object>", "no element found"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>', "a document type is declared"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>', "a document type is declared"),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "no XML"),
        (voc(("Bo", (5, 1, 5, 2))), "a box of 5, 1, 5, 2 has no area"),
        (voc(("Bo", ("nan", 1, 5, 2))), "has no area"),
        ("<annotation><object><name>Bo</name></object></annotation>", "nothing, nothing"),
        (voc(("", (1, 1, 5, 2))), "a box has no name"),
        ("<annotation>" * 20, "nested more than"),
        ("<html><body>gone</body></html>", "its root is 'html', not 'annotation'"),
        (" " * MAX_BYTES + "<annotation/>", "larger than"),
        (voc(*[("Bo", (1, 1, 2, 2))] * 1001), "more than 1000 boxes"),
    ],
)
def test_a_faulty_file_is_refused_with_its_place(tmp_path: Path, content: str, reason: str):
    file = write(tmp_path, content)
    with pytest.raises(LineError, match=reason) as caught:
        read_boxes(file)
    assert str(file) in str(caught.value)


@given(st.binary(max_size=200) | st.text(alphabet="<>/&;annotationobject!", max_size=80).map(str.encode))
def test_any_bytes_are_boxes_or_a_named_error(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    file = tmp_path_factory.mktemp("xml") / "1.xml"
    file.write_bytes(content)
    try:
        read_boxes(file)
    except UserError as error:
        assert error.hint


def test_a_card_names_the_files_and_without_their_folder_nothing_is_known(tmp_path: Path):
    for name in ("train", "dev", "test"):
        (tmp_path / f"{name}.txt").write_text("IMGID:1\nBo\tB-PER\nsang\tO\n")
    unknown = load_dataset("gmner", tmp_path, Path("data"))
    assert unknown.splits["dev"][0].gold[0].boxes is None
    assert any("no boxes of mentions are known" in note for note in unknown.notes)
    write(tmp_path, voc(("Bo", (1, 1, 2, 2))), "of another dataset")
    assert load_dataset("gmner", tmp_path, Path("data")) == replace(unknown, name="gmner")
    write(tmp_path, voc(("Bo", (1, 1, 2, 2))))
    assert load_dataset("gmner", tmp_path, Path("data")).splits["dev"][0].gold[0].boxes == ((1, 1, 2, 2),)


@pytest.mark.parametrize("pattern", ["xml/", "xml/*.xml", "xml/{name}.xml"])
def test_a_card_whose_files_of_boxes_name_no_picture_is_refused(tmp_path: Path, pattern: str):
    card = tmp_path / "card.yaml"
    card.write_text(f"about: x\nfiles: {{train: [train.txt]}}\nboxes: '{pattern}'\n")
    with pytest.raises(UserError, match=r"boxes must .*\{id\}"):
        load_dataset(str(card), tmp_path, Path("data"))


def test_fmnerg_has_fine_types_in_its_third_column(tmp_path: Path):
    for name in ("train", "dev", "test"):
        (tmp_path / f"{name}.txt").write_text(
            "IMGID:1\nBo\tB-person\tB-musician\nJo\tI-person\tI-musician\nx\tO\tO\n"
        )
    write(tmp_path, voc(("Bo Jo", (1, 1, 2, 2))))
    (post,) = load_dataset("fmnerg", tmp_path, Path("data")).splits["dev"]
    assert post.gold == (Span(0, 2, "musician"),)
    assert post.gold[0].boxes == ((1, 1, 2, 2),)


@pytest.mark.skipif(not GMNER.is_dir(), reason="the published files are not here")
def test_gmner_is_read_as_published():
    import tarfile

    with tarfile.open(GMNER / "xml.tar.gz") as archive:
        archive.extractall(filter="data")
    for name in ("train", "dev", "test"):
        Path(f"{name}.txt").symlink_to(GMNER / ("dev.txt" if name == "test" else f"{name}.txt"))
    errors: list[LineError] = []
    dataset = load_dataset("gmner", Path(), Path("data"), errors.append)
    counts = {
        name: [sum(bool(span.boxes) for span in spans), sum(len(span.boxes or ()) for span in spans)]
        for name, posts in dataset.splits.items()
        for spans in [[span for post in posts for span in post.gold or ()]]
    }
    assert counts == {"train": [4733, 5723], "dev": [991, 1171], "test": [991, 1171]}
    assert errors == []

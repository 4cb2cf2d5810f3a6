"""Picture files are found by the patterns of a card, whatever their endings and form of letters."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from ita_pipeline.corpus.picture_files import PictureFiles
from ita_pipeline.corpus.posts import Picture, Post
from tests.support.fakes import draw

NFD = unicodedata.normalize("NFD", "é")


def find(patterns: list[str], *names: str, files: list[str]) -> list[tuple[str, str | None]]:
    for file in files:
        path = Path("data") / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    post = Post("1", "hi", ("hi",), ((0, 2),), pictures=tuple(map(Picture, names)))
    pictures = PictureFiles(Path("data"), tuple(patterns)).complete(post).pictures
    return [(one.name, one.file.relative_to("data").as_posix() if one.file else None) for one in pictures]


@pytest.mark.parametrize(
    ("pattern", "files", "found"),
    [
        ("images/{id}.jpg", ["images/L4.PNG"], [("L4", "images/L4.PNG")]),
        ("{id}.png", ["L4.jpeg", "L4.txt", "L45.jpg"], [("L4", "L4.jpeg")]),
        ("{id}_*.jpg", ["L4_b.JPG", "L4_a.png", "L45_x.jpg"], [("L4_a.png", "L4_a.png"), ("L4_b.JPG", "L4_b.JPG")]),
        (
            "x/{id}/*.jpg",
            ["x/L4/2.jpg", "x/L4/1.jpg"],
            [("x/L4/1.jpg", "x/L4/1.jpg"), ("x/L4/2.jpg", "x/L4/2.jpg")],
        ),
        ("{id}_*.jpg", ["L5_b.jpg"], [("L4", None)]),
        ("nowhere/{id}_*.jpg", ["L4_b.jpg"], [("L4", None)]),
    ],
)
def test_patterns_match_any_ending_and_several_pictures(
    pattern: str, files: list[str], found: list[tuple[str, str | None]]
):
    assert find([pattern], "L4", files=files) == found


def test_letters_match_in_both_forms_and_signs_of_patterns_in_ids_are_letters():
    assert find(["{id}.jpg"], "é", files=[f"{NFD}.jpg"]) == [("é", f"{NFD}.jpg")]
    assert find(["{id}_*.jpg"], "a[1]*", files=["a[1]*_x.jpg", "a1_y.jpg"]) == [("a[1]*_x.jpg", "a[1]*_x.jpg")]


def test_the_first_pattern_with_a_file_counts():
    assert find(["a/{id}.jpg", "b/{id}.jpg"], "1", files=["b/1.jpg", "a/1.png"]) == [("1", "a/1.png")]


def test_a_named_file_is_found_in_the_other_form_or_missing():
    draw(Path(f"data/{NFD}.png"))
    names = ("é.png", "gone.png")
    post = Post("1", "hi", ("hi",), ((0, 2),), pictures=tuple(Picture(name, Path("data") / name) for name in names))
    found = PictureFiles(Path("data")).complete(post)
    assert found.files == (Path(f"data/{NFD}.png"),)
    assert [picture.name for picture in found.pictures] == list(names)

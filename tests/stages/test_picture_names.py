"""Which name of a picture stands for which other."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.picture_names import match_names, shorten_names, stem_of


@pytest.mark.parametrize(
    ("pictures", "keys", "matches"),
    [
        (["1"], ["1.jpg"], {"1": "1.jpg"}),
        (["pics/1.png"], ["images/1.jpg"], {"pics/1.png": "images/1.jpg"}),
        (["train/1.jpg", "dev/1.jpg"], ["dev/1.jpg"], {"dev/1.jpg": "dev/1.jpg"}),
        (
            ["train/1.jpg", "dev/1.jpg"],
            ["/data/all/dev/1", "train/1.jpg"],
            {"train/1.jpg": "train/1.jpg", "dev/1.jpg": "/data/all/dev/1"},
        ),
        (["1.jpg", "1.png"], ["1.png", "1.jpg"], {"1.jpg": "1.jpg", "1.png": "1.png"}),
        (["1.jpg", "1.png"], ["1.JPG"], {"1.jpg": "1.JPG"}),
        (["1.jpg", "dev/1.jpg"], ["1.jpg"], {"1.jpg": "1.jpg"}),
        (["train/1.jpg"], ["dev/1.jpg", "test/1.jpg"], {}),
        (["../images/1.jpg"], ["1.jpg", "x/2.jpg"], {"../images/1.jpg": "1.jpg"}),
        (["1.jpg", "./1.jpg"], ["1.jpg"], {"1.jpg": "1.jpg", "./1.jpg": "1.jpg"}),
        (["1.jpg", "1.JPG"], ["1.jpg"], {"1.jpg": "1.jpg"}),
        ([unicodedata.normalize("NFD", "é.jpg")], ["é"], {unicodedata.normalize("NFD", "é.jpg"): "é"}),
    ],
)
def test_a_picture_has_the_key_that_agrees_most(pictures: list[str], keys: list[str], matches: dict[str, str]):
    assert match_names(pictures, keys) == matches
    assert match_names(pictures[::-1], keys[::-1]) == matches


@pytest.mark.parametrize(
    ("pictures", "keys", "message"),
    [
        (["train/1.jpg", "dev/1.jpg"], ["1.jpg"], "1.jpg may be train/1.jpg or dev/1.jpg"),
        (["1.jpg", "1.png"], ["1"], "1 may be 1.jpg or 1.png"),
        (["1"], ["a/1.jpg", "b/1.jpg"], "the picture 1 may be a/1.jpg or b/1.jpg"),
    ],
)
def test_a_name_that_may_be_two_pictures_is_an_error_that_names_both(
    pictures: list[str], keys: list[str], message: str
):
    with pytest.raises(ValueError, match=message):
        match_names(pictures, keys)


NAMES = st.lists(st.from_regex(r"([ab]/){0,2}[12](\.jpg|\.png)?", fullmatch=True), max_size=6)


@given(NAMES, NAMES)
def test_no_two_pictures_have_the_same_key(pictures: list[str], keys: list[str]):
    try:
        matches = match_names(pictures, keys)
    except ValueError:
        return
    assert len(set(matches.values())) == len(matches)
    assert set(matches) <= set(pictures)
    assert set(matches.values()) <= set(keys)


@given(NAMES)
def test_every_name_is_its_own_key(names: list[str]):
    assert match_names(names, names) == {name: name for name in names}


def test_names_are_shortened_where_that_is_unique():
    assert shorten_names(["a/1.jpg", "2.png", "b/2.jpg"]) == {
        "a/1.jpg": "1",
        "2.png": "2.png",
        "b/2.jpg": "b/2.jpg",
    }
    assert stem_of("x/17.06.jpeg") == "17.06"

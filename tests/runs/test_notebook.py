"""Predictions in notebooks, and as documents of spaCy."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.corpus.posts import Picture, Post
from ita_pipeline.runs.predictions import Mention, Prediction
from stages.objects.schema import Object, ObjectsValue
from tests.support.fakes import draw

TEXT = "🎉 #TeamLondon  won't go to New-York\n王俊凯 U.S."


def predict(text: str, *found: tuple[int, int, str, float], **fields: object) -> Prediction:
    mentions = tuple(Mention(start, end, text[start:end], name, score) for start, end, name, score in found)
    return Prediction(Post.from_text(text), "text", (), mentions, **fields)  # pyright: ignore


def find(part: str, name: str, score: float) -> tuple[int, int, str, float]:
    start = TEXT.index(part)
    return start, start + len(part), name, score


def test_a_document_has_the_mentions_as_entities_even_inside_words():
    spacy = pytest.importorskip("spacy")
    found = (
        find("London", "LOC", 0.9),
        find("New-York", "LOC", 0.5),
        find("俊", "PER", 0.25),
        find("U.S", "LOC", 1),
    )
    doc = predict(TEXT, *found).to_doc(spacy.blank("en"))
    assert doc.text == TEXT
    assert [(one.start_char, one.end_char, one.label_) for one in doc.ents] == [one[:3] for one in found]
    assert list(doc.spans["ita"]) == list(doc.ents)
    assert doc.spans["ita"].attrs["scores"] == [0.9, 0.5, 0.25, 1]
    assert [token.text for token in doc[:4]] == ["🎉", "#", "Team", "London"]
    again = next(
        iter(spacy.tokens.DocBin().from_bytes(spacy.tokens.DocBin(docs=[doc]).to_bytes()).get_docs(doc.vocab))
    )
    assert [one.text for one in again.ents] == ["London", "New-York", "俊", "U.S"]


@given(st.text("a 'é🎉.\n-", max_size=20), st.lists(st.integers(0, 20), max_size=6, unique=True))
def test_entities_have_exactly_the_characters_of_the_mentions(text: str, borders: list[int]):
    spacy = pytest.importorskip("spacy")
    inside = sorted(border for border in borders if border <= len(text))
    pairs = zip(inside[::2], inside[1::2], strict=False)
    # A mention begins and ends with a word.
    found = [(a, b, "PER", 0.5) for a, b in pairs if text[a:b] and text[a:b] == text[a:b].strip()]
    doc = predict(text, *found).to_doc(spacy.blank("xx"))
    assert doc.text == text
    assert [(one.start_char, one.end_char) for one in doc.ents] == [one[:2] for one in found]


def test_a_notebook_shows_the_text_with_marked_mentions():
    shown = predict("hi <b>Ada</b>\n& Bo", (6, 9, "PER", 0.98), (16, 18, "<i>", 0.5))._repr_html_()
    paragraph = ElementTree.fromstring(shown).find("p")
    assert paragraph is not None
    assert "".join(paragraph.itertext()) == "hi <b>Ada PER 0.98</b>\n& Bo <i> 0.50"
    assert [mark.text for mark in paragraph.iter("mark")] == ["Ada ", "Bo "]


def test_a_notebook_shows_the_picture_with_boxes_and_nothing_of_the_file_or_another_place():
    picture = draw(Path("secret-name.png"), size=(64, 48))
    found = Object(label="</svg><script>", score=0.9, box=(16, 12, 48, 36), attributes=())
    post = Post("1", "hi", ("hi",), ((0, 2),), pictures=(Picture("secret-name.png", picture),))
    objects = (ObjectsValue(width=64, height=48, objects=(found,)),)
    shown = Prediction(post, "text", (), (), "its contexts are <incomplete>", objects)._repr_html_()
    svg = ElementTree.fromstring(shown).find("{*}svg")
    assert svg is not None
    assert svg.get("viewBox") == "0 0 64 48"
    (box,) = svg.iterfind("{*}rect")
    assert [float(box.get(name, "")) for name in ("x", "y", "width", "height")] == [16, 12, 32, 24]
    assert [label.text for label in svg.iterfind("{*}text")] == ["</svg><script> 0.90"]
    assert "<script" not in shown
    assert "secret" not in shown
    assert "&lt;incomplete&gt;" in shown
    addresses = re.findall(r'(?:href|src)="([^"]{,22})', shown)
    assert addresses == ["data:image/jpeg;base64"]


def test_a_notebook_shows_hidden_characters_and_why_a_picture_is_not_shown():
    Path("bad.png").write_text("no picture")
    post = Post.from_text("user\u202egnp.exe", "bad.png")
    shown = Prediction(post, "text", (), ())._repr_html_()
    assert "\u202e" not in shown
    assert "‹U+202E›" in shown
    assert "not a picture" in shown
    Path("bad.png").unlink()
    missing = Prediction(post, "text", (), ())._repr_html_()
    assert "<svg" not in missing


def test_the_box_of_a_mention_is_drawn_on_the_first_picture(tmp_path: Path):
    pictures = tuple(Picture(name, draw(tmp_path / name, "red", (64, 48))) for name in ("a.png", "b.png"))
    mention = Mention(0, 4, "<Ki>", "PER", 0.9, 0.75, ((1.0, 2.0, 31.0, 42.0),), "the only <person>")
    text = Post("1", "<Ki> sang", ("<Ki>", "sang"), ((0, 4), (5, 9)), pictures=pictures)
    shown = Prediction(text, "text+image", (), (mention,))._repr_html_()
    first, second = ElementTree.fromstring(shown).iter("{http://www.w3.org/2000/svg}svg")
    space = "{http://www.w3.org/2000/svg}"
    assert [one.text for one in first.iter(f"{space}title")] == ["<Ki>: the only <person>, 0.75"]
    assert {
        tuple(one.get(side) for side in ("x", "y", "width", "height")) for one in first.iter(f"{space}rect")
    } == {("1.0", "2.0", "30.0", "40.0")}
    assert not list(second.iter(f"{space}rect"))

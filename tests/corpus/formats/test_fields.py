"""Posts from fields: words, mentions, pictures and splits, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.findings import FindingKind
from ita_pipeline.corpus.formats import parse_posts
from ita_pipeline.corpus.line_errors import LineError
from ita_pipeline.corpus.posts import Span, select_taggable


def read(*lines: Any) -> Any:
    path = Path("tweets.jsonl")
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
    return list(parse_posts(path))


def test_text_and_character_offsets():
    text = "🎉 Ada Lovelace @home"
    (found,) = read({"text": text, "mentions": [{"start": 2, "end": 14, "type": "PER"}], "more": 1})
    assert found.post.words == ("🎉", "Ada", "Lovelace", "@home")
    assert found.post.gold == (Span(1, 3, "PER"),)
    assert all(found.post.text[s:e] == w for (s, e), w in zip(found.post.offsets, found.post.words, strict=True))


def test_mentions_that_share_a_word_are_all_kept():
    mentions = [
        {"start": 0, "end": 8, "type": "LOC"},
        {"start": 0, "end": 14, "type": "ORG"},
        {"start": 0, "end": 8, "type": "LOC"},
    ]
    errors: list[LineError] = []
    Path("tweets.jsonl").write_text(json.dumps({"text": "New York Times", "mentions": mentions}))
    (found,) = parse_posts(Path("tweets.jsonl"), on_error=errors.append)
    assert found.post.gold == (Span(0, 2, "LOC"), Span(0, 3, "ORG"))
    assert select_taggable(found.post.gold) == [Span(0, 3, "ORG")]
    assert [error.kind for error in errors] == [FindingKind.OVERLAPPING_MENTION]


def test_tokens_with_tags():
    (found,) = read({"tokens": ["Ada", "spoke"], "tags": ["B-PER", "O"], "id": 7})
    assert (found.post.id, found.post.text, found.post.gold) == ("7", "Ada spoke", (Span(0, 1, "PER"),))


@pytest.mark.parametrize("name", ["tags", "label", "labels", "ner_tags"])
def test_words_in_text_and_other_names_of_tags(name: str):
    (found,) = read({"text": ["Ada", "spoke"], name: ["S-PER", "O"]})
    assert (found.post.words, found.post.gold) == (("Ada", "spoke"), (Span(0, 1, "PER"),))


def test_a_label_of_the_whole_post_is_ignored():
    (one, two) = read({"text": "fine", "label": 1}, {"tokens": ["fine"], "labels": "joy"})
    assert (one.post.gold, two.post.gold) == (None, None)


def test_a_post_has_several_pictures_in_order():
    one, two = read(
        {"text": "x", "images": ["b.jpg", "a.jpg", "b.jpg"]}, {"text": "x", "images": None, "image": "c.jpg"}
    )
    assert [picture.name for picture in one.post.pictures] == ["b.jpg", "a.jpg"]
    assert two.post.files == (Path("c.jpg"),)


def test_only_a_text_is_needed():
    (found,) = read({"text": "hello"})
    assert (found.post.id, found.post.gold, found.post.picture, found.split) == ("1", None, None, None)


def test_pictures_are_relative_to_the_file_and_stay_inside():
    (found,) = read({"text": "x", "image": "pictures/1.jpg", "split": "valid"})
    assert found.post.picture == Path("pictures/1.jpg")
    assert (found.post.image_id, found.split) == ("1", "dev")
    for image in ("../secret.jpg", "/etc/passwd", "a\x00b", "pictures/../../secret.jpg", ".."):
        with pytest.raises(UsageError, match="line 1"):
            read({"text": "x", "image": image})


def test_a_picture_may_be_a_link_out_of_the_folder_but_its_path_may_not_lead_out(tmp_path: Path):
    for name in ("real", "blobs", "set"):
        (tmp_path / name).mkdir()
    (tmp_path / "real" / "1.jpg").touch()
    (tmp_path / "blobs" / "abc").touch()
    (tmp_path / "set" / "images").symlink_to("../real")
    (tmp_path / "set" / "2.jpg").symlink_to("../blobs/abc")
    file = tmp_path / "set" / "tweets.jsonl"
    images = ("images/1.jpg", "2.jpg", "images/../2.jpg")
    file.write_text("\n".join(json.dumps({"text": "x", "image": image}) for image in images))
    pictures = [found.post.picture for found in parse_posts(file)]
    assert pictures == [tmp_path / "set" / image for image in ("images/1.jpg", "2.jpg", "2.jpg")]
    assert all(picture is not None and picture.is_file() for picture in pictures)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[1, 2]", "line 2"),
        ({"id": "1"}, "neither text nor tokens"),
        ({"tokens": ["a"], "tags": []}, "as many tags"),
        ({"tokens": ["a"], "tags": ["PER"]}, "B-TYPE"),
        ({"tokens": ["a b"]}, "white space"),
        (
            {"text": "a", "mentions": [{"start": 1, "end": 1, "type": "PER"}]},
            "its end must be greater",
        ),
        (
            {"text": "a", "mentions": [{"start": 5, "end": 6, "type": "PER"}]},
            "text, which has 1 character",
        ),
        ({"text": "a  b", "mentions": [{"start": 1, "end": 2, "type": "PER"}]}, "covers no word"),
        ({"text": "a b", "mentions": [{"start": 0, "end": 1, "type": "PER", "text": "b"}]}, "is 'a', not 'b'"),
        ({"text": "a", "split": "everything"}, "there is no split 'everything'"),
        ({"text": {"a": 1}}, "text"),
        ({"text": ["a", "b"], "labels": ["O"]}, "as many tags"),
        ({"text": "x", "images": ["../1.jpg"]}, "outside"),
        (
            {"text": "hi", "mentions": [{"start": 0, "end": 2, "type": 5}]},
            "mentions[0].type must be a string, not 5",
        ),
        (
            {"text": "hi", "mentions": [{"start": -1, "end": 2, "type": "X"}]},
            "mentions[0].start must be ",
        ),
        ({"text": "hi", "mentions": [{"start": 1, "end": 2}]}, "mentions[0].type is missing"),
        ("5", "it is not a JSON object"),
        ({"text": "Ada went", "tokens": ["Ada"]}, "text and tokens disagree"),
        ({"text": "Ada went home", "tokens": ["Ada", "home"]}, "text and tokens disagree"),
        ({"text": "Ada", "tokens": ["Bo"]}, "the token 'Bo' should follow, but the text has 'Ada'"),
    ],
)
def test_bad_fields_are_named_with_their_line(line: Any, says: str):
    with pytest.raises(UsageError) as caught:
        read({"text": "fine"}, line)
    assert "line 2" in str(caught.value)
    assert says in str(caught.value)


def test_a_cut_emoji_is_replaced_one_for_one():
    (found,) = read(
        '{"text": "hi \\ud83d Ada", "id": "\\ud83d", "mentions": [{"start": 5, "end": 8, "type": "PER"}]}'
    )
    assert found.post.text == "hi \ufffd Ada"
    assert found.post.id == "\ufffd"
    assert found.post.gold == (Span(2, 3, "PER"),)


def test_a_mention_has_boxes_none_or_unknown_ones():
    mentions = [
        {"start": 0, "end": 3, "type": "PER", "boxes": [[1, 2, 3.5, 4]]},
        {"start": 4, "end": 6, "type": "PER", "boxes": []},
        {"start": 7, "end": 9, "type": "PER"},
    ]
    (found,) = read({"text": "Ada Bo Cy", "mentions": mentions})
    assert [span.boxes for span in found.post.gold] == [((1, 2, 3.5, 4),), (), None]


def test_a_mention_that_is_listed_for_each_of_its_boxes_has_them_all():
    one, other = (1, 2, 3, 4), (5, 6, 7, 8)
    ada = {"start": 0, "end": 3, "type": "PER"}
    mentions = [ada, ada | {"boxes": []}, ada | {"boxes": [one]}, ada | {"boxes": [other, one]}, ada]
    (found,) = read({"text": "Ada", "mentions": mentions})
    assert [span.boxes for span in found.post.gold] == [(one, other)]


@pytest.mark.parametrize("box", ["[1, 2, 1, 4]", "[1, 2, 3]", "[1, 2, NaN, 4]", "[1, 2, Infinity, 4]", '"x"'])
def test_a_box_without_an_area_is_refused(box: str):
    with pytest.raises(UsageError, match=r"line 1: mentions\[0\]"):
        read('{"text": "Ada", "mentions": [{"start": 0, "end": 3, "type": "PER", "boxes": [' + box + "]}]}")

"""Posts from raw text and from words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ita_pipeline.core.arguments import ArgumentTypeError
from ita_pipeline.core.errors import MissingError
from ita_pipeline.corpus.posts import Post, Span, join_words, require_posts
from tests.support.fakes import draw


def test_raw_text_is_divided_into_words_and_names_its_image():
    draw(Path("images/7.jpg"))
    post = Post.from_text("hi \ud83d Ada!", "images/7.jpg")
    assert (post.text, post.words) == ("hi \ufffd Ada!", ("hi", "\ufffd", "Ada", "!"))
    assert [post.text[start:end] for start, end in post.offsets] == list(post.words)
    assert (post.image_id, post.picture, post.gold) == ("7", Path("images/7.jpg"), None)


def test_a_text_with_a_missing_picture_is_refused():
    with pytest.raises(MissingError, match=r"there is no picture gone\.jpg"):
        Post.from_text("hi", "gone.jpg")


@pytest.mark.parametrize("posts", [5, "hi", ["hi"], [Post.from_text("hi"), None]])
def test_what_is_not_a_post_is_named(posts: Any):
    with pytest.raises(ArgumentTypeError, match="predict takes posts, not "):
        list(require_posts(posts))


def test_words_are_joined_with_single_spaces():
    text, offsets = join_words(("Ada", "", "spoke"))
    assert text == "Ada  spoke"
    assert [text[start:end] for start, end in offsets] == ["Ada", "", "spoke"]
    assert join_words(()) == ("", ())


def test_words_of_a_script_without_spaces_are_joined_without_them():
    def joined(*words: str) -> str:
        text, offsets = join_words(words, unspaced=True)
        assert [text[start:end] for start, end in offsets] == list(words)
        return text

    assert joined("我", "爱", "iPhone", "15", "Pro", "，", "。") == "我爱iPhone 15 Pro，。"
    assert joined(*"小米4K，iPhone13的") == "小米4K，iPhone13的"
    assert joined("Ada", "", "spoke") == "Ada  spoke"
    post = Post.from_words("1", ("王", "俊凯", "Ok", "go"), (Span(0, 2, "PER"),))
    closed = post.without_spaces()
    assert (closed.text, closed.words, closed.gold) == ("王俊凯Ok go", post.words, post.gold)
    raw = Post.from_text("王俊凯  现身")
    assert raw.without_spaces() is raw

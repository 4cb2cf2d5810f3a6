"""Posts from raw text and from words."""

from __future__ import annotations

from pathlib import Path

from ita_pipeline.corpus.posts import Post, join_words


def test_raw_text_is_divided_into_words_and_names_its_image():
    post = Post.from_text("hi \ud83d Ada!", "images/7.jpg")
    assert (post.text, post.words) == ("hi \ufffd Ada!", ("hi", "\ufffd", "Ada", "!"))
    assert [post.text[start:end] for start, end in post.offsets] == list(post.words)
    assert (post.image_id, post.picture, post.gold) == ("7", Path("images/7.jpg"), None)


def test_words_are_joined_with_single_spaces():
    text, offsets = join_words(("Ada", "", "spoke"))
    assert text == "Ada  spoke"
    assert [text[start:end] for start, end in offsets] == ["Ada", "", "spoke"]
    assert join_words(()) == ("", ())

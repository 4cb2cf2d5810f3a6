"""The CoNLL reader: the files as they are out there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.corpus.formats.conll import decode_bio, encode_bio, format_conll, read_conll
from ita_pipeline.corpus.line_errors import LineError
from ita_pipeline.corpus.posts import Picture, Post, Span, join_words


def read(content: str, **types: str) -> list[Post]:
    path = Path("posts.txt")
    path.write_bytes(content.encode())
    return read_conll(path, types)


def test_a_tweet_with_its_picture():
    (post,) = read("IMGID:17_06_1\nAda\tB-PER\nLovelace\tI-PER\nspoke\tO\n\n")
    assert (post.id, post.image_id, post.words) == ("17_06_1", "17_06_1", ("Ada", "Lovelace", "spoke"))
    assert post.gold == (Span(0, 2, "PER"),)
    assert post.text[slice(*post.offsets[1])] == "Lovelace"


@pytest.mark.parametrize(
    "content",
    [
        "IMGID:1\nAda\tB-PER\n\nIMGID:2\nsaid\tO\n",
        "IMGID:1\r\nAda\tB-PER\r\n\r\nIMGID:2\r\nsaid\tO\r\n\r\n",
        "\ufeffIMGID:1\t\nAda B-PER\nIMGID:2\nsaid O",
        "\n\nIMGID:1\nAda _ x B-PER\n\n\n\nIMGID:2\nsaid O\n",
    ],
)
def test_line_ends_separators_and_blank_lines_do_not_matter(content: str):
    one, two = read(content)
    assert (one.image_id, one.gold, two.image_id, two.gold) == ("1", (Span(0, 1, "PER"),), "2", ())


def test_an_orphan_tag_starts_a_mention():
    (post,) = read("a I-PER\nb I-PER\nc I-LOC\nd O\ne I-LOC\nf B-LOC\n")
    assert post.gold == (Span(0, 2, "PER"), Span(2, 3, "LOC"), Span(4, 5, "LOC"), Span(5, 6, "LOC"))


def test_types_are_renamed_before_mentions_are_read():
    (post,) = read("a B-OTHER\nb I-MISC\n", OTHER="MISC")
    assert post.gold == (Span(0, 2, "MISC"),)


def test_a_tagged_word_that_looks_like_an_image_id_is_a_word():
    (post,) = read("IMGID:5\tO\nIMGID:6\tB-PER\n")
    assert post.words == ("IMGID:5", "IMGID:6")
    assert post.image_id is None


def test_a_file_without_tags_is_unlabeled():
    (post,) = read("IMGID:5\nhello\nworld\n")
    assert post.words == ("hello", "world")
    assert post.gold is None


@pytest.mark.parametrize("line", ["Ada\tPERSON", "Ada\tX-PER", "Ada\tB-"])
def test_a_bad_tag_is_named_with_its_line(line: str):
    with pytest.raises(UsageError, match="line 2"):
        read(f"fine\tO\n{line}\n")


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", ".."])
def test_an_image_id_that_is_a_path_is_refused(name: str):
    with pytest.raises(UsageError, match="line 1"):
        read(f"IMGID:{name}\nx\tO\n")


def test_files_that_cannot_be_read_are_named():
    with pytest.raises(MissingError, match=r"nothing\.txt"):
        read_conll(Path("nothing.txt"))
    Path("latin.txt").write_bytes(b"caf\xe9\tO\n")
    with pytest.raises(UsageError, match="UTF-8"):
        read_conll(Path("latin.txt"))


WORDS = st.lists(
    st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1), min_size=1, max_size=6
)
BIO = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])


@given(st.data())
def test_what_is_written_is_read_again(data: st.DataObject):
    words = tuple(data.draw(WORDS))
    tags = data.draw(st.lists(BIO, min_size=len(words), max_size=len(words)))
    text, offsets = join_words(words)
    spans = tuple(decode_bio(tags, {}))
    post = Post("7", text, words, offsets, gold=spans, pictures=(Picture("7"),))
    (again,) = read(format_conll([(post, spans)]))
    assert again == post


@given(st.lists(BIO, max_size=10))
def test_tags_of_spans_decode_to_the_same_spans(tags: list[str]):
    spans = list(decode_bio(tags, {}))
    assert list(decode_bio(encode_bio(len(tags), spans), {})) == spans


def test_a_word_without_a_tag_among_tagged_ones_is_reported():
    path = Path("t.txt")
    path.write_text("a\tO\nb\n\nc\nd\n")
    errors: list[LineError] = []
    one, two = read_conll(path, on_error=errors.append)
    assert [(error.kind, error.line) for error in errors] == [("missing-tag", 2)]
    assert (one.gold, two.gold) == (None, None)
    assert read_conll(path) == [one, two]

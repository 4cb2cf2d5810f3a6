"""Tweets with late contexts: the files of ITA, MoRe, PGIM and AdaSeq, written and read again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.formats.conll import read_conll
from ita_pipeline.corpus.formats.kbner import (
    ADASEQ_MARK,
    KBNER_MARK,
    ContextedTweet,
    escape_word,
    format_contexted_tweets,
    read_contexted_tweets,
)
from ita_pipeline.corpus.formats.schemes import decode_tags, encode_bio
from ita_pipeline.corpus.posts import Picture, Post, join_words
from tests.support.datasets import read_dataset, read_extra_contexts, write_twitter15
from tests.support.fakes import ita_here


def read(content: str) -> list[ContextedTweet]:
    path = Path("train.txt")
    path.write_bytes(content.encode())
    return read_contexted_tweets(path)


@pytest.mark.parametrize(
    "content",
    [
        "Ada\tB-PER\nspoke\tO\n<EOS>\tX\na\tX\nwoman\tX\n\n",  # PGIM
        "Ada\tB-PER\r\nspoke\tO\r\n<EOS>\tX\r\na\tX\r\nwoman\tX\r\n\r\n",
        "Ada B-PER\nspoke O\n<EOS> B-X\na B-X\nwoman B-X\n",  # ITA
        "Ada B-PER\nspoke O\n<EOS> S-X\na S-X\nwoman S-X",  # its IOBES form
        "Ada _ _ B-PER\nspoke _ _ O\n<EOS> B-X B-X B-X\na B-X B-X B-X\nwoman B-X B-X B-X\n",  # four columns
        "Ada B-PER\nspoke O\n<EOS> O\na O\nwoman O\n",  # LUKE
        "Ada B-PER\nspoke O\na X\nwoman X\n",
    ],
)
def test_the_files_of_each_project_are_read(content: str):
    assert read(content) == [ContextedTweet(("Ada", "spoke"), ("B-PER", "O"), ("a woman",))]


def test_tweets_have_several_contexts_or_none():
    one, two, three = read("IMGID:7\na O\n<EOS> X\nx X\n<EOS> X\n<EOS> X\ny X\nz X\n\nb O\n\nc\n<EOS>\nw\n")
    assert one == ContextedTweet(("a",), ("O",), ("x", "y z"), "7")
    assert two == ContextedTweet(("b",), ("O",), ())
    assert three == ContextedTweet(("c",), None, ("w",))


def test_a_mention_inside_a_context_is_refused():
    with pytest.raises(UsageError, match="line 3: 'B-PER' stands behind"):
        read("a O\n<EOS> X\nb B-PER\n")


def test_the_conll_reader_refuses_contexts_with_a_remedy():
    Path("train.txt").write_text("a\tO\n<EOS>\tX\n")
    with pytest.raises(UsageError, match="line 2: 'X' marks a word of a context") as caught:
        read_conll(Path("train.txt"))
    assert caught.value.hint.startswith("ita data import train.txt")


CHARACTERS = st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Z", "Cf"))
WORD = st.one_of(
    st.text(CHARACTERS, min_size=1), st.sampled_from(["<EOS>", "IMGID:5", "X", "B-X", "O", "#", "-DOCSTART-"])
)
TAG = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])


@st.composite
def posts(draw: st.DrawFn) -> tuple[Post, tuple[str, ...]]:
    words = tuple(draw(st.lists(WORD, min_size=1, max_size=5)))
    gold = tuple(decode_tags(draw(st.lists(TAG, min_size=len(words), max_size=len(words))), {}))
    text, offsets = join_words(words)
    contexts = draw(st.lists(st.lists(WORD, max_size=4).map(" ".join), max_size=3))
    return Post("1", text, words, offsets, gold), tuple(contexts)


@given(st.lists(posts(), max_size=4), st.sampled_from([KBNER_MARK, ADASEQ_MARK]))
def test_what_is_written_is_read_again(pairs: list[tuple[Post, tuple[str, ...]]], mark: str):
    read_again = read(format_contexted_tweets(pairs, mark))
    expected = [
        ContextedTweet(
            tuple(escape_word(word) for word in post.words),
            tuple(encode_bio(len(post.words), post.gold or ())),
            tuple(" ".join(map(escape_word, context.split())) for context in contexts if context.split()),
        )
        for post, contexts in pairs
    ]
    assert read_again == expected


@given(WORD)
def test_a_written_word_is_one_column_and_stays_unchanged(word: str):
    once = escape_word(word)
    assert once.split() == [once]
    assert escape_word(once) == once
    if word.split() == [word] and word not in ("<EOS>", "-DOCSTART-"):
        assert once == word


def test_a_dataset_exported_for_kb_ner_is_imported_unchanged():
    dataset = write_twitter15()
    Path("captions.txt").write_text("11.jpg :a dog\n12.jpg :<EOS> is  a word\n")
    common = ("--preset", "bundled", "--contexts", "caption", "--captions", "captions.txt")
    answer = ita_here("data", "export", "twitter15", "--to", "kb", *common)
    assert answer.code == 0, answer.err
    assert "without a context: 3 of 9 posts" in answer.err
    assert Path("kb/twitter15/train.txt").read_text() == "Ada B-MISC\nspoke O\n\nBo O\n\nlast O\n\n"
    with_contexts = Path("kb/twitter15_doc/train.txt").read_text()
    assert with_contexts.startswith(
        "Ada B-MISC\nspoke O\n<EOS> B-X\na B-X\ndog B-X\n\nBo O\n<EOS> B-X\nEOS B-X\nis B-X\n"
    )
    assert Path("kb/img/train.txt").read_text() == "11\n12\n13\n"
    back = ita_here("data", "import", "kb", "--to", "back")
    assert back.code == 0, back.err
    again = read_dataset("back")
    assert again.splits["test"] == tuple(
        replace(post, pictures=(Picture(f"{post.image_id}.jpg"),)) for post in dataset.splits["test"]
    )
    assert read_extra_contexts("back") == {"11": ("a dog",), "12": ("EOS is a word",)}


def test_a_dataset_is_exported_for_adaseq():
    write_twitter15()
    options = ("--preset", "bundled", "--contexts", "none", "--form", "adaseq")
    answer = ita_here("data", "export", "twitter15", "--to", "ada", *options)
    assert answer.out.splitlines() == ["ada/train.txt", "ada/dev.txt", "ada/test.txt"]
    assert Path("ada/dev.txt").read_text() == "Ada B-MISC\nspoke O\n\nBo O\n\nlast O\n\n"
    assert ita_here("data", "export", "twitter15", "--to", "ada", *options).code == 2

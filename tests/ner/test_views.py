"""Views: every word keeps its place, whatever is appended and however long it gets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ita_pipeline.corpus.contexts import ReservedContext
from ita_pipeline.ner.subtokens import SubTokenizer
from ita_pipeline.ner.views import VANISHED, View, ViewEncoder, allocate_subtokens, collate, word_mask
from ita_pipeline.ner.word_shapes import WordShape, classify_word
from tests.support.tiny_encoder import build_bert, load


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load(build_bert(tmp_path_factory.mktemp("bert")))[1]


def text_of(tokenizer: Any, view: View) -> str:
    return " | ".join(" ".join(tokenizer.convert_ids_to_tokens(row)) for row in view.rows)


def test_contexts_follow_the_words_each_behind_a_separator(tokenizer: Any):
    encoder = ViewEncoder(SubTokenizer.of(tokenizer), 64)
    text, both = encoder.encode(["ab", "c"]), encoder.encode(["ab", "c"], ["de", "f"])
    assert text_of(tokenizer, text) == "[CLS] a ##b c [SEP]"
    assert text_of(tokenizer, both) == "[CLS] a ##b c [SEP] d ##e [SEP] f [SEP]"
    assert text.positions == both.positions == ((0, 1), (0, 3))


def test_contexts_are_cut_and_counted_and_words_never_are(tokenizer: Any):
    view = ViewEncoder(SubTokenizer.of(tokenizer), 10).encode(["abcd"], ["efghij", "kl"])
    assert text_of(tokenizer, view) == "[CLS] a ##b ##c ##d [SEP] e ##f ##g [SEP]"
    assert view.trimmed == 5


def test_contexts_have_at_least_half_of_each_row(tokenizer: Any):
    short = ViewEncoder(SubTokenizer.of(tokenizer), 6).encode(["abcd"], ["e"])
    assert (
        text_of(tokenizer, short)
        == "[CLS] a ##b [SEP] e [SEP] | [CLS] ##b ##c [SEP] e [SEP] | [CLS] ##c ##d [SEP] e [SEP]"
    )
    long = ViewEncoder(SubTokenizer.of(tokenizer), 8).encode(["a", "b", "c", "d", "e", "f"], ["gh", "ijk"])
    rows = ["a b c", "b c d", "c d e", "d e f"]
    assert text_of(tokenizer, long) == " | ".join(f"[CLS] {row} [SEP] g ##h [SEP]" for row in rows)
    assert long.trimmed == 3
    assert long.positions == ((0, 1), (0, 2), (1, 2), (2, 2), (3, 2), (3, 3))


def test_words_that_vanish_are_counted(tokenizer: Any):
    view = ViewEncoder(SubTokenizer.of(tokenizer), 16).encode(["a", "\u200d", "b"])
    assert view.positions == ((0, 1), VANISHED, (0, 2))
    assert view.num_vanished == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("abc", min_size=1, max_size=6), min_size=1, max_size=40), st.integers(6, 20))
def test_every_word_of_a_long_post_is_read_at_its_first_piece(tokenizer: Any, words: list[str], length: int):
    view = ViewEncoder(SubTokenizer.of(tokenizer), length).encode(words, ["context"])
    assert all(len(row) <= length for row in view.rows)
    pieces = [tokenizer.convert_ids_to_tokens(row) for row in view.rows]
    assert [pieces[row][column] for row, column in view.positions] == [word[0] for word in words]
    for row in pieces:
        assert (row[0], row[-1]) == ("[CLS]", "[SEP]")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=30),
    st.lists(st.text("def", min_size=1, max_size=5), max_size=3),
    st.integers(6, 24),
)
def test_each_window_has_the_contexts_and_each_word_the_most_surroundings(
    tokenizer: Any, words: list[str], contexts: list[str], length: int
):
    view = ViewEncoder(SubTokenizer.of(tokenizer), length).encode(words, contexts)
    pieces = [piece for word in words for piece in [word[0], *(f"##{letter}" for letter in word[1:])]]
    capacity, cost = length - 2, sum(len(text) + 1 for text in contexts)
    rows = [tokenizer.convert_ids_to_tokens(row)[1:] for row in view.rows]
    separators = [row.index("[SEP]") for row in rows]
    (tail,) = {" ".join(row[separator + 1 :]) for row, separator in zip(rows, separators, strict=True)}
    whole = " ".join(f"{' '.join([text[0], *(f'##{letter}' for letter in text[1:])])} [SEP]" for text in contexts)
    room = max(capacity // 2, capacity - len(pieces))
    assert (view.trimmed == 0) == (tail == whole) == (cost <= room)
    assert len(tail.split()) <= room
    assert len(rows) == 1 or len(tail.split()) <= capacity // 2
    windows = [row[:separator] for row, separator in zip(rows, separators, strict=True)]
    width = capacity - len(tail.split())
    begins = [number * max(1, width // 2) for number in range(len(windows))]
    assert windows == [pieces[begin : begin + width] for begin in begins]
    assert begins[-1] + width >= len(pieces)
    first = 0
    for word, (row, column) in zip(words, view.positions, strict=True):
        edges = [
            min(first - begin, begin + len(window) - 1 - first)
            for begin, window in zip(begins, windows, strict=True)
        ]
        assert begins[row] + column - 1 == first
        assert edges[row] == max(edges)
        first += len(word)


def test_a_batch_finds_each_word_in_its_flattened_rows(tokenizer: Any):
    encoder = ViewEncoder(SubTokenizer.of(tokenizer), 8)
    views = [encoder.encode(list("abcdefghij")), encoder.encode(["k", "\u200d", "lm"], ["n"])]
    batch = collate(views, tokenizer.pad_token_id)
    ids = batch["input_ids"].reshape(-1)
    assert batch["input_ids"].shape == batch["attention_mask"].shape
    first = tokenizer.convert_ids_to_tokens(ids[batch["positions"][0]].tolist())
    assert first == list("abcdefghij")
    assert batch["positions"][1].tolist()[3:] == [-1] * 7
    assert batch["positions"][1, 1] == -1
    assert tokenizer.convert_ids_to_tokens(ids[batch["positions"][1, [0, 2]]].tolist()) == ["k", "l"]
    assert ((batch["input_ids"] == tokenizer.pad_token_id) == (batch["attention_mask"] == 0)).all()


def test_masks_are_true_for_the_words():
    assert word_mask([2, 0]).tolist() == [[True, True], [False, False]]
    assert word_mask([0]).tolist() == [[False]]


def test_each_sub_token_has_the_shape_of_its_word_in_contexts_too(tokenizer: Any):
    view = ViewEncoder(SubTokenizer.of(tokenizer), 64, word_shapes=True).encode(["AB", "c"], ["Ada in UK!"])
    assert text_of(tokenizer, view) == "[CLS] a ##b c [SEP] a ##d ##a i ##n u ##k ! [SEP]"
    none, upper, lower, title = WordShape.NONE, WordShape.UPPER, WordShape.LOWER, WordShape.TITLE
    words = [title] * 3 + [lower] * 2 + [upper] * 2 + [WordShape.SIGNS]
    assert view.shapes == ((none, upper, upper, lower, none, *words, none),)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.text("aB1# ", max_size=12), st.none() | st.integers(0, 6)), max_size=4),
    st.integers(6, 24),
)
def test_shapes_match_the_sub_tokens_of_truncated_contexts(
    tokenizer: Any, contexts: list[tuple[str, int | None]], length: int
):
    texts = [text if most is None else ReservedContext(text, most) for text, most in contexts]
    plain = ViewEncoder(SubTokenizer.of(tokenizer), length).encode(["Ab"], texts)
    view = ViewEncoder(SubTokenizer.of(tokenizer), length, word_shapes=True).encode(["Ab"], texts)
    assert (view.rows, view.positions, view.trimmed) == (plain.rows, plain.positions, plain.trimmed)
    assert [len(row) for row in view.shapes] == [len(row) for row in view.rows]
    for ids, shapes in zip(view.rows, view.shapes, strict=True):
        for token, shape in zip(tokenizer.convert_ids_to_tokens(ids), shapes, strict=True):
            assert (shape == WordShape.NONE) == (token in ("[CLS]", "[SEP]"))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("aBc1#\u200d", min_size=1, max_size=6), min_size=1, max_size=40), st.integers(6, 20))
def test_shapes_match_the_sub_tokens_of_windows(tokenizer: Any, words: list[str], length: int):
    plain = ViewEncoder(SubTokenizer.of(tokenizer), length).encode(words, ["A context"])
    view = ViewEncoder(SubTokenizer.of(tokenizer), length, word_shapes=True).encode(words, ["A context"])
    assert (view.rows, view.positions, view.trimmed) == (plain.rows, plain.positions, plain.trimmed)
    assert [len(row) for row in view.shapes] == [len(row) for row in view.rows]
    for word, (row, column) in zip(words, view.positions, strict=True):
        assert (row, column) == VANISHED or view.shapes[row][column] == classify_word(word)
    batch = collate([view, ViewEncoder(SubTokenizer.of(tokenizer), length, word_shapes=True).encode(["a"])], 0)
    assert batch["shapes"].shape == batch["input_ids"].shape
    assert "shapes" not in collate([plain], 0)


lengths = st.lists(st.tuples(st.integers(0, 12), st.none() | st.integers(0, 9)), max_size=5)


@settings(deadline=None)
@given(contexts=lengths, room=st.integers(-3, 40))
def test_a_reserved_context_is_cut_last_and_the_capacity_is_kept(
    contexts: list[tuple[int, int | None]], room: int
) -> None:
    sizes = [length for length, _ in contexts]
    texts = ["x" if most is None else ReservedContext("x", most) for _, most in contexts]
    kept = allocate_subtokens(texts, sizes, room)
    assert sum(part + 1 for part in kept if part) <= max(0, room) + 1
    for part, whole, text in zip(kept, sizes, texts, strict=True):
        assert 0 <= part <= whole
        assert not isinstance(text, ReservedContext) or part <= text.max_subtokens
    others = [part for part, text in zip(kept, texts, strict=True) if not isinstance(text, ReservedContext)]
    cut = [
        part < min(whole, text.max_subtokens)
        for part, whole, text in zip(kept, sizes, texts, strict=True)
        if isinstance(text, ReservedContext)
    ]
    assert not any(cut) or not any(others)

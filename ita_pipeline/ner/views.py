"""Views as the encoder's input: T is the tweet alone, I+T is the tweet followed by its contexts.

A view is one or more rows of sub-tokens, `[CLS] words [SEP] context [SEP] context [SEP]`, and for each word the row
and column of its first sub-token. Words are never cut: a tweet that does not fit beside its contexts is encoded in
overlapping windows, each with all the contexts. Contexts have the room that the tweet leaves, but at least half of
a row. Longer ones are cut at the end, reserved contexts last; the sub-tokens cut are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from ita_pipeline.corpus.contexts import ReservedContext
from ita_pipeline.corpus.posts import Post, PostWithContexts
from ita_pipeline.ner.subtokens import SubTokenizer
from ita_pipeline.ner.word_shapes import WordShape, classify_word

VANISHED = (-1, -1)


@dataclass(frozen=True, slots=True)
class View:
    """`rows` of sub-token ids, and each word's (row, column), `VANISHED` for a word without sub-tokens.

    `shapes` has, row by row, the `WordShape` of each sub-token's word. It is empty for an encoder that reads
    capitals. `trimmed` counts the sub-tokens of contexts that were cut.
    """

    rows: tuple[tuple[int, ...], ...]
    positions: tuple[tuple[int, int], ...]
    trimmed: int = 0
    shapes: tuple[tuple[int, ...], ...] = ()

    @property
    def num_vanished(self) -> int:
        """The number of words without sub-tokens."""
        return self.positions.count(VANISHED)

    @property
    def length(self) -> int:
        """Sub-tokens of all rows."""
        return sum(map(len, self.rows))


@dataclass(frozen=True, slots=True)
class EncodedPost:
    """A post with both views. `context` is None if the post has no contexts."""

    post: Post
    text: View
    context: View | None

    @property
    def length(self) -> int:
        """Sub-tokens of both views, by which batches are grouped."""
        return self.text.length + (self.context.length if self.context else 0)


class ViewEncoder:
    """Encodes views with one tokenizer.

    `max_length` counts the sub-tokens of a row, special ones included. With `word_shapes`, views have shapes.
    """

    def __init__(self, tokenizer: SubTokenizer, max_length: int, word_shapes: bool = False) -> None:
        self.tokenizer, self.word_shapes = tokenizer, word_shapes
        self.max_length, self.capacity = max_length, max_length - 2
        # The reference code puts </s> or [SEP] before each context (KB-NER, flair/embeddings.py).
        self.start, self.separator, self.pad = tokenizer.start, tokenizer.separator, tokenizer.pad

    def encode(self, words: Sequence[str], contexts: Sequence[str] = ()) -> View:
        """Encode a tweet's words with these contexts. Without contexts the view is T."""
        encoded = self.tokenizer.encode_words(words)
        ids, owners = encoded.ids, cast("list[int]", encoded.word_ids)  # only special tokens have no word
        shapes = [classify_word(words[owner]) for owner in owners] if self.word_shapes else []
        first = {owner: position for position, owner in reversed(list(enumerate(owners)))}
        starts = [first.get(word) for word in range(len(words))]
        tail, tail_shapes, trimmed = self._join_contexts(contexts, self.capacity - len(ids))
        width = self.capacity - len(tail)
        begins = divide_into_windows(len(ids), width)
        rows = tuple((self.start, *ids[begin : begin + width], self.separator, *tail) for begin in begins)
        row_shapes = tuple(
            (WordShape.NONE, *shapes[begin : begin + width], WordShape.NONE, *tail_shapes) for begin in begins
        )
        positions = tuple(
            VANISHED if start is None else _find_position(start, begins, width, len(ids)) for start in starts
        )
        return View(rows, positions, trimmed, row_shapes if self.word_shapes else ())

    def _join_contexts(self, contexts: Sequence[str], room: int) -> tuple[list[int], list[WordShape], int]:
        """The end of each row, with a separator behind each context; its shapes; and the number of sub-tokens cut.

        `room` is what the tweet leaves of a row. The contexts get at least half of the row if they need it.
        """
        encoded_contexts = [self.encode_context(text) for text in contexts]
        lengths = [len(context_ids) for context_ids, _ in encoded_contexts]
        allocated = allocate_subtokens(contexts, lengths, max(room, self.capacity // 2) - 1)
        tail: list[int] = []
        tail_shapes: list[WordShape] = []
        for (context_ids, context_shapes), length in zip(encoded_contexts, allocated, strict=True):
            if length:
                tail += [*context_ids[:length], self.separator]
                tail_shapes += [*context_shapes[:length], WordShape.NONE]
        return tail, tail_shapes, sum(lengths) - sum(allocated)

    def encode_context(self, text: str) -> tuple[list[int], list[WordShape]]:
        """Sub-token ids of a context, and with `word_shapes` the shapes of their words."""
        encoded = self.tokenizer.encode_text(text)
        if not self.word_shapes:
            return encoded.ids, []
        owners = cast("list[int]", encoded.word_ids)
        spans = [encoded.word_to_chars(owner) or (0, 0) for owner in owners]
        return encoded.ids, [classify_word(text[start:end]) for start, end in spans]


def divide_into_windows(length: int, width: int) -> list[int]:
    """The begins of windows of `width` sub-tokens that overlap by half and cover `length` sub-tokens."""
    step = max(1, width // 2)
    return list(range(0, max(1, length - width + step), step))


def _find_position(start: int, begins: Sequence[int], width: int, length: int) -> tuple[int, int]:
    """The row and column of a sub-token, in the window whose edges are farthest from it."""

    def distance(number: int) -> int:
        offset = start - begins[number]
        return min(offset, min(width, length - begins[number]) - 1 - offset)

    best = max(range(len(begins)), key=distance)
    return best, start - begins[best] + 1


def encode_posts(posts: Iterable[PostWithContexts], encoder: ViewEncoder) -> list[EncodedPost]:
    """Encode both views of each post."""
    return [
        EncodedPost(post, encoder.encode(post.words), encoder.encode(post.words, contexts) if contexts else None)
        for post, contexts in posts
    ]


def allocate_subtokens(contexts: Sequence[str], lengths: Sequence[int], capacity: int) -> list[int]:
    """How many sub-tokens of each context fit into `capacity`, separators included; `lengths` are their numbers.

    A reserved context is allocated first, up to its limit. The others share the rest in their order.
    """
    allocated = [0] * len(lengths)
    order = sorted(range(len(lengths)), key=lambda number: not isinstance(contexts[number], ReservedContext))
    for number in order:
        text = contexts[number]
        limit = text.max_subtokens if isinstance(text, ReservedContext) else capacity
        allocated[number] = max(0, min(lengths[number], capacity, limit))
        capacity -= allocated[number] + 1 if allocated[number] else 0
    return allocated


def collate(views: Sequence[View], pad: int) -> dict[str, np.ndarray]:
    """A batch: `input_ids` and `attention_mask` (R, S) of all rows; `positions` (B, L) into R·S, -1 for none.

    If the views have shapes, the batch has `shapes` (R, S).
    """
    rows = [row for view in views for row in view.rows]
    width = max(len(row) for row in rows)
    length = max(1, *(len(view.positions) for view in views))
    positions = []
    offset = 0
    for view in views:
        positions.append([-1 if at == VANISHED else (offset + at[0]) * width + at[1] for at in view.positions])
        offset += len(view.rows)
    batch = {
        "input_ids": _pad_rows(rows, width, pad),
        "attention_mask": _pad_rows([[1] * len(row) for row in rows], width, 0),
        "positions": _pad_rows(positions, length, -1),
    }
    if any(view.shapes for view in views):
        batch["shapes"] = _pad_rows([row for view in views for row in view.shapes], width, WordShape.NONE)
    return batch


def _pad_rows(rows: Sequence[Sequence[int]], width: int, value: int) -> np.ndarray:
    """Rows of integers as one array (R, `width`)."""
    return np.array([[*row, *[value] * (width - len(row))] for row in rows], dtype=np.int64)


def word_mask(lengths: Sequence[int]) -> np.ndarray:
    """(B, L) booleans, true for the words of each sentence."""
    return np.arange(max([1, *lengths]))[None, :] < np.array(lengths)[:, None]

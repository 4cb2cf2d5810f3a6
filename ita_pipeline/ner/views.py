"""Views as the encoder's input: T is the tweet alone, I+T is the tweet followed by its contexts.

A view is one or more rows of sub-tokens, `[CLS] words [SEP] context [SEP] context [SEP]`, and for each word the row
and column of its first sub-token. Words are never cut: a tweet that is longer than the encoder's rows is encoded in
overlapping windows. Contexts are cut at the end of the row, reserved contexts last; the sub-tokens cut are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ita_pipeline.corpus.contexts import ReservedContext
from ita_pipeline.corpus.posts import Post, PostWithContexts
from ita_pipeline.ner.encoders import separator_token_id, start_token_id
from ita_pipeline.ner.word_shapes import WordShape, classify_word

if TYPE_CHECKING:
    from torch import Tensor

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

    def __init__(self, tokenizer: Any, max_length: int, word_shapes: bool = False) -> None:
        self.tokenizer, self.word_shapes = tokenizer, word_shapes
        self.capacity = max_length - 2
        self.start = start_token_id(tokenizer)
        # The reference code puts </s> or [SEP] before each context (KB-NER, flair/embeddings.py).
        self.separator = separator_token_id(tokenizer)

    def encode(self, words: Sequence[str], contexts: Sequence[str] = ()) -> View:
        """Encode a tweet's words with these contexts. Without contexts the view is T."""
        encoded = self.tokenizer(list(words), is_split_into_words=True, add_special_tokens=False, verbose=False)
        ids: list[int] = encoded["input_ids"]
        owners: list[int] = encoded.word_ids()
        shapes = [classify_word(words[owner]) for owner in owners] if self.word_shapes else []
        first = {owner: position for position, owner in reversed(list(enumerate(owners)))}
        starts = [first.get(word) for word in range(len(words))]
        encoded_contexts = [self.encode_context(text) for text in contexts]
        lengths = [len(context_ids) for context_ids, _ in encoded_contexts]
        if len(ids) > self.capacity:
            return self._encode_windows(ids, shapes, starts, sum(lengths))
        row = [self.start, *ids, self.separator]
        row_shapes = [WordShape.NONE, *shapes, WordShape.NONE]
        allocated = allocate_subtokens(contexts, lengths, self.capacity + 1 - len(row))
        for (context_ids, context_shapes), length in zip(encoded_contexts, allocated, strict=True):
            if length:
                row += [*context_ids[:length], self.separator]
                row_shapes += [*context_shapes[:length], WordShape.NONE]
        positions = tuple(VANISHED if start is None else (0, start + 1) for start in starts)
        trimmed = sum(lengths) - sum(allocated)
        return View((tuple(row),), positions, trimmed, (tuple(row_shapes),) if self.word_shapes else ())

    def encode_context(self, text: str) -> tuple[list[int], list[WordShape]]:
        """Sub-token ids of a context, and with `word_shapes` the shapes of their words."""
        encoded = self.tokenizer(text, add_special_tokens=False, verbose=False)
        if not self.word_shapes:
            return encoded["input_ids"], []
        spans = [encoded.word_to_chars(owner) for owner in encoded.word_ids()]
        return encoded["input_ids"], [classify_word(text[span.start : span.end]) for span in spans]

    def _encode_windows(
        self, ids: Sequence[int], shapes: Sequence[WordShape], starts: Sequence[int | None], trimmed: int
    ) -> View:
        """Windows that overlap by half. Each word is read in the window whose edges are farthest from it."""
        half = self.capacity // 2
        begins = list(range(0, max(1, len(ids) - half), max(1, half)))
        windows = [ids[begin : begin + self.capacity] for begin in begins]
        rows = tuple((self.start, *window, self.separator) for window in windows)
        row_shapes = tuple(
            (WordShape.NONE, *shapes[begin : begin + self.capacity], WordShape.NONE) for begin in begins
        )

        def find_position(start: int | None) -> tuple[int, int]:
            if start is None:
                return VANISHED
            offsets = [start - begin for begin in begins]
            candidates = [n for n, window in enumerate(windows) if 0 <= offsets[n] < len(window)]
            best = max(candidates, key=lambda n: min(offsets[n], len(windows[n]) - 1 - offsets[n]))
            return best, offsets[best] + 1

        return View(rows, tuple(map(find_position, starts)), trimmed, row_shapes if self.word_shapes else ())


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


def collate(views: Sequence[View], pad: int) -> dict[str, Tensor]:
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


def _pad_rows(rows: Sequence[Sequence[int]], width: int, value: int) -> Tensor:
    """Rows of integers as one tensor (R, `width`)."""
    import torch

    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows], dtype=torch.long)


def word_mask(lengths: Sequence[int]) -> Tensor:
    """(B, L) booleans, true for the words of each sentence."""
    import torch

    return torch.arange(max([1, *lengths]))[None, :] < torch.tensor(lengths)[:, None]

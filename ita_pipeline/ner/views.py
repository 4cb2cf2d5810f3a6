"""Views as the encoder's input: T is the tweet alone, I+T the tweet followed by its contexts.

One view is one or more rows of sub-tokens, `[CLS] words [SEP] context [SEP] context [SEP]`, and for every word
the row and column of its first sub-token. The words of the tweet are never cut: a tweet longer than the
encoder reads is laid out in overlapping windows. Contexts are cut where room ends, which is counted; one with room
of its own is cut last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ita_pipeline.corpus.contexts import ReservedContext
from ita_pipeline.corpus.posts import Post
from ita_pipeline.ner.encoders import separator_token_id, start_token_id
from ita_pipeline.ner.word_shapes import WordShape, classify_word

if TYPE_CHECKING:
    from torch import Tensor


VANISHED = (-1, -1)


@dataclass(frozen=True, slots=True)
class View:
    """`rows` of sub-token ids, and each word's (row, column), `VANISHED` where tokenisation left nothing.

    `shapes` are rows of the same form with the `Shape` of the word that a sub-token belongs to; there are none for
    an encoder that sees capitals itself.
    """

    rows: tuple[tuple[int, ...], ...]
    words: tuple[tuple[int, int], ...]
    trimmed: int = 0
    shapes: tuple[tuple[int, ...], ...] = ()

    @property
    def num_vanished(self) -> int:
        return sum(place == VANISHED for place in self.words)


class ViewEncoder:
    """Lays views out for one tokenizer. `max_length` counts sub-tokens of a row, special ones included.

    With `word_shapes` a view also says how each word is written.
    """

    def __init__(self, tokenizer: Any, max_length: int, word_shapes: bool = False) -> None:
        self.tokenizer, self.word_shapes = tokenizer, word_shapes
        self.room = max_length - 2
        self.first = start_token_id(tokenizer)
        # The reference code puts </s> or [SEP] before each context (KB-NER, flair/embeddings.py).
        self.separator = separator_token_id(tokenizer)

    def encode(self, words: Sequence[str], contexts: Sequence[str] = ()) -> View:
        """The view of a tweet's words with these contexts; without any it is T."""
        encoded = self.tokenizer(list(words), is_split_into_words=True, add_special_tokens=False, verbose=False)
        ids: list[int] = encoded["input_ids"]
        owners: list[int] = encoded.word_ids()
        shapes = [classify_word(words[owner]) for owner in owners] if self.word_shapes else []
        starts = {owner: place for place, owner in reversed(list(enumerate(owners)))}
        if len(ids) > self.room:
            trimmed = sum(len(self.subtokens(text)[0]) for text in contexts)
            return self.windows(ids, shapes, [starts.get(word) for word in range(len(words))], trimmed)
        row, trimmed = [self.first, *ids, self.separator], 0
        written = [WordShape.NONE, *shapes, WordShape.NONE]
        found = [self.subtokens(text) for text in contexts]
        lengths = allocate_subtokens(contexts, [len(context) for context, _ in found], self.room + 1 - len(row))
        for (context, shapes), length in zip(found, lengths, strict=True):
            kept = context[:length]
            trimmed += len(context) - len(kept)
            row += [*kept, self.separator] if kept else []
            written += [*shapes[: len(kept)], WordShape.NONE] if kept else []
        places = tuple((0, starts[word] + 1) if word in starts else VANISHED for word in range(len(words)))
        return View((tuple(row),), places, trimmed, (tuple(written),) if self.word_shapes else ())

    def subtokens(self, text: str) -> tuple[list[int], list[WordShape]]:
        """Ids of a context's sub-tokens, and the shapes of the words they are of, if those are wanted."""
        encoded = self.tokenizer(text, add_special_tokens=False, verbose=False)
        ids = encoded["input_ids"]
        if not self.word_shapes:
            return ids, []
        spans = [encoded.word_to_chars(owner) for owner in encoded.word_ids()]
        return ids, [classify_word(text[span.start : span.end]) for span in spans]

    def windows(
        self, ids: Sequence[int], shapes: Sequence[WordShape], starts: Sequence[int | None], trimmed: int
    ) -> View:
        """Windows that overlap by half; each word is read where it stands farthest from a window's edge."""
        begins = list(range(0, max(1, len(ids) - self.room // 2), max(1, self.room // 2)))
        rows = [(self.first, *ids[begin : begin + self.room], self.separator) for begin in begins]
        written = [(WordShape.NONE, *shapes[begin : begin + self.room], WordShape.NONE) for begin in begins]

        def place(start: int | None) -> tuple[int, int]:
            if start is None:
                return VANISHED
            inside = [row for row, begin in enumerate(begins) if begin <= start < begin + self.room]
            best = max(inside, key=lambda row: min(start - begins[row], begins[row] + len(rows[row]) - 3 - start))
            return best, start - begins[best] + 1

        places = tuple(place(start) for start in starts)
        return View(tuple(rows), places, trimmed, tuple(written) if self.word_shapes else ())


def allocate_subtokens(contexts: Sequence[str], lengths: Sequence[int], room: int) -> list[int]:
    """How many sub-tokens of each context fit into `room`, separators included; `lengths` are how many it has.

    A reserved context takes what it needs of its own room first; the others share the rest in their order.
    """
    kept = [0] * len(lengths)
    order = sorted(range(len(lengths)), key=lambda number: not isinstance(contexts[number], ReservedContext))
    for number in order:
        text = contexts[number]
        most = text.max_subtokens if isinstance(text, ReservedContext) else room
        kept[number] = max(0, min(lengths[number], room, most))
        room -= kept[number] + 1 if kept[number] else 0
    return kept


def collate(views: Sequence[View], pad: int) -> dict[str, Tensor]:
    """A batch: `input_ids` and `attention_mask` (R, S) of all rows; `places` (B, L) into R·S, -1 for none.

    Where the views have shapes, so has the batch: `shapes` (R, S).
    """
    import torch

    rows = [row for view in views for row in view.rows]
    width = max(len(row) for row in rows)
    length = max(1, max(len(view.words) for view in views))
    batch = {
        "input_ids": padded(rows, width, pad),
        "attention_mask": padded([[1] * len(row) for row in rows], width, 0),
        "places": torch.full((len(views), length), -1),
    }
    offset = 0
    for number, view in enumerate(views):
        flat = [-1 if place == VANISHED else (offset + place[0]) * width + place[1] for place in view.words]
        batch["places"][number, : len(flat)] = torch.tensor(flat, dtype=torch.long)
        offset += len(view.rows)
    if any(view.shapes for view in views):
        batch["shapes"] = padded([row for view in views for row in view.shapes], width, WordShape.NONE)
    return batch


def padded(rows: Sequence[Sequence[int]], width: int, value: int) -> Tensor:
    """Rows of integers as one tensor (R, `width`)."""
    import torch

    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows], dtype=torch.long)


def word_mask(lengths: Sequence[int]) -> Tensor:
    """(B, L) booleans, true for the words of each sentence."""
    import torch

    return torch.arange(max([1, *lengths]))[None, :] < torch.tensor(lengths)[:, None]


@dataclass(frozen=True, slots=True)
class EncodedPost:
    """A post with both views; `context` is None where its picture said nothing."""

    post: Post
    text: View
    context: View | None

    @property
    def length(self) -> int:
        """Sub-tokens of both views, by which batches are grouped."""
        views = [self.text, *([self.context] if self.context else [])]
        return sum(len(row) for view in views for row in view.rows)


def encode_posts(posts: Iterable[tuple[Post, tuple[str, ...]]], encoder: ViewEncoder) -> list[EncodedPost]:
    """Both views of each post, given with the contexts of its picture."""
    return [
        EncodedPost(post, encoder.encode(post.words), encoder.encode(post.words, texts) if texts else None)
        for post, texts in posts
    ]

"""Views as the encoder's input: T is the tweet alone, I+T the tweet followed by its contexts.

One view is one or more rows of sub-tokens, `[CLS] words [SEP] context [SEP] context [SEP]`, and for every word
the row and column of its first sub-token. The words of the tweet are never cut: a tweet longer than the
encoder reads is laid out in overlapping windows. Contexts are cut where room ends, which is counted; one with room
of its own is cut last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ita_pipeline.corpus.contexts import Reserved
from ita_pipeline.ner.encoders import first_id, last_id

if TYPE_CHECKING:
    from torch import Tensor

VANISHED = (-1, -1)


@dataclass(frozen=True, slots=True)
class View:
    """`rows` of sub-token ids, and each word's (row, column), `VANISHED` where tokenisation left nothing."""

    rows: tuple[tuple[int, ...], ...]
    words: tuple[tuple[int, int], ...]
    trimmed: int = 0

    @property
    def vanished(self) -> int:
        return sum(place == VANISHED for place in self.words)


class ViewEncoder:
    """Lays views out for one tokenizer. `max_length` counts sub-tokens of a row, special ones included."""

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        self.tokenizer = tokenizer
        self.room = max_length - 2
        self.first = first_id(tokenizer)
        # The reference code puts </s> or [SEP] before each context (KB-NER, flair/embeddings.py).
        self.separator = last_id(tokenizer)

    def encode(self, words: Sequence[str], contexts: Sequence[str] = ()) -> View:
        """The view of a tweet's words with these contexts; without any it is T."""
        encoded = self.tokenizer(list(words), is_split_into_words=True, add_special_tokens=False, verbose=False)
        ids, owners = encoded["input_ids"], encoded.word_ids()
        starts = {owner: place for place, owner in reversed(list(enumerate(owners)))}
        if len(ids) > self.room:
            trimmed = sum(len(self.subtokens(text)) for text in contexts)
            return self.windows(ids, [starts.get(word) for word in range(len(words))], trimmed)
        row, trimmed = [self.first, *ids, self.separator], 0
        found = [self.subtokens(text) for text in contexts]
        for context, kept in zip(found, fitted(contexts, found, self.room + 1 - len(row)), strict=True):
            trimmed += len(context) - len(kept)
            row += [*kept, self.separator] if kept else []
        places = tuple((0, starts[word] + 1) if word in starts else VANISHED for word in range(len(words)))
        return View((tuple(row),), places, trimmed)

    def subtokens(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    def windows(self, ids: Sequence[int], starts: Sequence[int | None], trimmed: int) -> View:
        """Windows that overlap by half; each word is read where it stands farthest from a window's edge."""
        begins = list(range(0, max(1, len(ids) - self.room // 2), max(1, self.room // 2)))
        rows = [(self.first, *ids[begin : begin + self.room], self.separator) for begin in begins]

        def place(start: int | None) -> tuple[int, int]:
            if start is None:
                return VANISHED
            inside = [row for row, begin in enumerate(begins) if begin <= start < begin + self.room]
            best = max(inside, key=lambda row: min(start - begins[row], begins[row] + len(rows[row]) - 3 - start))
            return best, start - begins[best] + 1

        return View(tuple(rows), tuple(place(start) for start in starts), trimmed)


def fitted(contexts: Sequence[str], found: Sequence[list[int]], room: int) -> list[list[int]]:
    """The sub-tokens of each context that fit into `room`, separators included.

    A reserved context takes what it needs of its own room first; the others share the rest in their order.
    """
    kept: list[list[int]] = [[] for _ in found]
    order = sorted(range(len(found)), key=lambda number: not isinstance(contexts[number], Reserved))
    for number in order:
        text = contexts[number]
        most = text.most if isinstance(text, Reserved) else room
        kept[number] = found[number][: max(0, min(room, most))]
        room -= len(kept[number]) + 1 if kept[number] else 0
    return kept


def collate(views: Sequence[View], pad: int) -> dict[str, Tensor]:
    """A batch: `input_ids` and `attention_mask` (R, S) of all rows; `places` (B, L) into R·S, -1 for none."""
    import torch

    rows = [row for view in views for row in view.rows]
    width = max(len(row) for row in rows)
    length = max(1, max(len(view.words) for view in views))
    input_ids = torch.full((len(rows), width), pad)
    attention_mask = torch.zeros((len(rows), width), dtype=torch.long)
    for number, row in enumerate(rows):
        input_ids[number, : len(row)] = torch.tensor(row)
        attention_mask[number, : len(row)] = 1
    places = torch.full((len(views), length), -1)
    offset = 0
    for number, view in enumerate(views):
        flat = [-1 if place == VANISHED else (offset + place[0]) * width + place[1] for place in view.words]
        places[number, : len(flat)] = torch.tensor(flat, dtype=torch.long)
        offset += len(view.rows)
    return {"input_ids": input_ids, "attention_mask": attention_mask, "places": places}


def word_mask(lengths: Sequence[int]) -> Tensor:
    """(B, L) booleans, true for the words of each sentence."""
    import torch

    return torch.arange(max([1, *lengths]))[None, :] < torch.tensor(lengths)[:, None]

"""A linear-chain CRF in NumPy, for prediction: the best tag sequences of sentences, and probabilities of tags.

All sums are sums of logarithms in double precision, which are exact for scores of any size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

# The score of what is impossible. No emission compensates for it, and sums with it keep some digits of the others.
IMPOSSIBLE = -1e12


@dataclass(frozen=True, slots=True)
class TagPath:
    """A tag sequence of a sentence and the logarithm of its probability."""

    tags: list[int]
    log_probability: float


class Lattice:
    """All tag sequences of a batch of B sentences.

    From emissions (B, L, K), a mask (B, L) that is true for the words of each sentence, and the scores of `moves`
    between tags, (K + 1, K + 1): their last row has the scores of first tags, their last column those of last tags.
    """

    def __init__(self, emissions: np.ndarray, mask: np.ndarray, moves: np.ndarray) -> None:
        self.words, self.moves, self.lengths = frame_emissions(emissions, mask), moves, mask.sum(axis=1).tolist()
        # Before the first word, as after the last, every sentence is outside.
        self.start = self.words[-1]

    @cached_property
    def passes(self) -> tuple[np.ndarray, np.ndarray]:
        """Log scores of all beginnings before each word, and of all endings after it, both (L + 1, B, K + 1)."""
        beginnings = self._sum_beginnings(self.words, self.moves)
        return beginnings, self._sum_beginnings(self.words[::-1], self.moves.T)[::-1]

    def _sum_beginnings(self, words: np.ndarray, moves: np.ndarray) -> np.ndarray:
        state, sums = self.start, np.empty_like(words)
        for own, reached in zip(words, sums, strict=True):
            options = state[:, :, None] + moves
            most = options.max(axis=1)
            reached[:] = most + np.log(np.exp(options - most[:, None]).sum(axis=1))
            state = reached + own
        return sums

    @property
    def log_partition(self) -> np.ndarray:
        """The logarithm of the sum over all tag sequences of each sentence, (B,)."""
        return self.passes[0][-1, :, -1]

    @property
    def log_marginals(self) -> np.ndarray:
        """log p(tag) of each word, (B, L, K); undefined past a sentence's end."""
        before, after = self.passes
        return (before + self.words + after - self.log_partition[:, None]).swapaxes(0, 1)[:, :-1, :-1]

    def log_probability(self, sentence: int, start: int, tags: Sequence[int]) -> float:
        """The log-probability that words `start`, `start` + 1, … of a sentence have exactly these tags."""
        before, after = self.passes
        stop = start + len(tags)
        score = before[start, sentence, tags[0]] + after[stop - 1, sentence, tags[-1]]
        score += self.words[range(start, stop), sentence, tags].sum() + self.moves[tags[:-1], tags[1:]].sum()
        return min(0.0, float(score - self.log_partition[sentence]))

    def best_paths(self) -> list[list[int]]:
        """The best tags of each sentence (Viterbi).

        The predecessor is looked up on the way back only, for one tag per word instead of all.
        """
        moves, state, states = self.moves[:, :, None], self.start.T, []
        options = np.empty((len(moves), *state.shape))
        for own in self.words:
            states.append(state)
            np.add(state[:, None], moves, out=options)
            state = options.max(axis=0) + own.T
        back, tags = self.moves.T.copy(), np.full(len(self.lengths), len(moves) - 1)
        path = np.empty((len(self.words) - 1, len(self.lengths)), int)
        for word in reversed(range(len(path))):
            path[word] = tags = (states[word + 1].T + back[tags]).argmax(axis=1)
        return [row[:length] for row, length in zip(path.T.tolist(), self.lengths, strict=True)]

    def k_best_paths(self, k: int) -> list[list[TagPath]]:
        """The k best tag sequences of each sentence, best first; fewer where no more are possible."""
        _, batch, size = self.words.shape
        best = np.full((batch, size, k), IMPOSSIBLE)
        best[:, :, 0] = self.start
        origins = []
        for own in self.words:
            options = (best[..., None] + self.moves[:, None]).reshape(batch, size * k, size)
            order = np.argsort(-options, axis=1, kind="stable")[:, :k]
            best = np.take_along_axis(options, order, axis=1).swapaxes(1, 2) + own[:, :, None]
            origins.append(order.swapaxes(1, 2).reshape(batch, size * k))
        place = np.tile(np.arange((size - 1) * k, size * k), (batch, 1))
        paths = np.empty((len(self.words) - 1, batch, k), int)
        for word in reversed(range(len(paths))):
            place = np.take_along_axis(origins[word + 1], place, axis=1)
            paths[word] = place // k
        logs = best[:, -1] - self.log_partition[:, None]
        return [
            [
                TagPath(tags[:length], min(0.0, log))
                for tags, log in zip(rows, row_logs, strict=True)
                if log > IMPOSSIBLE / 2
            ]
            for rows, row_logs, length in zip(
                paths.transpose(1, 2, 0).tolist(), logs.tolist(), self.lengths, strict=True
            )
        ]


def frame_emissions(emissions: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Emissions (L + 1, B, K + 1) with one more tag, outside, which all padding has and no word.

    From emissions (B, L, K) and a mask (B, L) that is true for the words. Every sentence ends with padding.
    """
    batch, length, tags = emissions.shape
    framed, padding = np.full((length + 1, batch, tags + 1), IMPOSSIBLE), ~mask.T
    np.maximum(emissions.swapaxes(0, 1), IMPOSSIBLE, out=framed[:-1, :, :-1])
    framed[:-1][padding] = IMPOSSIBLE
    framed[:-1, :, -1][padding] = framed[-1, :, -1] = 0
    return framed

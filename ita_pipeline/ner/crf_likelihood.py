"""The log-likelihood of a CRF and all its gradients in one pass, for training on a CPU.

Both passes of forward–backward multiply probabilities that are scaled at each word (Rabiner 1989). The states of a
sentence stay in the processor's cache, where the gradient is computed at once: the counts of the gold tags minus
the expected counts over all tag sequences.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ita_pipeline.ner.crf_kernels import compiled

# Sums may be computed in any order, so that the compiler can vectorize them.
compiled_sum = partial(compiled, fastmath={"contract", "reassoc", "nsz"})


@compiled_sum
def dot_rows(sums: Any, rows: Any, vector: Any, size: int) -> None:
    """Dot products of each row's first `size` numbers with the vector. The number of rows is a multiple of four."""
    for i in range(0, len(rows), 4):
        a = b = c = d = 0.0
        for j in range(size):
            a += rows[i, j] * vector[j]
            b += rows[i + 1, j] * vector[j]
            c += rows[i + 2, j] * vector[j]
            d += rows[i + 3, j] * vector[j]
        sums[i], sums[i + 1], sums[i + 2], sums[i + 3] = a, b, c, d


@compiled_sum
def forward_pass(likely: Any, onward: Any, reached: Any, state: Any, after: Any, norms: Any) -> float:
    """Forward, from the `reached` states before the first word. Fills `after` (K, L).

    Multiplied by `norms` (L,), the states of each word sum to one. Returns the logarithm of the factor of the last
    states.
    """
    words, size = likely.shape
    scale, product, norm = 0.0, 1.0, 1.0
    for word in range(words):
        here, total = likely[word], 0.0
        for j in range(size):
            state[j] = reached[j] * here[j] * norm
            total += state[j]
        norms[word] = norm = 1.0 / total
        product *= total
        if not 1e-100 < product < 1e100:
            scale += np.log(product)
            product = 1.0
        for j in range(size):
            after[j, word] = state[j]
        dot_rows(reached, onward, state, len(state))
    return scale + np.log(product)


@compiled_sum
def backward_pass(  # noqa: PLR0913
    likely: Any, back: Any, passed: Any, state: Any, after: Any, norms: Any, share: Any, own: Any
) -> None:
    """Backward, from the `passed` states after the last word. Fills `own` (L, K) with negative marginals.

    `share` (K, L) gets, one word earlier, the factors that turn a state and a transition into a marginal.
    """
    words, size = likely.shape
    for word in range(words - 1, -1, -1):
        here, marginal, norm = likely[word], own[word], norms[word]
        for j in range(size):
            marginal[j] = -passed[j] * after[j, word] * norm
            state[j] = passed[j] * here[j] * norm
        if word:
            for j in range(size):
                share[j, word - 1] = state[j] * norms[word - 1]
            dot_rows(passed, back, state, len(state))


@compiled_sum
def expected_transitions(counts: Any, moves: Any, after: Any, share: Any, words: int, sums: Any) -> None:
    """Fill `counts` (K + 1, K + 1), except its margin, with the negative expected number of each transition."""
    for i in range(len(counts) - 1):
        dot_rows(sums, share, after[i], words - 1)
        for j in range(len(counts) - 1):
            counts[i, j] = -sums[j] * moves[i, j]


@compiled
def score_gold(emissions: Any, tags: Any, moves: Any, starts: Any, ends: Any) -> float:
    """The unnormalized log score of the gold tags of one sentence."""
    score = starts[tags[0]] + ends[tags[-1]]
    for word in range(len(tags)):
        score += emissions[word, tags[word]]
        if word:
            score += moves[tags[word - 1], tags[word]]
    return score


@compiled
def likelihoods(  # noqa: PLR0913
    emissions: Any, likely: Any, tags: Any, lengths: Any, scores: Any, penalties: Any, learn: bool
) -> Any:
    """The log-likelihood of each sentence (B,), and with `learn` its gradients.

    They belong to the emissions (B, L, K), whose exponential is `likely`, and to the transitions (B, K + 1, K + 1),
    with starts in the last row and ends in the last column. Scores and penalties of the moves (K, K), starts (K,)
    and ends (K,) are added up.
    """
    batch, width, size = emissions.shape
    moves = scores[0].astype(np.float64) + penalties[0]
    starts, ends = scores[1].astype(np.float64) + penalties[1], scores[2].astype(np.float64) + penalties[2]
    rows = batch if learn else 0
    values = np.zeros(batch)
    own, pairs = np.empty((rows, width, size), emissions.dtype), np.zeros((rows, size + 1, size + 1))
    full = (size + 3) // 4 * 4
    back, first, last = np.zeros((full, full)), np.zeros(full), np.zeros(full)
    back[:size, :size], first[:size], last[:size] = np.exp(moves), np.exp(starts), np.exp(ends)
    onward = back.T.copy()
    # The extra columns shift the rows in memory, so that they do not evict each other from the cache.
    after, share = np.zeros((full, width + 8)), np.zeros((full, width + 8))
    norms, state, states = np.empty(width), np.zeros(full), np.empty(full)
    for row in range(batch):
        words = lengths[row]
        if learn:
            own[row, words:] = 0.0
        if words == 0:
            continue
        gold, chances = tags[row, :words], likely[row, :words]
        if gold.min() < 0 or gold.max() >= size:
            raise IndexError("a word of a sentence has a tag that the CRF does not have")
        states[:] = first
        scale = forward_pass(chances, onward, states, state, after, norms)
        total = (state * last).sum() * norms[words - 1]
        values[row] = score_gold(emissions[row], gold, moves, starts, ends) - scale - np.log(total)
        if not learn:
            continue
        states[:] = last / total
        backward_pass(chances, back, states, state, after, norms, share, own[row])
        expected_transitions(pairs[row], back, after, share, words, states)
        for word in range(words):
            own[row, word, gold[word]] += 1.0
            if word:
                pairs[row, gold[word - 1], gold[word]] += 1.0
        pairs[row, size, :size] = own[row, 0]
        pairs[row, :size, size] = own[row, words - 1]
    return values, own, pairs


@compiled
def weight_gradients(own: Any, pairs: Any, each: Any) -> Any:
    """The gradients of emissions, transitions, starts and ends, with a weight per sentence, (B,)."""
    size = own.shape[2]
    weighted, moves = np.empty_like(own), np.zeros((size + 1, size + 1))
    for row in range(len(each)):
        weight = each[row]
        weighted[row] = own[row] * weight
        for i in range(len(moves)):
            for j in range(len(moves)):
                moves[i, j] += pairs[row, i, j] * weight
    return weighted, moves[:size, :size].copy(), moves[size, :size].copy(), moves[:size, size].copy()


def as_arrays(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    """The values of tensors in at least single precision."""
    return tuple(full_precision(tensor.detach()).numpy() for tensor in tensors)


def full_precision(tensor: Tensor) -> Tensor:
    """The tensor in at least fp32, since sums of many scores in half precision lose small differences."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


class ScaledLikelihood(torch.autograd.Function):
    """The log-likelihood of each sentence, (B,), in the precision of the emissions, which keeps its gradients.

    From emissions (B, L, K), transition (K, K), start (K,) and end (K,) scores and penalties, tags (B, L), lengths
    (B,), whether the exponentials of the emissions are in the range of single precision, and whether gradients are
    wanted.

    Raises:
        IndexError: a word has a tag below zero, or above the last.
    """

    @staticmethod
    def forward(  # noqa: PLR0913
        ctx: Any,
        emissions: Tensor,
        transitions: Tensor,
        starts: Tensor,
        ends: Tensor,
        penalties: tuple[Tensor, Tensor, Tensor],
        tags: Tensor,
        lengths: np.ndarray,
        single: bool,
        learn: bool,
    ) -> Tensor:
        """Compute the values, and keep what the gradient needs."""
        scores = emissions.detach().contiguous().numpy()
        with np.errstate(all="ignore"):  # Padding may have any value.
            likely = np.exp(scores, dtype=scores.dtype if single else np.float64)
        gold = tags.long().contiguous().numpy()
        values, own, pairs = likelihoods(
            scores, likely, gold, lengths, as_arrays(transitions, starts, ends), as_arrays(*penalties), learn
        )
        ctx.own, ctx.pairs, ctx.precision = own, pairs, transitions.dtype
        return torch.from_numpy(values).to(emissions.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Compute the gradients of the tensors among the arguments."""
        each = grads[0].contiguous().numpy()
        own, *moves = map(torch.from_numpy, weight_gradients(ctx.own, ctx.pairs, each))
        return own, *(move.to(ctx.precision) for move in moves), None, None, None, None, None

"""The word-by-word loops of the CRF, compiled with numba for CPUs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Finite, so that no difference of two is undefined.
IMPOSSIBLE = -1e30


Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(kernel: Kernel, fastmath: bool | set[str] = False) -> Kernel:
    """Compile a kernel on first use, and cache it for the next process."""
    try:
        return numba.njit(cache=True, error_model="numpy", fastmath=fastmath)(kernel)  # type: ignore[no-any-return]
    except RuntimeError:  # No cache folder is writable.
        return numba.njit(error_model="numpy", fastmath=fastmath)(kernel)  # type: ignore[no-any-return]


@compiled
def sentence_lengths(mask: Any) -> Any:
    """The number of words of each sentence, (B,), from its mask (B, L); None if words follow padding."""
    batch, width = mask.shape
    lengths = np.zeros(batch, np.int64)
    for row in range(batch):
        for word in range(width):
            if mask[row, word]:
                if lengths[row] < word:
                    return None
                lengths[row] += 1
    return lengths


@partial(compiled, fastmath={"nnan", "nsz", "reassoc"})
def score_range(emissions: Any, lengths: Any) -> float:
    """The difference between the largest and the smallest emission of all words, zero included. NaN is ignored."""
    least = most = emissions.dtype.type(0)
    batch, width, size = emissions.shape
    scores = emissions.reshape(batch, width * size)
    for row in range(batch):
        for place in range(lengths[row] * size):
            least, most = min(least, scores[row, place]), max(most, scores[row, place])
    return float(most) - float(least)


@compiled
def largest_magnitude(transitions: Any, starts: Any, ends: Any) -> float:
    """The largest absolute value of all scores; NaN if one is NaN."""
    return max(np.abs(transitions).max(), np.abs(starts).max(), np.abs(ends).max())


@compiled
def scaled_forward(likely: Any, peaks: Any, moves: Any, starts: Any, lengths: Any, backwards: bool) -> Any:
    """Probabilities of states before and after each word, (B, L, K), by products that are scaled at each word.

    `likely` (B, L, K), `moves` (K, K) and `starts` (K,) are probabilities; `peaks` (B, L) is the logarithm of the
    divisor of `likely`. The states after a word sum to one. The third result is the logarithm of the factor of the
    states before each word, (B, L).
    """
    batch, width, size = likely.shape
    before, after = np.zeros((batch, width, size)), np.zeros((batch, width, size))
    scales, reached = np.zeros((batch, width)), np.empty(size)
    for row in range(batch):
        word, step = (lengths[row] - 1, -1) if backwards else (0, 1)
        scale = 0.0
        reached[:] = starts
        for _ in range(lengths[row]):
            own, state = likely[row, word], after[row, word]
            before[row, word] = reached
            scales[row, word] = scale
            total = 0.0
            for j in range(size):
                state[j] = reached[j] * own[j]
                total += state[j]
                reached[j] = 0.0
            for i in range(size):
                state[i] /= total
                for j in range(size):
                    reached[j] += state[i] * moves[i, j]
            scale += np.log(total) + peaks[row, word]
            word += step
    return before, after, scales


@compiled
def scaled_backward(grad: Any, before: Any, after: Any, moves: Any, lengths: Any, backwards: bool) -> Any:
    """The gradients of the arguments of `scaled_forward`, from the gradient of the logarithms of its states.

    `grad` (B, L, K) belongs to the states before each word. The results belong to the logarithms of `likely`
    (B, L, K), `moves` (K, K) and `starts` (K,).
    """
    batch, width, size = before.shape
    own, pairs, firsts = np.zeros((batch, width, size)), np.zeros((size, size)), np.zeros(size)
    back, share, passed = moves.T.copy(), np.empty(size), np.empty(size)
    for row in range(batch):
        word, step = (0, 1) if backwards else (lengths[row] - 1, -1)
        passed[:] = 0.0
        for left in range(lengths[row] - 1, -1, -1):
            own[row, word] = passed
            passed += grad[row, word]
            if left == 0:
                firsts += passed
                break
            reached, state = before[row, word], after[row, word + step]
            for j in range(size):
                # Impossible states have no gradient; dividing by their probability would give NaN.
                share[j] = passed[j] / reached[j] if reached[j] > 0 else 0.0
                passed[j] = 0.0
            for j in range(size):
                for i in range(size):
                    passed[i] += share[j] * back[j, i]
            for i in range(size):
                passed[i] *= state[i]
                for j in range(size):
                    pairs[i, j] += state[i] * share[j]
            word += step
    return own, pairs * moves, firsts


class ScaledScan(torch.autograd.Function):
    """`log_scan` by products of probabilities (Rabiner 1989), and its gradient."""

    @staticmethod
    def forward(
        ctx: Any, emissions: Tensor, moves: Tensor, starts: Tensor, lengths: np.ndarray, backwards: bool
    ) -> Tensor:
        """Compute the values, and keep what the gradient needs."""
        peaks = emissions.amax(dim=2, keepdim=True)
        likely = (emissions - peaks).double().exp_().numpy()
        top, first = moves.max(), starts.max()
        chances = (moves - top).exp_().numpy()
        begins = (starts - first).exp_().numpy()
        heights = (peaks.squeeze(2) + top).numpy()
        before, after, scales = scaled_forward(likely, heights, chances, begins, lengths, backwards)
        ctx.arguments, ctx.precision = (before, after, chances, lengths, backwards), emissions.dtype
        states = torch.from_numpy(before).clamp_min(torch.finfo(torch.float64).tiny)
        return states.log_() + torch.from_numpy(scales + first.item())[:, :, None]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Compute the gradients of the tensors among the arguments."""
        gradients = scaled_backward(grads[0].contiguous().numpy(), *ctx.arguments)
        own, pairs, firsts = map(torch.from_numpy, gradients)
        return own.to(ctx.precision), pairs, firsts, None, None


def log_scan(emissions: Tensor, moves: Tensor, starts: Tensor, mask: Tensor) -> Tensor:
    """Log scores of all beginnings of each sentence before each word's own emission, (B, L, K).

    From emissions (B, L, K), moves (K, K), starts (K,) and a mask (B, L), which has no gaps; past a
    sentence's end they are undefined.
    """
    state = starts.expand(len(emissions), -1)
    steps = []
    for own, inside in zip(emissions.unbind(1), mask.unbind(1), strict=True):
        steps.append(state)
        onward = torch.logsumexp((state + own)[:, :, None] + moves, dim=1)
        state = torch.where(inside[:, None], onward, state)
    return torch.stack(steps, dim=1) if steps else emissions


@compiled
def best_predecessor(states: Any, moves: Any) -> int:
    """The first index at which the sum of both (K,) is largest."""
    best, top = 0, states[0] + moves[0]
    for i in range(1, len(states)):
        if states[i] + moves[i] > top:
            best, top = i, states[i] + moves[i]
    return best


@compiled
def viterbi(emissions: Any, moves: Any, starts: Any, ends: Any, lengths: Any) -> Any:
    """The best tags of each sentence, (B, L), from scores in any one precision; past its end they are 0.

    The predecessor is looked up on the way back only, for one tag per word instead of all.
    """
    batch, width, size = emissions.shape
    tags, states = np.zeros((batch, width), np.int32), np.empty((width, size), emissions.dtype)
    back = moves.T.copy()
    for row in range(batch):
        length = lengths[row]
        if length == 0:
            continue
        for j in range(size):
            states[0, j] = starts[j] + emissions[row, 0, j]
        for word in range(1, length):
            before, here, own = states[word - 1], states[word], emissions[row, word]
            for j in range(size):
                best = before[0] + back[j, 0]
                for i in range(1, size):
                    best = max(best, before[i] + back[j, i])
                here[j] = best + own[j]
        tag = best_predecessor(states[length - 1], ends)
        for word in range(length - 1, 0, -1):
            tags[row, word] = tag
            tag = best_predecessor(states[word - 1], back[tag])
        tags[row, 0] = tag
    return tags


def k_best_paths(moves: Tensor, words: Tensor, k: int) -> tuple[list[list[list[int]]], list[list[float]]]:
    """The k best paths of each sentence, with the padding, and their scores. Some may be impossible."""
    batch, _, size = words.shape
    best = words.new_full((batch, size, k), IMPOSSIBLE)
    best[:, -1, 0] = 0
    came_from = []
    for own in words.unbind(1):
        options = (best[..., None] + moves[:, None]).flatten(1, 2)
        highest, before = options.topk(k, dim=1)
        best = highest.transpose(1, 2) + own[..., None]
        came_from.append(before.transpose(1, 2).flatten(1))
    scores, place = (best + moves[:, -1:]).flatten(1).topk(k, dim=1)
    tags = []
    for before in reversed(came_from):
        tags.append(place // k)
        place = before.gather(1, place)
    return torch.stack(tags[::-1], dim=2).tolist(), scores.tolist()

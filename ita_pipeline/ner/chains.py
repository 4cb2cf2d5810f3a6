"""The loops under the CRF, which alone of it run word by word: in machine code where they run on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Finite, so that no difference of two is undefined.
IMPOSSIBLE = -1e30

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(kernel: Kernel) -> Kernel:
    """Machine code on first use, kept beside the module or in the user's cache for the next process."""
    try:
        return numba.njit(cache=True, error_model="numpy")(kernel)  # type: ignore[no-any-return]
    except RuntimeError:  # Neither place can be written to.
        return numba.njit(error_model="numpy")(kernel)  # type: ignore[no-any-return]


@compiled
def advance(likely: Any, peaks: Any, moves: Any, starts: Any, lengths: Any, backwards: bool) -> Any:
    """Probabilities of states before and after each word, (B, L, K), by products that are scaled at each word.

    `likely` (B, L, K), `moves` (K, K) and `starts` (K,) are no logarithms; `peaks` (B, L) is the logarithm of what
    `likely` was divided by. The states after a word sum to one. Returned with them are the logarithms of what the
    states before each word (B, L), and those at the end (B,), are to be multiplied by.
    """
    batch, width, size = likely.shape
    before, after = np.zeros((batch, width, size)), np.zeros((batch, width, size))
    scales, ends, reached = np.zeros((batch, width)), np.zeros(batch), np.empty(size)
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
        ends[row] = scale
    return before, after, scales, ends


@compiled
def retreat(blame: Any, last: Any, before: Any, after: Any, moves: Any, lengths: Any, backwards: bool) -> Any:
    """The gradients of what `advance` was given, from those of the logarithms of its states.

    `blame` (B, L, K) is that of the states before each word, which may be left out, (B, 0, K); `last` (B, K) is
    that of the states at the end. Returned are those of the logarithms of `likely` (B, L, K), `moves` (K, K) and
    `starts` (K,).
    """
    batch, width, size = before.shape
    own, pairs, firsts = np.zeros((batch, width, size)), np.zeros((size, size)), np.zeros(size)
    back, share, passed = moves.T.copy(), np.empty(size), np.empty(size)
    for row in range(batch):
        word, step = (0, 1) if backwards else (lengths[row] - 1, -1)
        passed[:] = last[row]
        for left in range(lengths[row] - 1, -1, -1):
            own[row, word] = passed
            if blame.shape[1]:
                passed += blame[row, word]
            if left == 0:
                firsts += passed
                break
            reached, state = before[row, word], after[row, word + step]
            for j in range(size):
                # No blame falls on what cannot be, so that it is not divided by nothing.
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


class Scan:
    """A pass of `advance` over scores, which are logarithms."""

    def __init__(self, emissions: Tensor, moves: Tensor, starts: Tensor, lengths: np.ndarray, backwards: bool):
        peaks = emissions.amax(dim=2, keepdim=True)
        likely = (emissions - peaks).double().exp_()
        self.precision, self.lengths, self.backwards = emissions.dtype, lengths, backwards
        top, first = moves.max(), starts.max()
        self.moves = (moves - top).exp_().numpy()
        begins = (starts - first).exp_().numpy()
        heights = (peaks.squeeze(2) + top).numpy()
        found = advance(likely.numpy(), heights, self.moves, begins, lengths, backwards)
        self.before, self.after, scales, ends = found
        self.scales, self.ends = scales + first.item(), ends + (first - top).item()

    def gradients(self, blame: np.ndarray, last: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        found = retreat(blame, last, self.before, self.after, self.moves, self.lengths, self.backwards)
        own, pairs, firsts = map(torch.from_numpy, found)
        return own.to(self.precision), pairs, firsts


class ScaledScan(torch.autograd.Function):
    """`log_scan` by products of probabilities (Rabiner 1989), and its gradient."""

    @staticmethod
    def forward(
        ctx: Any, emissions: Tensor, moves: Tensor, starts: Tensor, lengths: np.ndarray, backwards: bool
    ) -> Tensor:
        ctx.scan = scan = Scan(emissions, moves, starts, lengths, backwards)
        before = torch.from_numpy(scan.before).clamp_min(torch.finfo(torch.float64).tiny)
        return before.log_() + torch.from_numpy(scan.scales)[:, :, None]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        blame = grads[0].contiguous().numpy()
        batch, _, size = blame.shape
        return *ctx.scan.gradients(blame, np.zeros((batch, size))), None, None


class ScaledPartition(torch.autograd.Function):
    """`log_partition` by products of probabilities, and its gradient: the marginals."""

    @staticmethod
    def forward(
        ctx: Any, emissions: Tensor, moves: Tensor, starts: Tensor, ends: Tensor, lengths: np.ndarray
    ) -> Tensor:
        ctx.scan = scan = Scan(emissions, moves, starts, lengths, backwards=False)
        places = np.maximum(lengths - 1, 0)
        finish = scan.after[np.arange(len(places)), places] * (ends - ends.max()).exp_().numpy()
        ctx.finish = finish
        with np.errstate(divide="ignore"):
            found = np.log(finish.sum(axis=1)) + scan.ends + ends.max().item()
        return torch.from_numpy(np.where(lengths > 0, found, 0.0))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        total = ctx.finish.sum(axis=1, keepdims=True)
        last = ctx.finish / np.where(total > 0, total, 1.0) * grads[0].numpy()[:, None]
        own = ctx.scan.gradients(np.zeros((len(last), 0, last.shape[1])), last)
        return *own, torch.from_numpy(last.sum(axis=0)), None


def log_scan(emissions: Tensor, moves: Tensor, starts: Tensor, mask: Tensor) -> Tensor:
    """Log scores of all beginnings of each sentence before each word's own emission, (B, L, K).

    From emissions (B, L, K), moves (K, K), starts (K,) and a mask (B, L), which is true in one stretch; past a
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
def viterbi(emissions: Any, moves: Any, starts: Any, ends: Any, lengths: Any) -> Any:
    """The best tags of each sentence, (B, L), from scores in any one precision; past its end they are 0."""
    batch, width, size = emissions.shape
    tags, came_from = np.zeros((batch, width), np.int32), np.empty((width, size), np.int32)
    state, best = np.empty_like(starts), np.empty_like(starts)
    for row in range(batch):
        length = lengths[row]
        if length == 0:
            continue
        for j in range(size):
            state[j] = starts[j] + emissions[row, 0, j]
        for word in range(1, length):
            origin = came_from[word]
            for j in range(size):
                best[j], origin[j] = state[0] + moves[0, j], 0
            for i in range(1, size):
                for j in range(size):
                    option = state[i] + moves[i, j]
                    better = option > best[j]
                    best[j] = option if better else best[j]
                    origin[j] = i if better else origin[j]
            for j in range(size):
                state[j] = best[j] + emissions[row, word, j]
        tag = np.argmax(state + ends)
        for word in range(length - 1, 0, -1):
            tags[row, word] = tag
            tag = came_from[word, tag]
        tags[row, 0] = tag
    return tags


def best_walks(moves: Tensor, words: Tensor, k: int) -> tuple[list[list[list[int]]], list[list[float]]]:
    """The k best walks of each sentence (B, T, S), with the padding, and their scores; some may be impossible."""
    batch, _, size = words.shape
    best = words.new_full((batch, size, k), IMPOSSIBLE)
    best[:, -1, 0] = 0
    came_from = []
    for own in words.unbind(1):
        options = (best[..., None] + moves[:, None]).flatten(1, 2)
        found, before = options.topk(k, dim=1)
        best = found.transpose(1, 2) + own[..., None]
        came_from.append(before.transpose(1, 2).flatten(1))
    scores, place = (best + moves[:, -1:]).flatten(1).topk(k, dim=1)
    tags = []
    for before in reversed(came_from):
        tags.append(place // k)
        place = before.gather(1, place)
    return torch.stack(tags[::-1], dim=2).tolist(), scores.tolist()

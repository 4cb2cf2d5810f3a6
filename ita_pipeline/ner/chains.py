"""Sums and maxima over chains of words: the loops under the CRF, which alone of it run word by word."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Finite, so that no difference of two is undefined.
IMPOSSIBLE = -1e30
# Words after which the probabilities of a scan are made to sum to one again.
RESCALED = 4


class ScaledScan(torch.autograd.Function):
    """`log_scan` by products of probabilities, summing to one every few words (Rabiner 1989), and its gradient."""

    @staticmethod
    def forward(ctx: Any, moves: Tensor, emissions: Tensor, last_only: bool) -> Tensor:
        peak, top = emissions.amax(dim=3, keepdim=True), moves.max()
        likely, chances = (emissions - peak).to(moves.dtype).exp_(), (moves - top).exp()
        chains, words, batch, size = likely.shape
        states = likely.new_zeros(chains, words + 1, batch, size)
        states[:, 0, :, -1] = 1
        reached, totals = torch.empty_like(likely), torch.ones_like(peak, dtype=moves.dtype)
        advance(*map(by_word, (states, reached, likely, totals)), chances=chances.numpy())
        scale = (totals.log_() + peak + top).cumsum(1)
        ctx.save_for_backward(states, reached, chances)
        ctx.precision = emissions.dtype
        kept = slice(-1, None) if last_only else slice(None)
        return states[:, 1:][:, kept].clamp_min(torch.finfo(states.dtype).tiny).log_() + scale[:, kept]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        states, reached, chances = ctx.saved_tensors
        blame, last = torch.zeros_like(reached), reached.shape[1] - grads[0].shape[1]
        # No blame falls on what cannot be, so that it is not divided by nothing.
        blame[:, last:] = grads[0].masked_fill(states[:, last + 1 :] == 0, 0)
        shares, back = reached.clamp_min(torch.finfo(reached.dtype).tiny), chances.transpose(1, 2).contiguous()
        retreat(*map(by_word, (states, blame, shares)), back=back.numpy())
        pairs = states[:, :-1].flatten(1, 2).transpose(1, 2) @ shares.flatten(1, 2)
        return pairs * chances, blame.to(ctx.precision), None


def advance(
    states: np.ndarray, reached: np.ndarray, likely: np.ndarray, totals: np.ndarray, *, chances: np.ndarray
) -> None:
    """Fill in the probabilities of states, before (`reached`) and after each word; `totals` is what they lost."""
    state = states[0]
    for word, (before, own, after) in enumerate(zip(reached, likely, states[1:], strict=True), 1):
        np.matmul(state, chances, out=before)
        np.multiply(before, own, out=after)
        if word % RESCALED == 0:
            after.sum(axis=2, keepdims=True, out=totals[word - 1])
            after /= totals[word - 1]
        state = after


def retreat(states: np.ndarray, blame: np.ndarray, shares: np.ndarray, *, back: np.ndarray) -> None:
    """Pass the gradient of each log score on to those before it, by their shares in its probability.

    `shares` are at first the probabilities `reached`, and in the end the gradients divided by them.
    """
    passed = np.empty_like(blame[0])
    for word in range(len(blame) - 1, -1, -1):
        share = shares[word]
        np.divide(blame[word], share, out=share)
        if word:
            np.matmul(share, back, out=passed)
            passed *= states[word]
            blame[word - 1] += passed


def by_word(chains: Tensor) -> np.ndarray:
    """NumPy's small steps cost half of PyTorch's."""
    return chains.transpose(0, 1).numpy()


def log_scan(moves: Tensor, emissions: Tensor) -> Tensor:
    """Log scores of all walks that end in each state at each word, its emission included, (C, T, B, S).

    There are C kinds of chains with moves (C, S, S) and emissions (C, T, B, S); all come from outside.
    """
    state = torch.full_like(emissions[:, 0], IMPOSSIBLE)
    state[..., -1] = 0
    steps = []
    for own in emissions.unbind(1):
        state = torch.logsumexp(state[..., None] + moves[:, None], dim=2) + own
        steps.append(state)
    return torch.stack(steps, dim=1)


def viterbi(moves: Tensor, chains: Tensor) -> list[list[int]]:
    """The best walk of each sentence through both its halves (2, H, B, S), with the padding, on the CPU."""
    _, steps, batch, size = chains.shape
    words = chains.permute(1, 3, 0, 2).reshape(steps, size, 2 * batch).unbind()
    into = torch.cat([moves.T, moves])
    both = into.view(2, size, size).permute(1, 2, 0).repeat_interleave(batch, dim=2)
    best = torch.full((steps + 1, size, 2 * batch), IMPOSSIBLE, dtype=moves.dtype)
    best[0, -1] = 0
    state, options = best[0], torch.empty_like(both)
    for own, after in zip(words, best[1:].unbind(), strict=True):
        torch.add(state, both, out=options)
        torch.amax(options, dim=1, out=after)
        state = after.add_(own)
    left, right = state.view(size, 2, batch).unbind(1)
    middle = (left[:, None] + moves[:, :, None] + right).flatten(0, 1).argmax(0)
    ends = torch.cat([middle // size, middle % size])
    tags = traced(into.numpy(), best.transpose(1, 2).contiguous().numpy(), ends.numpy())
    left, right = tags.reshape(steps, 2, batch).transpose(1, 2, 0)
    return np.concatenate([left, right[:, ::-1]], axis=1).tolist()


def traced(into: np.ndarray, best: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Walk all chains back from their ends; NumPy's small steps cost a third of PyTorch's.

    `into` (2S, S) holds the moves into each state, for the first and then the second half of the chains.
    """
    steps, size = len(best) - 1, into.shape[1]
    tags = np.empty((steps, len(ends)), dtype=np.intp)
    tags[-1] = ends
    offset = np.repeat([0, size], len(ends) // 2)
    options = np.empty_like(best[0])
    for word in range(steps - 1, 0, -1):
        np.take(into, tags[word] + offset, axis=0, out=options, mode="clip")
        options += best[word]
        options.argmax(axis=1, out=tags[word - 1])
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

"""A linear-chain conditional random field (Lafferty et al. 2001), in double precision.

It is computed on the CPU whatever the device, because its steps from word to word are many and small.
`crf_inference` has what prediction needs; this module adds gradients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from ita_pipeline.ner.crf_inference import IMPOSSIBLE, Lattice, TagPath, frame_emissions

# The mark of impossible moves in saved models.
FORBIDDEN = -1e4

# Probabilities are scaled after so many words. Between, their logarithms must differ by less than the range.
SCALE_EVERY, RANGE = 2, 700.0


class LinearChainCRF(nn.Module):
    """Scores tag sequences by emissions, transitions, and start and end tags.

    Masks are (B, L) booleans that are true for the words of a sentence and false for the padding after it;
    a sentence without words has probability one. `may_follow` (K, K), `may_start` (K,) and `may_end` (K,) make
    sequences impossible; all are possible by default.
    """

    def __init__(
        self,
        num_tags: int,
        may_follow: Sequence[Sequence[bool]] | None = None,
        may_start: Sequence[bool] | None = None,
        may_end: Sequence[bool] | None = None,
    ) -> None:
        super().__init__()
        self.num_tags = num_tags
        self.transitions = nn.Parameter(torch.zeros(num_tags, num_tags))
        self.starts = nn.Parameter(torch.zeros(num_tags))
        self.ends = nn.Parameter(torch.zeros(num_tags))
        follow = np.ones((num_tags, num_tags), bool) if may_follow is None else np.array(may_follow, bool)
        start, end = (
            np.ones(num_tags, bool) if tags is None else np.array(tags, bool) for tags in (may_start, may_end)
        )
        self.transition_penalty = nn.Buffer(torch.where(torch.tensor(follow), 0.0, FORBIDDEN))
        self.start_penalty = nn.Buffer(torch.where(torch.tensor(start), 0.0, FORBIDDEN))
        self.end_penalty = nn.Buffer(torch.where(torch.tensor(end), 0.0, FORBIDDEN))
        self.mixing_steps = count_mixing_steps(follow, start, end)

    def moves(self) -> Tensor:
        """The scores of moves, (K + 1, K + 1), on the CPU: starts in the last row, ends in the last column."""
        scores = frame_moves(self.transitions, self.starts, self.ends).cpu().double()
        penalties = frame_moves(self.transition_penalty, self.start_penalty, self.end_penalty)
        return scores.masked_fill(penalties.cpu() < 0, IMPOSSIBLE)

    def log_likelihood(
        self, emissions: Tensor, tags: Tensor, mask: Tensor | None = None, log_z: Tensor | None = None
    ) -> Tensor:
        """log p(tags | emissions) of each sentence, (B,), from emissions (B, L, K) and tags (B, L).

        Pass the log-partition `log_z` of the same emissions, if it is known, to save another pass over them.

        Raises:
            IndexError: a word has a tag below zero, or above the last.
        """
        words, inside = prepare_inputs(emissions, mask)
        moves = self.moves()
        partition = log_z
        if partition is None and self.can_multiply(words, moves, inside):
            partition = LogPartition.apply(words, moves, inside)
        elif partition is None:
            partition, _ = sum_logarithms(words, moves, inside)
        return restore(score_paths(words, moves, tags.cpu(), inside) - partition, emissions)

    def marginals(self, emissions: Tensor, mask: Tensor | None = None) -> Tensor:
        """p(tag | emissions) of each word, (B, L, K); zero past a sentence's end."""
        return self.log_marginals(emissions, mask)[1].exp()

    def log_marginals(self, emissions: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The log-partition of each sentence, (B,), and log p(tag | emissions) of each word, (B, L, K).

        Past a sentence's end the latter is as low as that of an impossible tag.
        """
        words, inside = prepare_inputs(emissions, mask)
        log_z, log_marginals = sum_logarithms(words, self.moves(), inside)
        return log_z, restore(log_marginals, emissions)

    @torch.no_grad()
    def lattice(self, emissions: Tensor, mask: Tensor | None = None) -> Lattice:
        """All tag sequences, for prediction."""
        words, inside = prepare_inputs(emissions, mask)
        return Lattice(words.numpy(), inside.numpy(), self.moves().numpy())

    def decode(self, emissions: Tensor, mask: Tensor | None = None) -> list[list[int]]:
        """The best tag sequence of each sentence (Viterbi), as long as the sentence."""
        return self.lattice(emissions, mask).best_paths()

    def k_best(self, emissions: Tensor, mask: Tensor | None = None, k: int = 1) -> list[list[TagPath]]:
        """The k best tag sequences of each sentence, best first; fewer where no more are possible.

        Raises:
            ValueError: k is less than one.
        """
        if k < 1:
            raise ValueError(f"k is {k}, but at least one sequence must be asked for")
        return self.lattice(emissions, mask).k_best_paths(k)

    @torch.no_grad()
    def can_multiply(self, emissions: Tensor, moves: Tensor, mask: Tensor) -> bool:
        """Whether products of probabilities stay in the range of a float, so that no logarithms are needed.

        Within `mixing_steps` words every tag gets a share of the best tag's probability, smaller by at most the
        range of all scores on the way. The range includes zero, since emissions are not shifted.
        """
        least, most = emissions.masked_fill(~mask[:, :, None], 0).aminmax() if emissions.numel() else (0.0, 0.0)
        steepest = moves.masked_fill(moves == IMPOSSIBLE, 0).abs().max()
        width = 2 * float(max(most, -least) + steepest) + math.log(len(moves))
        return (self.mixing_steps + 2 * SCALE_EVERY) * width < RANGE


class LogPartition(torch.autograd.Function):
    """The log-partition of each sentence, (B,), by products of probabilities that are scaled (Rabiner 1989).

    From emissions (B, L, K), moves (K + 1, K + 1) and a mask (B, L). Both directions are passed through at once.
    The gradients are the expected numbers of tags and of moves.
    """

    @staticmethod
    def forward(ctx: Any, emissions: Tensor, moves: Tensor, mask: Tensor) -> Tensor:
        """Compute the values, and keep what the gradients need."""
        chances = np.exp(moves.detach().numpy())
        words = frame_emissions(emissions.detach().numpy(), mask.numpy())
        np.exp(words, out=words)
        # Each word's factors become the states after it.
        both, onward = np.stack([words, words[::-1]]), np.stack([chances, chances.T])
        state, totals = np.zeros_like(both[:, 0]), []
        state[:, :, -1] = 1
        for word, own in enumerate(both.swapaxes(0, 1)):
            state = np.multiply(state @ onward, own, out=own)
            if word % SCALE_EVERY == 0:
                totals.append(state.sum(axis=2, keepdims=True))
                state /= totals[-1]
        ctx.results = both, chances
        return torch.from_numpy(np.log([*(total[0, :, 0] for total in totals), state[0, :, -1]]).sum(axis=0))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Compute the gradients of emissions and moves."""
        both, chances = ctx.results
        before, after = both[0, :-1], both[1, -2::-1].copy()
        onward = after @ chances.T
        weights = grads[0].numpy() / np.einsum("lbk,lbk->lb", before, onward)
        shares = before * weights[:, :, None]
        moves = chances * (shares.swapaxes(1, 2) @ after).sum(axis=0)
        shares *= onward
        moves[-1] += shares[:1].sum(axis=(0, 1))
        return torch.from_numpy(shares[:, :, :-1]).transpose(0, 1), torch.from_numpy(moves), None


def sum_logarithms(emissions: Tensor, moves: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The log-partition of each sentence, (B,), and log-marginals (B, L, K), both differentiable."""
    is_word = pad(mask.T, (0, 0, 0, 1))[:, :, None]
    is_tag = torch.arange(len(moves)) < len(moves) - 1
    words = pad(emissions.transpose(0, 1), (0, 1, 0, 0, 0, 1))
    words = torch.where(is_word == is_tag, words, IMPOSSIBLE).clamp_min(IMPOSSIBLE)
    onward = torch.stack([moves, moves.T])[:, None]
    state = torch.where(is_tag, IMPOSSIBLE, 0.0).double().expand(2, len(emissions), -1)
    sums = []
    for own in torch.stack([words, words.flip(0)], dim=1):
        sums.append(torch.logsumexp(state[:, :, :, None] + onward, dim=2))
        state = sums[-1] + own
    before, after = torch.stack(sums).unbind(1)
    log_z = before[-1, :, -1]
    log_marginals = before + words + after.flip(0) - log_z[:, None]
    return log_z, log_marginals.transpose(0, 1)[:, :-1, :-1]


def score_paths(emissions: Tensor, moves: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
    """The unnormalized log score of one tag sequence per sentence, (B,)."""
    outside = len(moves) - 1
    tags = tags.masked_fill(~mask, 0)
    if ((tags < 0) | (tags >= outside)).any():
        raise IndexError("a word of a sentence has a tag that the CRF does not have")
    own = emissions.gather(2, tags[:, :, None]).squeeze(2).masked_fill(~mask, 0)
    walk = pad(tags.masked_fill(~mask, outside), (1, 1), value=outside)
    return own.sum(1) + moves[walk[:, :-1], walk[:, 1:]].sum(1)


def frame_moves(transitions: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
    """Transitions (K + 1, K + 1) with one more tag, outside, from which sentences start and in which they end."""
    return torch.cat([torch.cat([transitions, ends[:, None]], dim=1), pad(starts, (0, 1))[None]])


def count_mixing_steps(may_follow: np.ndarray, may_start: np.ndarray, may_end: np.ndarray) -> float:
    """The number of transitions by which any tag can be reached from any tag.

    It is infinite if it is above eight, or if sentences of some length have no possible tags.
    """
    here, reach = may_start, np.eye(len(may_start), dtype=bool)
    for moves in range(1, 9):
        if not (here & may_end).any():
            break
        here, reach = here @ may_follow, reach @ may_follow
        if reach.all():
            return moves
    return math.inf


def prepare_inputs(emissions: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Emissions in double precision and the mask, all true by default, on the CPU.

    Raises:
        ValueError: the mask has a gap, which would join words that are not adjacent.
    """
    inside = torch.ones(emissions.shape[:2], dtype=torch.bool) if mask is None else mask.cpu().bool()
    if (inside[:, 1:] > inside[:, :-1]).any():
        raise ValueError("a CRF mask must be true for a sentence's words and false only after its end")
    return emissions.cpu().double(), inside


def restore(result: Tensor, emissions: Tensor) -> Tensor:
    """The result on the device of the emissions, in their precision, but at least fp32."""
    return result.to(torch.promote_types(emissions.dtype, torch.float32)).to(emissions.device)

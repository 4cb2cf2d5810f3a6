"""A linear-chain conditional random field (Lafferty et al. 2001), in double precision.

Two ideas keep it short and fast. A sentence stands between words *outside* it, which are an extra tag: its starts
and ends are then moves like any other, and the padding of a batch needs no care. And a sentence read backwards is
a sentence, so that both directions, or both halves of it on their way to the middle, are one batch of chains.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ita_pipeline.ner.chains import IMPOSSIBLE, RESCALED, ScaledScan, best_walks, log_scan, viterbi

FORBIDDEN = -1e4


@dataclass(frozen=True)
class Lattice:
    """Both passes of forward–backward over a batch, in double precision where the device has it.

    `alpha` (B, L, K): log score of all beginnings that end in tag k at word l, its emission included.
    `beta` (B, L, K): log score of all endings that follow it, its emission excluded. `log_z` (B,).
    """

    alpha: Tensor
    beta: Tensor
    log_z: Tensor

    @property
    def log_marginals(self) -> Tensor:
        """log p(tag k at word l), (B, L, K); undefined past a sentence's end."""
        return self.alpha + self.beta - self.log_z[:, None, None]


@dataclass(frozen=True)
class Path:
    """The tags of a whole sentence and the logarithm of their probability."""

    tags: list[int]
    log_probability: float


class LinearChainCRF(nn.Module):
    """Scores tag sequences by emissions, transitions, and the tags that start and end them.

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
        self.transition_penalty: Tensor
        self.start_penalty: Tensor
        self.end_penalty: Tensor
        self.register_buffer("transition_penalty", penalty(may_follow, (num_tags, num_tags)))
        self.register_buffer("start_penalty", penalty(may_start, (num_tags,)))
        self.register_buffer("end_penalty", penalty(may_end, (num_tags,)))
        self.mixing = mixing(may_follow, may_start, may_end, num_tags)

    def scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """Transition, start and end scores with the impossible ones pushed down, in fp32."""
        return (
            full(self.transitions) + self.transition_penalty,
            full(self.starts) + self.start_penalty,
            full(self.ends) + self.end_penalty,
        )

    def moves(self) -> Tensor:
        """Scores of every move (S, S), the impossible ones pushed down, in the precision of all passes.

        S are the K tags and, last, outside.
        """
        single = self.transitions.device.type == "mps"
        return square(*self.scores()).to(torch.float32 if single else torch.float64)

    def legal_moves(self) -> Tensor:
        forbidden = square(self.transition_penalty, self.start_penalty, self.end_penalty) < 0
        return square(*self.scores()).masked_fill(forbidden, IMPOSSIBLE)

    def log_likelihood(
        self, emissions: Tensor, tags: Tensor, mask: Tensor | None = None, lattice: Lattice | None = None
    ) -> Tensor:
        """log p(tags | emissions) of each sentence, (B,), from emissions (B, L, K) and tags (B, L).

        The `lattice` of the same emissions, where there is one already, spares another pass over them.
        """
        emissions, mask = prepared(emissions, mask)
        moves = self.moves()
        log_z = self.log_partition(moves, emissions, mask) if lattice is None else lattice.log_z
        found = path_score(moves, emissions, tags, mask) - log_z
        return found.to(emissions.dtype).masked_fill(mask.sum(1) == 0, 0)

    def marginals(self, emissions: Tensor, mask: Tensor | None = None) -> Tensor:
        """p(tag | emissions) of each word, (B, L, K); zero past a sentence's end."""
        emissions, mask = prepared(emissions, mask)
        found = self.lattice(emissions, mask).log_marginals.exp().to(emissions.dtype)
        return found.masked_fill(~mask[:, :, None], 0)

    def lattice(self, emissions: Tensor, mask: Tensor | None = None) -> Lattice:
        """Forward and backward scores, differentiable once."""
        emissions, mask = prepared(emissions, mask)
        length, moves = emissions.shape[1], self.moves()
        words = framed(emissions, mask)
        chains = torch.stack([words, words.flip(1)]).transpose(1, 2).contiguous()
        both = self.scan(moves, chains, spread(emissions, mask))
        alpha, beta = both[0].transpose(0, 1), both[1].flip(0).transpose(0, 1)
        log_z = torch.logsumexp(alpha[:, -1] + moves[:, -1], dim=1)
        beta = beta - words.masked_fill(words <= IMPOSSIBLE, 0)
        return Lattice(alpha[:, :length, :-1], beta[:, :length, :-1], log_z)

    def log_partition(self, moves: Tensor, emissions: Tensor, mask: Tensor) -> Tensor:
        """log of the sum over all tag sequences, (B,): both halves of each sentence meet in its middle."""
        chains = halves(framed(emissions, mask))
        left, right = self.scan(moves, chains, spread(emissions, mask), last_only=True)[:, 0]
        return torch.logsumexp((left[:, :, None] + moves + right[:, None, :]).flatten(1), dim=1)

    def scan(self, moves: Tensor, chains: Tensor, emission_spread: float, last_only: bool = False) -> Tensor:
        """Log scores of all beginnings of each chain, (2, T, B, S) or (2, 1, B, S), the second one's backwards.

        In `mixing` words every tag gets its share of the best one's probability, made smaller by no more than the
        spread of all scores on the way. Where that cannot leave the range of a float, probabilities do.
        """
        both = torch.stack([moves, moves.T])
        widest = 2 * max(
            float(scores.detach().abs().max()) for scores in (self.transitions, self.starts, self.ends)
        )
        lost = (self.mixing + 1 + RESCALED) * (emission_spread + widest + math.log(len(moves)))
        if moves.device.type == "cpu" and lost < -0.8 * math.log(torch.finfo(moves.dtype).tiny):
            return ScaledScan.apply(both, chains, last_only)
        found = log_scan(both.clamp_min(IMPOSSIBLE), chains.to(moves.dtype).clamp_min(IMPOSSIBLE))
        return found[:, -1:] if last_only else found

    @torch.no_grad()
    def decode(self, emissions: Tensor, mask: Tensor | None = None) -> list[list[int]]:
        """The best tag sequence of each sentence (Viterbi), as long as the sentence."""
        emissions, mask = (tensor.cpu() for tensor in prepared(emissions, mask))
        tags = viterbi(self.legal_moves().to("cpu", emissions.dtype), halves(framed(emissions, mask)))
        return [row[:length] for row, length in zip(tags, mask.sum(1).tolist(), strict=True)]

    @torch.no_grad()
    def k_best(self, emissions: Tensor, mask: Tensor | None = None, k: int = 1) -> list[list[Path]]:
        """The k best tag sequences of each sentence, best first; fewer where no more are possible.

        Raises:
            ValueError: k is less than one.
        """
        if k < 1:
            raise ValueError(f"k is {k}, but at least one sequence must be asked for")
        emissions, mask = prepared(emissions, mask)
        moves = self.moves()
        log_z, lengths = self.log_partition(moves, emissions, mask).tolist(), mask.sum(1).tolist()
        words = framed(emissions.to(moves.dtype), mask)
        tags, scores = best_walks(self.legal_moves().to(moves.dtype), words, k)
        return [
            [
                Path(row[:length], min(0.0, s - total))
                for row, s in zip(rows, found, strict=True)
                if s > IMPOSSIBLE / 2
            ]
            for rows, found, length, total in zip(tags, scores, lengths, log_z, strict=True)
        ]

    @torch.no_grad()
    def path_log_probability(
        self, lattice: Lattice, emissions: Tensor, sentence: int, start: int, tags: Sequence[int]
    ) -> float:
        """log probability that words `start`, `start` + 1, … of a sentence have exactly these tags."""
        transitions = self.scores()[0]
        score = lattice.alpha[sentence, start, tags[0]]
        for offset, (before, tag) in enumerate(zip(tags[:-1], tags[1:], strict=True), 1):
            score = score + transitions[before, tag] + emissions[sentence, start + offset, tag]
        score = score + lattice.beta[sentence, start + len(tags) - 1, tags[-1]]
        return min(0.0, float(score - lattice.log_z[sentence]))


def path_score(moves: Tensor, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
    """Unnormalised log score of one tag sequence a sentence, (B,)."""
    outside = len(moves) - 1
    each = emissions.gather(2, tags.masked_fill(~mask, 0)[:, :, None]).squeeze(2).to(moves.dtype)
    walk = pad(tags.masked_fill(~mask, outside), (1, 1), value=outside)
    return each.masked_fill(~mask, 0).sum(1) + moves[walk[:, :-1], walk[:, 1:]].sum(1)


def square(transitions: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
    """Transitions (K, K) with outside as one more tag, from which sentences start and where they end."""
    return torch.cat([torch.cat([transitions, ends[:, None]], dim=1), pad(starts, (0, 1))[None]])


def framed(emissions: Tensor, mask: Tensor) -> Tensor:
    """Emissions (B, T, K + 1), T even and not zero, by which words are never outside and padding always is."""
    more = max(emissions.shape[1] % 2, 2 - emissions.shape[1])
    emissions, mask = (pad(emissions, (0, 0, 0, more)), pad(mask, (0, more))) if more else (emissions, mask)
    words = emissions.masked_fill(~mask[:, :, None], IMPOSSIBLE)
    return torch.cat([words, torch.where(mask, IMPOSSIBLE, 0.0).to(words.dtype)[:, :, None]], dim=2)


def halves(words: Tensor) -> Tensor:
    """Both halves of each sentence (B, 2H, S) towards its middle, as chains (2, H, B, S)."""
    left, right = words.transpose(0, 1).chunk(2)
    return torch.stack([left, right.flip(0)])


def spread(emissions: Tensor, mask: Tensor) -> float:
    """The difference between the largest and the smallest emission of all words, zero included."""
    if not emissions.numel():
        return 0.0
    least, most = emissions.detach().masked_fill(~mask[:, :, None], 0).aminmax()
    return float(most - least)


def mixing(
    follow: Sequence[Sequence[bool]] | None, start: Sequence[bool] | None, end: Sequence[bool] | None, tags: int
) -> float:
    """The number of moves by which any tag can be reached from any tag.

    It is infinite if there is none below nine, or if sentences of some length have no possible tags at all.
    """
    may_follow = np.ones((tags, tags), bool) if follow is None else np.array(follow, bool)
    may_end = np.ones(tags, bool) if end is None else np.array(end, bool)
    here = np.ones(tags, bool) if start is None else np.array(start, bool)
    reach = np.eye(tags, dtype=bool)
    for moves in range(1, 9):
        if not (here & may_end).any():
            break
        here, reach = here @ may_follow, reach @ may_follow
        if reach.all():
            return moves
    return math.inf


def penalty(allowed: Sequence[bool] | Sequence[Sequence[bool]] | None, shape: tuple[int, ...]) -> Tensor:
    if allowed is None:
        return torch.zeros(shape)
    return torch.where(torch.tensor(allowed).reshape(shape), 0.0, FORBIDDEN)


def prepared(emissions: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Emissions in full precision, and the mask, all true by default.

    Raises:
        ValueError: the mask has a gap, which would join words that are no neighbours.
    """
    if mask is None:
        mask = torch.ones(emissions.shape[:2], dtype=torch.bool, device=emissions.device)
    mask = mask.bool()
    if bool((mask[:, 1:] & ~mask[:, :-1]).any()):
        raise ValueError("a CRF mask must be true for a sentence's words and false only after its end")
    return full(emissions), mask


def full(tensor: Tensor) -> Tensor:
    """At least fp32: half precision sums of many scores lose the differences that decide."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()

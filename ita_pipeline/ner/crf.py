"""A linear-chain conditional random field (Lafferty et al. 2001), summed over in double precision.

Its loops over words are in `crf_kernels`. On a CPU they multiply probabilities that are scaled at each word, if
that stays in the range of a float. Otherwise, and on other devices, they add logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ita_pipeline.ner.crf_kernels import (
    IMPOSSIBLE,
    ScaledScan,
    k_best_paths,
    largest_magnitude,
    log_scan,
    score_range,
    sentence_lengths,
    viterbi,
)
from ita_pipeline.ner.crf_likelihood import ScaledLikelihood, as_arrays, full_precision

FORBIDDEN = -1e4

# The score of impossible transitions in sums of logarithms, which costs the other scores few digits.
NEVER = -1e12

# How far logarithms may differ in double precision, and be from zero in single precision.
RANGE, SINGLE_RANGE = 566.0, 80.0


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
class TagPath:
    """A tag sequence of a sentence and the logarithm of its probability."""

    tags: list[int]
    log_probability: float


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
        self.transition_penalty: Tensor
        self.start_penalty: Tensor
        self.end_penalty: Tensor
        self.register_buffer("transition_penalty", build_penalty(may_follow, (num_tags, num_tags)))
        self.register_buffer("start_penalty", build_penalty(may_start, (num_tags,)))
        self.register_buffer("end_penalty", build_penalty(may_end, (num_tags,)))
        self.mixing_steps = count_mixing_steps(may_follow, may_start, may_end, num_tags)

    def scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """Transition, start and end scores in fp32, with penalties for the impossible ones."""
        return (
            full_precision(self.transitions) + self.transition_penalty,
            full_precision(self.starts) + self.start_penalty,
            full_precision(self.ends) + self.end_penalty,
        )

    def pass_scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """The constrained scores in the precision of forward and backward passes."""
        precision = torch.float32 if self.transitions.device.type == "mps" else torch.float64
        transitions, starts, ends = (score.to(precision) for score in self.constrained_scores(NEVER))
        return transitions, starts, ends

    def constrained_scores(self, impossible: float = IMPOSSIBLE) -> tuple[Tensor, Tensor, Tensor]:
        """The scores, so low for impossible transitions that no emission compensates for them."""
        penalties = self.transition_penalty, self.start_penalty, self.end_penalty
        pairs = zip(self.scores(), penalties, strict=True)
        transitions, starts, ends = (score.masked_fill(penalty < 0, impossible) for score, penalty in pairs)
        return transitions, starts, ends

    def log_likelihood(
        self, emissions: Tensor, tags: Tensor, mask: Tensor | None = None, lattice: Lattice | None = None
    ) -> Tensor:
        """log p(tags | emissions) of each sentence, (B,), from emissions (B, L, K) and tags (B, L).

        Pass the `lattice` of the same emissions, if it is known, to save another pass over them.
        """
        emissions, mask, lengths = prepare_inputs(emissions, mask)
        width = math.inf if lattice else emission_range(emissions, lengths)
        if self.can_use_probabilities(width):
            parameters = self.transitions, self.starts, self.ends
            penalties = self.transition_penalty, self.start_penalty, self.end_penalty
            single, learn = width < SINGLE_RANGE, torch.is_grad_enabled()
            return ScaledLikelihood.apply(emissions, *parameters, penalties, tags, lengths, single, learn)
        log_z = self.log_partition(emissions, mask) if lattice is None else lattice.log_z
        return (score_paths(self.pass_scores(), emissions, tags, mask) - log_z).to(emissions.dtype)

    def marginals(self, emissions: Tensor, mask: Tensor | None = None) -> Tensor:
        """p(tag | emissions) of each word, (B, L, K); zero past a sentence's end."""
        emissions, mask, _ = prepare_inputs(emissions, mask)
        # The exponential of padding may overflow, which would spoil the gradient, so it is masked first.
        log_marginals = self.lattice(emissions, mask).log_marginals.masked_fill(~mask[:, :, None], -math.inf)
        return log_marginals.exp().to(emissions.dtype)

    def lattice(self, emissions: Tensor, mask: Tensor | None = None) -> Lattice:
        """Forward and backward scores, differentiable once."""
        emissions, mask, lengths = prepare_inputs(emissions, mask)
        emissions = without_padding(emissions, mask)
        transitions, starts, ends = self.pass_scores()
        if self.can_use_probabilities(emission_range(emissions, lengths)):
            before = ScaledScan.apply(emissions, transitions, starts, lengths, False)
            beta = ScaledScan.apply(emissions, transitions.T, ends, lengths, True)
        else:
            possible = emissions.clamp_min(IMPOSSIBLE).to(transitions.dtype)
            before = log_scan(possible, transitions, starts, mask)
            beta = log_scan(possible.flip(1), transitions.T, ends, mask.flip(1)).flip(1)
        alpha = before + emissions
        return Lattice(alpha, beta, sum_paths(alpha, ends, mask))

    def log_partition(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """The log-partition of each sentence, (B,), by logarithms."""
        transitions, starts, ends = self.pass_scores()
        possible = without_padding(emissions, mask).clamp_min(IMPOSSIBLE).to(transitions.dtype)
        return sum_paths(log_scan(possible, transitions, starts, mask) + possible, ends, mask)

    def can_use_probabilities(self, width: float) -> bool:
        """Whether products of probabilities stay in the range of a float, so that no logarithms are needed.

        Within `mixing_steps` words every tag gets a share of the best tag's probability, smaller by at most the
        range of all scores on the way; `width` is the range of the emissions.
        """
        if not math.isfinite(width):
            return False
        widest = 2 * largest_magnitude(*as_arrays(self.transitions, self.starts, self.ends))
        return (self.mixing_steps + 2) * (width + widest + math.log(self.num_tags + 1)) < RANGE

    @torch.no_grad()
    def decode(self, emissions: Tensor, mask: Tensor | None = None) -> list[list[int]]:
        """The best tag sequence of each sentence (Viterbi), as long as the sentence."""
        emissions, mask, lengths = prepare_inputs(emissions, mask)
        moves, starts, ends = (score.to("cpu", emissions.dtype).numpy() for score in self.constrained_scores())
        tags = viterbi(emissions.cpu().contiguous().numpy(), moves, starts, ends, lengths).tolist()
        return [row[:length] for row, length in zip(tags, lengths.tolist(), strict=True)]

    @torch.no_grad()
    def k_best(self, emissions: Tensor, mask: Tensor | None = None, k: int = 1) -> list[list[TagPath]]:
        """The k best tag sequences of each sentence, best first; fewer where no more are possible.

        Raises:
            ValueError: k is less than one.
        """
        if k < 1:
            raise ValueError(f"k is {k}, but at least one sequence must be asked for")
        emissions, mask, lengths = prepare_inputs(emissions, mask)
        log_z = self.lattice(emissions, mask).log_z
        words = frame_emissions(emissions.to(log_z.dtype), mask)
        tags, scores = k_best_paths(frame_transitions(*self.constrained_scores()).to(words.dtype), words, k)
        return [
            [
                TagPath(row[:length], min(0.0, s - total))
                for row, s in zip(rows, totals, strict=True)
                if s > IMPOSSIBLE / 2
            ]
            for rows, totals, length, total in zip(tags, scores, lengths.tolist(), log_z.tolist(), strict=True)
        ]

    @torch.no_grad()
    def path_log_probability(
        self, lattice: Lattice, emissions: Tensor, sentence: int, start: int, tags: Sequence[int]
    ) -> float:
        """The log-probability that words `start`, `start` + 1, … of a sentence have exactly these tags."""
        transitions = self.scores()[0]
        score = lattice.alpha[sentence, start, tags[0]]
        for offset, (before, tag) in enumerate(zip(tags[:-1], tags[1:], strict=True), 1):
            score = score + transitions[before, tag] + emissions[sentence, start + offset, tag]
        score = score + lattice.beta[sentence, start + len(tags) - 1, tags[-1]]
        return min(0.0, float(score - lattice.log_z[sentence]))


def score_paths(moves: tuple[Tensor, Tensor, Tensor], emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
    """The unnormalized log score of one tag sequence per sentence, (B,)."""
    every = frame_transitions(*moves)
    outside = len(every) - 1
    each = emissions.gather(2, tags.masked_fill(~mask, 0)[:, :, None]).squeeze(2).to(every.dtype)
    walk = pad(tags.masked_fill(~mask, outside), (1, 1), value=outside)
    steps = every.take(walk[:, :-1] * len(every) + walk[:, 1:])
    return each.masked_fill(~mask, 0).sum(1) + steps.sum(1)


def sum_paths(alpha: Tensor, ends: Tensor, mask: Tensor) -> Tensor:
    """The log-partition (B,) from the forward scores (B, L, K); 0 without words."""
    if not alpha.shape[1]:
        return alpha.new_zeros(len(alpha))
    last = (mask.sum(1) - 1).clamp_min(0)
    log_z = torch.logsumexp(alpha[torch.arange(len(alpha), device=alpha.device), last] + ends, dim=1)
    return log_z.masked_fill(~mask.any(1), 0)


def frame_transitions(transitions: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
    """Transitions (K + 1, K + 1) with one more tag, outside, from which sentences start and in which they end."""
    return torch.cat([torch.cat([transitions, ends[:, None]], dim=1), pad(starts, (0, 1))[None]])


def frame_emissions(emissions: Tensor, mask: Tensor) -> Tensor:
    """Emissions (B, L + 1, K + 1) that force padding, and no word, to be outside."""
    emissions, mask = pad(emissions, (0, 0, 0, 1)), pad(mask, (0, 1))
    words = emissions.masked_fill(~mask[:, :, None], IMPOSSIBLE)
    return torch.cat([words, torch.where(mask, IMPOSSIBLE, 0.0).to(words.dtype)[:, :, None]], dim=2)


def emission_range(emissions: Tensor, lengths: np.ndarray) -> float:
    """The range of the emissions of all words, with zero; infinite on other devices than a CPU."""
    if emissions.device.type != "cpu" or not emissions.numel():
        return math.inf
    return score_range(emissions.detach().contiguous().numpy(), lengths)


def count_mixing_steps(
    follow: Sequence[Sequence[bool]] | None, start: Sequence[bool] | None, end: Sequence[bool] | None, tags: int
) -> float:
    """The number of transitions by which any tag can be reached from any tag.

    It is infinite if it is above eight, or if sentences of some length have no possible tags.
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


def build_penalty(allowed: Sequence[bool] | Sequence[Sequence[bool]] | None, shape: tuple[int, ...]) -> Tensor:
    """Zero for what is allowed, `FORBIDDEN` for the rest."""
    if allowed is None:
        return torch.zeros(shape)
    return torch.where(torch.tensor(allowed).reshape(shape), 0.0, FORBIDDEN)


def prepare_inputs(emissions: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, np.ndarray]:
    """Emissions in full precision, the mask, all true by default, and the number of words of each sentence, (B,).

    Raises:
        ValueError: the mask has a gap, which would join words that are not adjacent.
    """
    if mask is None:
        mask = torch.ones(emissions.shape[:2], dtype=torch.bool, device=emissions.device)
    mask = mask.bool()
    lengths = sentence_lengths(mask.cpu().contiguous().numpy())
    if lengths is None:
        raise ValueError("a CRF mask must be true for a sentence's words and false only after its end")
    return full_precision(emissions), mask, lengths


def without_padding(emissions: Tensor, mask: Tensor) -> Tensor:
    """Emissions (B, L, K) with zeros past each sentence's end, where NaN would spoil the gradient."""
    return emissions.masked_fill(~mask[:, :, None], 0)

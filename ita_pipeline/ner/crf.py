"""A linear-chain conditional random field (Lafferty et al. 2001), in log space and full precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

FORBIDDEN = -1e4


@dataclass(frozen=True)
class Lattice:
    """Both passes of forward–backward over a batch.

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

    def scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """Transition, start and end scores with the impossible ones pushed down, in fp32."""
        return (
            full(self.transitions) + self.transition_penalty,
            full(self.starts) + self.start_penalty,
            full(self.ends) + self.end_penalty,
        )

    def log_likelihood(self, emissions: Tensor, tags: Tensor, mask: Tensor | None = None) -> Tensor:
        """log p(tags | emissions) of each sentence, (B,), from emissions (B, L, K) and tags (B, L)."""
        emissions, mask = prepared(emissions, mask)
        alpha = self.forward_scores(emissions, mask)
        return self.path_score(emissions, tags, mask) - self.log_partition(alpha, mask)

    def marginals(self, emissions: Tensor, mask: Tensor | None = None) -> Tensor:
        """p(tag | emissions) of each word, (B, L, K); zero past a sentence's end."""
        emissions, mask = prepared(emissions, mask)
        return self.lattice(emissions, mask).log_marginals.exp() * mask[:, :, None]

    def lattice(self, emissions: Tensor, mask: Tensor | None = None) -> Lattice:
        """Forward and backward scores, differentiable."""
        emissions, mask = prepared(emissions, mask)
        alpha = self.forward_scores(emissions, mask)
        return Lattice(alpha, self.backward_scores(emissions, mask), self.log_partition(alpha, mask))

    def forward_scores(self, emissions: Tensor, mask: Tensor) -> Tensor:
        transitions, starts, _ = self.scores()
        alpha = starts + emissions[:, 0]
        steps = [alpha]
        for position in range(1, emissions.shape[1]):
            longer = torch.logsumexp(alpha[:, :, None] + transitions, dim=1) + emissions[:, position]
            alpha = torch.where(mask[:, position, None], longer, alpha)
            steps.append(alpha)
        return torch.stack(steps, dim=1)

    def backward_scores(self, emissions: Tensor, mask: Tensor) -> Tensor:
        transitions, _, ends = self.scores()
        beta = ends.expand(len(emissions), -1)
        steps = [beta]
        for position in range(emissions.shape[1] - 1, 0, -1):
            shorter = torch.logsumexp(transitions + (emissions[:, position] + beta)[:, None, :], dim=2)
            beta = torch.where(mask[:, position, None], shorter, beta)
            steps.append(beta)
        return torch.stack(steps[::-1], dim=1)

    def log_partition(self, alpha: Tensor, mask: Tensor) -> Tensor:
        total = torch.logsumexp(alpha[:, -1] + self.scores()[2], dim=1)
        return torch.where(mask[:, 0], total, torch.zeros_like(total))

    def path_score(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """Unnormalised log score of one tag sequence a sentence, (B,)."""
        transitions, starts, ends = self.scores()
        tags = tags.masked_fill(~mask, 0)
        each = emissions.gather(2, tags[:, :, None]).squeeze(2)
        moves = transitions[tags[:, :-1], tags[:, 1:]]
        last = tags.gather(1, (mask.sum(1, keepdim=True) - 1).clamp(min=0)).squeeze(1)
        score = starts[tags[:, 0]] + (each * mask).sum(1) + (moves * mask[:, 1:]).sum(1) + ends[last]
        return torch.where(mask[:, 0], score, torch.zeros_like(score))

    @torch.no_grad()
    def decode(self, emissions: Tensor, mask: Tensor | None = None) -> list[list[int]]:
        """The best tag sequence of each sentence (Viterbi), as long as the sentence."""
        emissions, mask = prepared(emissions, mask)
        transitions, starts, ends = self.scores()
        best = starts + emissions[:, 0]
        came_from = []
        for position in range(1, emissions.shape[1]):
            score, before = (best[:, :, None] + transitions).max(dim=1)
            best = torch.where(mask[:, position, None], score + emissions[:, position], best)
            came_from.append(before)
        last = (best + ends).argmax(dim=1).tolist()
        pointers = torch.stack(came_from, dim=1).tolist() if came_from else [[] for _ in last]
        lengths = mask.sum(1).tolist()
        return [trace(*sentence) for sentence in zip(last, pointers, lengths, strict=True)]

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


def trace(last: int, pointers: list[list[int]], length: int) -> list[int]:
    """Follow the pointers of one sentence back from its last tag."""
    if length == 0:
        return []
    tags = [last]
    for step in reversed(pointers[: length - 1]):
        tags.append(step[tags[-1]])
    return tags[::-1]

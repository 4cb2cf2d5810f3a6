"""Random CRFs, and their sums over all tag sequences by enumeration."""

from __future__ import annotations

import itertools
import math

import torch
from hypothesis import strategies as st
from torch import Tensor

from ita_pipeline.ner.crf import LinearChainCRF
from ita_pipeline.ner.tags import TagScheme

# The number of tags, the sentences' lengths, and a seed.
LATTICES = st.tuples(st.integers(1, 4), st.lists(st.integers(0, 5), min_size=1, max_size=3), st.integers(0, 10_000))


def random_crf(tags: int, seed: int, **allowed: object) -> LinearChainCRF:
    """A CRF in double precision with parameters from the seed."""
    torch.manual_seed(seed)
    crf = LinearChainCRF(tags, **allowed).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.normal_()
    return crf


def scheme_crf(scheme: TagScheme, seed: int) -> LinearChainCRF:
    """A random CRF in which sequences that the scheme does not allow are impossible."""
    return random_crf(
        len(scheme.labels),
        seed,
        may_follow=scheme.may_follow(),
        may_start=scheme.may_start(),
        may_end=scheme.may_end(),
    )


def word_masks(lengths: list[int], width: int | None = None) -> Tensor:
    """A mask (B, L) for sentences of these lengths, by default as wide as the longest, but at least one word."""
    return torch.arange(width or max(1, *lengths))[None] < torch.tensor(lengths)[:, None]


def path_scores(crf: LinearChainCRF, emissions: Tensor) -> dict[tuple[int, ...], float]:
    """Score of every tag sequence of one sentence, from its definition."""
    moves, table = crf.moves().tolist(), emissions.tolist()
    scores = {}
    for path in itertools.product(range(crf.num_tags), repeat=len(table)):
        score = moves[-1][path[0]] + moves[path[-1]][-1]
        score += sum(table[place][tag] for place, tag in enumerate(path))
        scores[path] = score + sum(moves[a][b] for a, b in itertools.pairwise(path))
    return scores


def log_sum(scores: list[float]) -> float:
    """The logarithm of the sum of exponentials."""
    most = max(scores)
    return most + math.log(sum(math.exp(score - most) for score in scores))

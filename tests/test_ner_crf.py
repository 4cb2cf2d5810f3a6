"""The CRF against brute force on small lattices."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ita_pipeline.ner.crf import LinearChainCRF
from ita_pipeline.ner.tags import TagScheme


def random_crf(tags: int, seed: int, **allowed: object) -> LinearChainCRF:
    torch.manual_seed(seed)
    crf = LinearChainCRF(tags, **allowed).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.normal_()
    return crf


def path_scores(crf: LinearChainCRF, emissions: Tensor) -> dict[tuple[int, ...], float]:
    """Score of every tag sequence of one sentence, from its definition."""
    transitions, starts, ends = (tensor.tolist() for tensor in crf.scores())
    table = emissions.tolist()
    found = {}
    for path in itertools.product(range(crf.num_tags), repeat=len(table)):
        score = starts[path[0]] + ends[path[-1]]
        score += sum(table[place][tag] for place, tag in enumerate(path))
        score += sum(transitions[a][b] for a, b in itertools.pairwise(path))
        found[path] = score
    return found


def log_sum(scores: list[float]) -> float:
    most = max(scores)
    return most + math.log(sum(math.exp(score - most) for score in scores))


LATTICE = st.tuples(st.integers(1, 4), st.lists(st.integers(0, 5), min_size=1, max_size=3), st.integers(0, 10_000))


@settings(max_examples=60, deadline=None)
@given(LATTICE)
def test_likelihood_marginals_and_best_path_equal_enumeration(lattice: tuple[int, list[int], int]):
    size, lengths, seed = lattice
    crf = random_crf(size, seed)
    width = max(1, *lengths)
    emissions = torch.randn(len(lengths), width, size, dtype=torch.float64)
    mask = torch.arange(width)[None] < torch.tensor(lengths)[:, None]
    tags = torch.randint(size, mask.shape)
    likelihood, marginals = crf.log_likelihood(emissions, tags, mask), crf.marginals(emissions, mask)
    decoded = crf.decode(emissions, mask)
    for row, length in enumerate(lengths):
        if length == 0:
            assert likelihood[row] == 0
            assert decoded[row] == []
            continue
        scores = path_scores(crf, emissions[row, :length])
        log_z = log_sum(list(scores.values()))
        assert likelihood[row].item() == pytest.approx(scores[tuple(tags[row, :length].tolist())] - log_z)
        assert scores[tuple(decoded[row])] == pytest.approx(max(scores.values()))
        for place, tag in itertools.product(range(length), range(size)):
            share = sum(math.exp(score - log_z) for path, score in scores.items() if path[place] == tag)
            assert marginals[row, place, tag].item() == pytest.approx(share)
        assert marginals[row, length:].abs().sum() == 0


def test_gradients_equal_finite_differences():
    crf = random_crf(3, 1)
    emissions = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    tags, mask = torch.randint(3, (2, 4)), torch.tensor([[True] * 4, [True, True, False, False]])
    assert torch.autograd.gradcheck(lambda e, *_: crf.log_likelihood(e, tags, mask), (emissions, *crf.parameters()))
    assert torch.autograd.gradcheck(lambda e, *_: crf.marginals(e, mask), (emissions, *crf.parameters()))


def test_padding_of_any_kind_changes_nothing():
    crf = random_crf(4, 2)
    emissions = torch.randn(1, 3, 4, dtype=torch.float64)
    tags, mask = torch.randint(4, (1, 3)), torch.ones(1, 3, dtype=torch.bool)
    padded = torch.cat([emissions, torch.full((1, 2, 4), 1e6, dtype=torch.float64)], dim=1)
    padded_tags = torch.cat([tags, torch.full((1, 2), -100)], dim=1)
    padded_mask = torch.cat([mask, torch.zeros(1, 2, dtype=torch.bool)], dim=1)
    assert crf.log_likelihood(padded, padded_tags, padded_mask) == crf.log_likelihood(emissions, tags, mask)
    assert crf.decode(padded, padded_mask) == crf.decode(emissions, mask)


def test_a_mask_with_a_gap_is_refused():
    with pytest.raises(ValueError, match="mask"):
        random_crf(2, 0).marginals(torch.zeros(1, 3, 2), torch.tensor([[True, False, True]]))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 8), st.integers(0, 10_000))
def test_impossible_sequences_are_never_decoded(types: int, length: int, seed: int):
    scheme = TagScheme(tuple("XYZ"[:types]))
    crf = random_crf(
        len(scheme.labels),
        seed,
        may_follow=scheme.may_follow(),
        may_start=scheme.may_start(),
        may_end=scheme.may_end(),
    )
    emissions = 20 * torch.randn(1, length, len(scheme.labels), dtype=torch.float64)
    (tags,) = crf.decode(emissions)
    assert scheme.encode(scheme.decode(tags), length) == tags


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.data())
def test_the_probability_of_a_stretch_of_tags_equals_enumeration(seed: int, data: st.DataObject):
    crf = random_crf(3, seed)
    emissions = torch.randn(1, 4, 3, dtype=torch.float64)
    start = data.draw(st.integers(0, 3))
    tags = data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=4 - start))
    scores = path_scores(crf, emissions[0])
    log_z = log_sum(list(scores.values()))
    share = sum(math.exp(s - log_z) for path, s in scores.items() if list(path[start : start + len(tags)]) == tags)
    found = crf.path_log_probability(crf.lattice(emissions), emissions, 0, start, tags)
    assert math.exp(found) == pytest.approx(share)


def test_half_precision_is_scored_in_full():
    crf = LinearChainCRF(3)
    emissions = torch.randn(1, 200, 3)
    tags = torch.randint(3, (1, 200))
    full = crf.log_likelihood(emissions.bfloat16().float(), tags)
    assert crf.log_likelihood(emissions.bfloat16(), tags).dtype == torch.float32
    assert crf.log_likelihood(emissions.bfloat16(), tags).item() == pytest.approx(full.item())

"""The CRF's likelihood, marginals and gradients, against enumeration and finite differences."""

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
from tests.support.lattices import LATTICES, log_sum, path_scores, random_crf, scheme_crf, word_masks


@settings(max_examples=60, deadline=None)
@given(LATTICES)
def test_likelihood_marginals_and_best_path_equal_enumeration(lattice: tuple[int, list[int], int]):
    size, lengths, seed = lattice
    crf = random_crf(size, seed)
    mask = word_masks(lengths)
    emissions = torch.randn(*mask.shape, size, dtype=torch.float64)
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


@pytest.mark.parametrize("padding", [math.nan, math.inf, -math.inf, 1e30])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_padding_of_any_kind_leaves_every_gradient_as_it_is(padding: float, scale: float):
    """Both ways of summing: products of probabilities at the first scale, logarithms at the second."""
    mask = torch.tensor([[True, True, True], [True, False, False], [False, False, False]])
    plain = torch.randn(3, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * scale

    def gradients(emissions: Tensor) -> list[Tensor]:
        crf, emissions = random_crf(4, 2), emissions.requires_grad_()
        (log_z, log_marginals), tags = crf.log_marginals(emissions, mask), torch.zeros(3, 3, dtype=torch.long)
        total = crf.log_likelihood(emissions, tags, mask).sum() + crf.marginals(emissions, mask)[..., 0].sum()
        total = total + crf.log_likelihood(emissions, tags, mask, log_z).sum() + log_marginals[mask].sum()
        return list(torch.autograd.grad(total, (emissions, *crf.parameters())))

    padded = gradients(plain.masked_fill(~mask[..., None], padding))
    for one, other in zip(padded, gradients(plain.clone()), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("scale", [1.0, 1e5])
def test_impossible_sequences_have_no_share_of_the_probability(scale: float):
    """Not even if emissions favor them by more than the mark of an impossible move in saved models."""
    scheme = TagScheme(("X",))
    follow, start, end = scheme.may_follow(), scheme.may_start(), scheme.may_end()
    crf = scheme_crf(scheme, 6)
    emissions = torch.zeros(1, 3, 5, dtype=torch.float64)
    emissions[0, :, 3] = scale
    emissions[0, 1, 2] = -scale
    possible = {
        path: score
        for path, score in path_scores(crf, emissions[0]).items()
        if start[path[0]] and end[path[-1]] and all(follow[a][b] for a, b in itertools.pairwise(path))
    }
    log_z = log_sum(list(possible.values()))
    best = max(possible, key=lambda path: possible[path])
    (likelihood,) = crf.log_likelihood(emissions, torch.tensor([best])).tolist()
    assert likelihood == pytest.approx(possible[best] - log_z, abs=1e-3)
    (paths,) = crf.k_best(emissions, k=200)
    assert {tuple(path.tags) for path in paths} == set(possible)
    assert sum(math.exp(path.log_probability) for path in paths) == pytest.approx(1, abs=1e-3)
    for tag in range(5):
        share = sum(math.exp(score - log_z) for path, score in possible.items() if path[1] == tag)
        assert crf.marginals(emissions)[0, 1, tag].item() == pytest.approx(share, abs=1e-3)


def test_a_mask_with_a_gap_is_refused():
    with pytest.raises(ValueError, match="mask"):
        random_crf(2, 0).marginals(torch.zeros(1, 3, 2), torch.tensor([[True, False, True]]))


def test_half_precision_is_scored_in_single_precision():
    crf = LinearChainCRF(3)
    emissions = torch.randn(1, 200, 3)
    tags = torch.randint(3, (1, 200))
    full = crf.log_likelihood(emissions.bfloat16().float(), tags)
    assert crf.log_likelihood(emissions.bfloat16(), tags).dtype == torch.float32
    assert crf.log_likelihood(emissions.bfloat16(), tags).item() == pytest.approx(full.item())


@pytest.mark.parametrize("types", [1, 2])
@pytest.mark.parametrize("lengths", [[1, 2], [5, 3, 0], [8]])
def test_gradients_with_forbidden_moves_equal_finite_differences(types: int, lengths: list[int]):
    scheme = TagScheme(tuple("XY"[:types]))
    size, crf, mask = len(scheme.labels), scheme_crf(scheme, types), word_masks(lengths)
    emissions = torch.randn(*mask.shape, size, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(*mask.shape, size, dtype=torch.float64)

    def tempered(emissions: Tensor, *_: Tensor) -> Tensor:
        shares = (crf.log_marginals(emissions, mask)[1] / 4).log_softmax(dim=2).exp()
        return (weights * shares)[mask].sum()

    def likelihood(emissions: Tensor, *_: Tensor) -> Tensor:
        return crf.log_likelihood(emissions, torch.zeros(mask.shape, dtype=torch.long), mask)

    inputs = (emissions, *crf.parameters())
    assert torch.autograd.gradcheck(likelihood, inputs)
    assert torch.autograd.gradcheck(tempered, inputs)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=3), st.floats(0, 25), st.integers(0, 10_000), st.booleans())
def test_probabilities_and_logarithms_give_the_same(lengths: list[int], width: float, seed: int, aligned: bool):
    crf, mask = random_crf(4, seed), word_masks(lengths)
    emissions = (width * (2 * torch.rand(*mask.shape, 4, dtype=torch.float64) - 1)).requires_grad_()
    weights, each = torch.randn(*mask.shape, 4, dtype=torch.float64), torch.randn(len(lengths)).double()

    def sums() -> list[Tensor]:
        tags = torch.zeros(mask.shape, dtype=torch.long)
        result = (each * crf.log_likelihood(emissions, tags, mask)).sum()
        if aligned:
            result = result + (weights * crf.log_marginals(emissions, mask)[1])[mask].sum()
        return [result, *torch.autograd.grad(result, (emissions, *crf.parameters()))]

    assert crf.can_multiply(emissions, crf.moves(), mask)
    products = sums()
    crf.mixing_steps = math.inf
    assert not crf.can_multiply(emissions, crf.moves(), mask)
    for one, other in zip(products, sums(), strict=True):
        assert torch.allclose(one, other, atol=1e-7)


def test_the_likelihood_from_a_known_partition_is_the_same_with_the_same_gradient():
    crf = random_crf(4, 3)
    emissions = torch.randn(2, 7, 4, dtype=torch.float64, requires_grad=True)
    tags, mask = torch.randint(4, (2, 7)), word_masks([7, 3])
    alone = crf.log_likelihood(emissions, tags, mask)
    shared = crf.log_likelihood(emissions, tags, mask, crf.log_marginals(emissions, mask)[0])
    assert torch.allclose(alone, shared)
    inputs = (emissions, *crf.parameters())
    for one, other in zip(
        torch.autograd.grad(alone.sum(), inputs), torch.autograd.grad(shared.sum(), inputs), strict=True
    ):
        assert torch.allclose(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4])
def test_long_sentences_with_extreme_scores_stay_finite(scale: float, dtype: torch.dtype):
    scheme = TagScheme(("X", "Y"))
    crf, mask = scheme_crf(scheme, 4).to(dtype), word_masks([500, 1, 0])
    emissions = (scale * (2 * torch.rand(3, 500, 9, dtype=dtype) - 1)).requires_grad_()
    marginals = crf.marginals(emissions, mask)
    assert marginals.dtype == dtype
    assert marginals.sum(2)[mask].detach().numpy() == pytest.approx(1.0, abs=1e-3)
    decoded = crf.decode(emissions, mask)
    assert [scheme.encode(scheme.decode(tags), len(tags)) for tags in decoded] == decoded
    gold = torch.zeros(mask.shape, dtype=torch.long)
    gold[0] = torch.tensor(decoded[0])
    likelihood = crf.log_likelihood(emissions, gold, mask)
    likelihood.sum().backward()
    assert likelihood.isfinite().all()
    assert (likelihood <= 1e-3).all()
    assert emissions.grad is not None
    assert emissions.grad.isfinite().all()


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_a_path_with_a_very_low_beginning_is_not_lost(scale: float):
    """Two tags that never meet: at both ends one is better, in the middle the other, by more than a float holds."""
    crf = LinearChainCRF(2, may_follow=[[True, False], [False, True]])
    emissions = scale * torch.tensor([[[1.0, 0.0], [0.0, 3.0], [1.0, 0.0]]])
    (likelihood,) = crf.log_likelihood(emissions, torch.ones(1, 3, dtype=torch.long)).tolist()
    assert likelihood == pytest.approx(-math.log1p(math.exp(-scale)), abs=1e-6)


@pytest.mark.parametrize("offset", [1e4, -1e4])
def test_a_score_that_all_tags_share_changes_nothing(offset: float):
    crf, tags = random_crf(4, 7), torch.tensor([[0, 3, 1], [2, 2, 0]])
    emissions = torch.randn(2, 3, 4, dtype=torch.float64)
    likelihood = crf.log_likelihood(emissions, tags)
    assert crf.log_likelihood(emissions + offset, tags).tolist() == pytest.approx(likelihood.tolist(), abs=1e-8)


def test_an_emission_of_minus_infinity_forbids_a_tag():
    crf = random_crf(3, 5)
    emissions = torch.randn(1, 4, 3, dtype=torch.float64)
    emissions[0, 2, 1] = -math.inf
    emissions.requires_grad_()
    marginals = crf.marginals(emissions)
    assert marginals[0, 2, 1] == 0
    assert marginals.sum(2)[0].tolist() == pytest.approx([1] * 4)
    (tags,) = crf.decode(emissions)
    assert tags[2] != 1
    crf.log_likelihood(emissions, torch.tensor([tags])).sum().backward()
    assert emissions.grad is not None
    assert emissions.grad.isfinite().all()


def test_autocast_changes_nothing():
    crf = LinearChainCRF(5)
    emissions, tags = torch.randn(2, 40, 5), torch.randint(5, (2, 40))
    plain = crf.log_likelihood(emissions, tags)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(crf.log_likelihood(emissions, tags), plain)


def test_any_tag_of_the_scheme_is_three_moves_from_any_other():
    scheme = TagScheme(("X", "Y"))
    crf = LinearChainCRF(9, scheme.may_follow(), scheme.may_start(), scheme.may_end())
    assert (crf.mixing_steps, LinearChainCRF(9).mixing_steps) == (3, 1)
    assert LinearChainCRF(2, may_follow=[[True, False], [False, True]]).mixing_steps == math.inf


def values_and_gradients(
    crf: LinearChainCRF, emissions: Tensor, tags: Tensor, mask: Tensor, each: Tensor
) -> list[Tensor]:
    likelihood = crf.log_likelihood(emissions, tags, mask)
    return [likelihood, *torch.autograd.grad((each * likelihood).sum(), (emissions, *crf.parameters()))]


@pytest.mark.parametrize("size", [1, 3, 4, 5, 8, 17])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 25.0, 60.0])
def test_weighted_sentences_have_the_gradients_of_logarithms(size: int, dtype: torch.dtype, scale: float):
    torch.manual_seed(size)
    crf = LinearChainCRF(size).to(dtype)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.normal_()
    mask = word_masks([140, 0, 1, 2, 33])
    emissions = (scale * (2 * torch.rand(*mask.shape, size, dtype=dtype) - 1)).requires_grad_()
    tags, each = torch.randint(size, mask.shape), torch.randn(len(mask), dtype=dtype)
    assert crf.can_multiply(emissions, crf.moves(), mask)
    products = values_and_gradients(crf, emissions, tags, mask, each)
    crf.mixing_steps = math.inf
    near = 1e-9 if dtype == torch.float64 else 2e-4
    for one, other in zip(products, values_and_gradients(crf, emissions, tags, mask, each), strict=True):
        assert one.dtype == dtype
        assert torch.allclose(one, other, rtol=near, atol=near)


def test_padding_with_any_tags_has_no_gradient():
    crf, mask = LinearChainCRF(3), torch.tensor([[True, False, False]])
    emissions = torch.tensor([[[1.0, 2.0, 3.0], [math.inf] * 3, [math.nan] * 3]], requires_grad=True)
    likelihood = crf.log_likelihood(emissions, torch.tensor([[2, -100, 7]]), mask)
    likelihood.sum().backward()
    assert likelihood.item() == pytest.approx(3 - math.log(math.e + math.e**2 + math.e**3))
    assert emissions.grad is not None
    assert emissions.grad[0, 1:].abs().sum() == 0


def test_gradients_can_be_computed_twice_or_not_at_all():
    crf = LinearChainCRF(3)
    emissions, tags = torch.randn(2, 5, 3, requires_grad=True), torch.randint(3, (2, 5))
    likelihood = crf.log_likelihood(emissions, tags)
    once, twice = (torch.autograd.grad(likelihood.sum(), emissions, retain_graph=True) for _ in range(2))
    assert torch.equal(once[0], twice[0])
    with torch.no_grad():
        assert torch.equal(crf.log_likelihood(emissions, tags), likelihood)


@pytest.mark.parametrize("tag", [-1, 3])
def test_an_unknown_tag_is_refused(tag: int):
    with pytest.raises(IndexError, match="tag"):
        LinearChainCRF(3).log_likelihood(torch.zeros(1, 2, 3), torch.tensor([[0, tag]]))

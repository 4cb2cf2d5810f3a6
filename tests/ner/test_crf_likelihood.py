"""The likelihood in one go against the sums of logarithms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ita_pipeline.ner.crf import LinearChainCRF


def learned(crf: LinearChainCRF, emissions: Tensor, tags: Tensor, mask: Tensor, each: Tensor) -> list[Tensor]:
    likelihood = crf.log_likelihood(emissions, tags, mask)
    return [likelihood, *torch.autograd.grad((each * likelihood).sum(), (emissions, *crf.parameters()))]


@pytest.mark.parametrize("size", [1, 3, 4, 5, 8, 17])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 25.0, 60.0])
def test_sentences_that_count_differently_have_the_gradients_of_logarithms(
    size: int, dtype: torch.dtype, scale: float
):
    torch.manual_seed(size)
    crf = LinearChainCRF(size).to(dtype)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.normal_()
    mask = torch.arange(140)[None] < torch.tensor([140, 0, 1, 2, 33])[:, None]
    emissions = (scale * (2 * torch.rand(*mask.shape, size, dtype=dtype) - 1)).requires_grad_()
    tags, each = torch.randint(size, mask.shape), torch.randn(len(mask), dtype=dtype)
    assert crf.log_likelihood(emissions, tags, mask).grad_fn.name() == "ScaledLikelihoodBackward"  # type: ignore[union-attr]
    products = learned(crf, emissions, tags, mask, each)
    crf.mixing_steps = math.inf
    near = 1e-9 if dtype == torch.float64 else 2e-4
    for one, other in zip(products, learned(crf, emissions, tags, mask, each), strict=True):
        assert one.dtype == dtype
        assert torch.allclose(one, other, rtol=near, atol=near)


def test_the_padding_may_be_anything_and_has_no_gradient():
    crf, mask = LinearChainCRF(3), torch.tensor([[True, False, False]])
    emissions = torch.tensor([[[1.0, 2.0, 3.0], [math.inf] * 3, [math.nan] * 3]], requires_grad=True)
    likelihood = crf.log_likelihood(emissions, torch.tensor([[2, -100, 7]]), mask)
    likelihood.sum().backward()
    assert likelihood.item() == pytest.approx(3 - math.log(math.e + math.e**2 + math.e**3))
    assert emissions.grad is not None
    assert emissions.grad[0, 1:].abs().sum() == 0


def test_gradients_may_be_asked_for_twice_and_need_not_be():
    crf = LinearChainCRF(3)
    emissions, tags = torch.randn(2, 5, 3, requires_grad=True), torch.randint(3, (2, 5))
    likelihood = crf.log_likelihood(emissions, tags)
    once, twice = (torch.autograd.grad(likelihood.sum(), emissions, retain_graph=True) for _ in range(2))
    assert torch.equal(once[0], twice[0])
    with torch.no_grad():
        assert torch.equal(crf.log_likelihood(emissions, tags), likelihood)


@pytest.mark.parametrize("tag", [-1, 3])
def test_a_tag_that_there_is_not_is_refused(tag: int):
    with pytest.raises(IndexError, match="tag"):
        LinearChainCRF(3).log_likelihood(torch.zeros(1, 2, 3), torch.tensor([[0, tag]]))

"""The CRF against brute force on small lattices."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ita_pipeline.ner.crf import FORBIDDEN, LinearChainCRF, emission_range
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


@pytest.mark.parametrize("padding", [math.nan, math.inf, -math.inf, 1e30])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_padding_of_any_kind_leaves_every_gradient_as_it_is(padding: float, scale: float):
    """Both ways of summing: products of probabilities at the first scale, logarithms at the second."""
    mask = torch.tensor([[True, True, True], [True, False, False], [False, False, False]])
    plain = torch.randn(3, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * scale

    def gradients(emissions: Tensor) -> list[Tensor]:
        crf, emissions = random_crf(4, 2), emissions.requires_grad_()
        lattice, tags = crf.lattice(emissions, mask), torch.zeros(3, 3, dtype=torch.long)
        found = crf.log_likelihood(emissions, tags, mask).sum() + crf.marginals(emissions, mask)[..., 0].sum()
        found = found + crf.log_likelihood(emissions, tags, mask, lattice).sum() + lattice.log_marginals[mask].sum()
        return list(torch.autograd.grad(found, (emissions, *crf.parameters())))

    padded = gradients(plain.masked_fill(~mask[..., None], padding))
    for one, other in zip(padded, gradients(plain.clone()), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("scale", [1.0, 1e5])
def test_impossible_sequences_have_no_share_of_the_probability(scale: float):
    """Emissions that speak for them by more than any penalty for each of their moves."""
    scheme = TagScheme(("X",))
    follow, start, end = scheme.may_follow(), scheme.may_start(), scheme.may_end()
    crf = random_crf(5, 6, may_follow=follow, may_start=start, may_end=end)
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
    (found,) = crf.log_likelihood(emissions, torch.tensor([best])).tolist()
    assert found == pytest.approx(possible[best] - log_z, abs=1e-3)
    (paths,) = crf.k_best(emissions, k=200)
    assert {tuple(path.tags) for path in paths} == set(possible)
    assert sum(math.exp(path.log_probability) for path in paths) == pytest.approx(1, abs=1e-3)
    for tag in range(5):
        share = sum(math.exp(score - log_z) for path, score in possible.items() if path[1] == tag)
        assert crf.marginals(emissions)[0, 1, tag].item() == pytest.approx(share, abs=1e-3)


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


@settings(max_examples=60, deadline=None)
@given(LATTICE, st.integers(1, 7), st.booleans())
def test_the_k_best_sequences_equal_enumeration(lattice: tuple[int, list[int], int], k: int, constrained: bool):
    size, lengths, seed = lattice
    allowed = {"may_follow": [[a <= b for b in range(size)] for a in range(size)]} if constrained else {}
    crf = random_crf(size, seed, **allowed)
    emissions = torch.randn(len(lengths), max(1, *lengths), size, dtype=torch.float64)
    mask = torch.arange(emissions.shape[1])[None] < torch.tensor(lengths)[:, None]
    for row, found in enumerate(crf.k_best(emissions, mask, k)):
        if lengths[row] == 0:
            assert [(path.tags, path.log_probability) for path in found] == [([], pytest.approx(0, abs=1e-12))]
            continue
        scores = path_scores(crf, emissions[row, : lengths[row]])
        possible = sorted((score for score in scores.values() if score > FORBIDDEN / 2), reverse=True)[:k]
        log_z = log_sum(list(scores.values()))
        assert [scores[tuple(path.tags)] for path in found] == pytest.approx(possible)
        assert [path.log_probability for path in found] == pytest.approx([score - log_z for score in possible])
        assert len({tuple(path.tags) for path in found}) == len(possible)
        assert found[0].tags == crf.decode(emissions, mask)[row]


def test_less_than_one_best_sequence_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        random_crf(2, 0).k_best(torch.zeros(1, 2, 2), k=0)


@pytest.mark.parametrize("types", [1, 2])
@pytest.mark.parametrize("lengths", [[1, 2], [5, 3, 0], [8]])
def test_gradients_with_forbidden_moves_equal_finite_differences(types: int, lengths: list[int]):
    scheme = TagScheme(tuple("XY"[:types]))
    size = len(scheme.labels)
    crf = random_crf(
        size, types, may_follow=scheme.may_follow(), may_start=scheme.may_start(), may_end=scheme.may_end()
    )
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    emissions = torch.randn(*mask.shape, size, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(*mask.shape, size, dtype=torch.float64)

    def tempered(emissions: Tensor, *_: Tensor) -> Tensor:
        shares = (crf.lattice(emissions, mask).log_marginals / 4).log_softmax(dim=2).exp()
        return (weights * shares)[mask].sum()

    def likelihood(emissions: Tensor, *_: Tensor) -> Tensor:
        return crf.log_likelihood(emissions, torch.zeros(mask.shape, dtype=torch.long), mask)

    inputs = (emissions, *crf.parameters())
    assert torch.autograd.gradcheck(likelihood, inputs)
    assert torch.autograd.gradcheck(tempered, inputs)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=3), st.floats(0, 25), st.integers(0, 10_000), st.booleans())
def test_probabilities_and_logarithms_give_the_same(lengths: list[int], width: float, seed: int, aligned: bool):
    crf = random_crf(4, seed)
    mask = torch.arange(max(1, *lengths))[None] < torch.tensor(lengths)[:, None]
    emissions = (width * (2 * torch.rand(*mask.shape, 4, dtype=torch.float64) - 1)).requires_grad_()
    weights, each = torch.randn(*mask.shape, 4, dtype=torch.float64), torch.randn(len(lengths)).double()

    def found() -> list[Tensor]:
        tags = torch.zeros(mask.shape, dtype=torch.long)
        lattice = crf.lattice(emissions, mask) if aligned else None
        result = (each * crf.log_likelihood(emissions, tags, mask, lattice)).sum()
        if lattice is not None:
            result = result + (weights * lattice.log_marginals)[mask].sum()
        return [result, *torch.autograd.grad(result, (emissions, *crf.parameters()))]

    width = emission_range(emissions, mask.sum(1).numpy())
    assert crf.can_use_probabilities(width)
    products = found()
    crf.mixing_steps = math.inf
    assert not crf.can_use_probabilities(width)
    for one, other in zip(products, found(), strict=True):
        assert torch.allclose(one, other, atol=1e-7)


def test_the_likelihood_from_a_lattice_is_the_same_with_the_same_gradient():
    crf = random_crf(4, 3)
    emissions = torch.randn(2, 7, 4, dtype=torch.float64, requires_grad=True)
    tags, mask = torch.randint(4, (2, 7)), torch.arange(7)[None] < torch.tensor([[7], [3]])
    alone = crf.log_likelihood(emissions, tags, mask)
    shared = crf.log_likelihood(emissions, tags, mask, crf.lattice(emissions, mask))
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
    crf = random_crf(
        9, 4, may_follow=scheme.may_follow(), may_start=scheme.may_start(), may_end=scheme.may_end()
    ).to(dtype)
    emissions = (scale * (2 * torch.rand(3, 500, 9, dtype=dtype) - 1)).requires_grad_()
    mask = torch.arange(500)[None] < torch.tensor([[500], [1], [0]])
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
def test_a_path_that_looks_hopeless_at_first_is_not_lost(scale: float):
    """Two tags that never meet: at both ends one is better, in the middle the other, by more than a float holds."""
    crf = LinearChainCRF(2, may_follow=[[True, False], [False, True]])
    emissions = scale * torch.tensor([[[1.0, 0.0], [0.0, 3.0], [1.0, 0.0]]])
    (found,) = crf.log_likelihood(emissions, torch.ones(1, 3, dtype=torch.long)).tolist()
    assert found == pytest.approx(-math.log1p(math.exp(-scale)), abs=1e-6)


def test_an_emission_of_minus_infinity_forbids_a_tag():
    crf = random_crf(3, 5)
    emissions = torch.randn(1, 4, 3, dtype=torch.float64)
    emissions[0, 2, 1] = -math.inf
    emissions.requires_grad_()
    marginals = crf.marginals(emissions)
    assert marginals[0, 2, 1] == 0
    assert marginals.sum(2)[0].tolist() == pytest.approx([1] * 4)
    (found,) = crf.decode(emissions)
    assert found[2] != 1
    crf.log_likelihood(emissions, torch.tensor([found])).sum().backward()
    assert emissions.grad is not None
    assert emissions.grad.isfinite().all()


def test_autocast_changes_nothing():
    crf = LinearChainCRF(5)
    emissions, tags = torch.randn(2, 40, 5), torch.randint(5, (2, 40))
    plain = crf.log_likelihood(emissions, tags)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(crf.log_likelihood(emissions, tags), plain)


def test_sentences_with_room_for_no_words_are_certain():
    crf = LinearChainCRF(3)
    emissions, mask = torch.zeros(2, 0, 3), torch.zeros(2, 0, dtype=torch.bool)
    assert crf.log_likelihood(emissions, torch.zeros(2, 0, dtype=torch.long), mask).tolist() == [0, 0]
    assert crf.decode(emissions, mask) == [[], []]


def test_any_tag_of_the_scheme_is_three_moves_from_any_other():
    scheme = TagScheme(("X", "Y"))
    crf = LinearChainCRF(9, scheme.may_follow(), scheme.may_start(), scheme.may_end())
    assert (crf.mixing_steps, LinearChainCRF(9).mixing_steps) == (3, 1)
    assert LinearChainCRF(2, may_follow=[[True, False], [False, True]]).mixing_steps == math.inf

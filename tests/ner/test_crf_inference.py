"""The lattice of prediction against enumeration, and against the sums with gradients."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ita_pipeline.ner.crf import LinearChainCRF
from ita_pipeline.ner.crf_inference import IMPOSSIBLE
from ita_pipeline.ner.tags import TagScheme
from tests.support.lattices import LATTICES, log_sum, path_scores, random_crf, scheme_crf, word_masks


@settings(max_examples=60, deadline=None)
@given(LATTICES, st.integers(1, 7), st.booleans())
def test_the_k_best_sequences_equal_enumeration(lattice: tuple[int, list[int], int], k: int, constrained: bool):
    size, lengths, seed = lattice
    allowed = {"may_follow": [[a <= b for b in range(size)] for a in range(size)]} if constrained else {}
    crf = random_crf(size, seed, **allowed)
    mask = word_masks(lengths)
    emissions = torch.randn(*mask.shape, size, dtype=torch.float64)
    for row, paths in enumerate(crf.k_best(emissions, mask, k)):
        if lengths[row] == 0:
            assert [(path.tags, path.log_probability) for path in paths] == [([], pytest.approx(0, abs=1e-12))]
            continue
        scores = path_scores(crf, emissions[row, : lengths[row]])
        possible = sorted((score for score in scores.values() if score > IMPOSSIBLE / 2), reverse=True)[:k]
        log_z = log_sum(list(scores.values()))
        assert [scores[tuple(path.tags)] for path in paths] == pytest.approx(possible)
        assert [path.log_probability for path in paths] == pytest.approx([score - log_z for score in possible])
        assert len({tuple(path.tags) for path in paths}) == len(possible)
        assert paths[0].tags == crf.decode(emissions, mask)[row]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 8), st.integers(0, 10_000))
def test_impossible_sequences_are_never_decoded(types: int, length: int, seed: int):
    scheme = TagScheme(tuple("XYZ"[:types]))
    crf = scheme_crf(scheme, seed)
    emissions = 20 * torch.randn(1, length, len(scheme.labels), dtype=torch.float64)
    (tags,) = crf.decode(emissions)
    assert scheme.encode(scheme.decode(tags), length) == tags


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.data())
def test_the_probability_of_consecutive_tags_equals_enumeration(seed: int, data: st.DataObject):
    crf = random_crf(3, seed)
    emissions = torch.randn(1, 4, 3, dtype=torch.float64)
    start = data.draw(st.integers(0, 3))
    tags = data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=4 - start))
    scores = path_scores(crf, emissions[0])
    log_z = log_sum(list(scores.values()))
    share = sum(math.exp(s - log_z) for path, s in scores.items() if list(path[start : start + len(tags)]) == tags)
    assert math.exp(crf.lattice(emissions).log_probability(0, start, tags)) == pytest.approx(share)


# Gaps between scores far beyond what a float can hold as a ratio, and ordinary ones.
SCORES = st.sampled_from([0.0, 0.5, -1.5, 700.0, -800.0, 3e3, -1e4, 1e4])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(SCORES, min_size=5, max_size=5), min_size=1, max_size=4), st.integers(0, 3), st.booleans())
def test_scores_with_huge_gaps_are_summed_as_by_enumeration(table: list[list[float]], seed: int, hard: bool):
    crf = scheme_crf(TagScheme(("X",)), seed) if hard else random_crf(5, seed)
    emissions = torch.tensor([table], dtype=torch.float64)
    scores = path_scores(crf, emissions[0])
    log_z, best = log_sum(list(scores.values())), max(scores, key=lambda path: scores[path])
    lattice = crf.lattice(emissions)
    assert lattice.log_partition[0] == pytest.approx(log_z, rel=1e-13, abs=1e-9)
    (found,) = lattice.best_paths()  # of several that are equally good, any
    assert scores[tuple(found)] == pytest.approx(scores[best], abs=1e-9)
    likelihood = crf.log_likelihood(emissions, torch.tensor([best])).item()
    assert likelihood == pytest.approx(scores[best] - log_z, abs=1e-8)
    assert lattice.log_probability(0, 0, best) == pytest.approx(likelihood, abs=1e-8)
    for word, tag in np.ndindex(len(table), 5):
        share = sum(math.exp(score - log_z) for path, score in scores.items() if path[word] == tag)
        assert math.exp(lattice.log_marginals[0, word, tag]) == pytest.approx(share, abs=1e-8)
        assert crf.marginals(emissions)[0, word, tag].item() == pytest.approx(share, abs=1e-8)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=4), st.sampled_from([1.0, 20.0, 1e4]), st.integers(0, 999))
def test_inference_and_training_agree(lengths: list[int], scale: float, seed: int):
    crf, mask = scheme_crf(TagScheme(("X", "Y")), seed), word_masks(lengths)
    emissions = scale * torch.randn(*mask.shape, 9, dtype=torch.float64)
    lattice, (log_z, log_marginals) = crf.lattice(emissions, mask), crf.log_marginals(emissions, mask)
    assert lattice.log_partition == pytest.approx(log_z.detach().numpy(), rel=1e-12, abs=1e-9)
    shares = log_marginals.detach()[mask].exp().numpy()
    assert np.exp(lattice.log_marginals[mask.numpy()]) == pytest.approx(shares, abs=1e-8)
    best = torch.zeros(mask.shape, dtype=torch.long)
    for row, tags in enumerate(lattice.best_paths()):
        best[row, : len(tags)] = torch.tensor(tags, dtype=torch.long)
    likelihood = crf.log_likelihood(emissions, best, mask).tolist()
    paths = [path[0].log_probability for path in lattice.k_best_paths(1)]
    assert paths == pytest.approx(likelihood, rel=1e-9, abs=1e-7)


def test_the_best_of_extreme_scores_in_single_precision_is_the_first_of_the_k_best():
    crf = scheme_crf(TagScheme(("X",)), 1).float()
    emissions = 1e4 * (2 * torch.rand(2000, 6, 5) - 1)
    assert crf.decode(emissions) == [paths[0].tags for paths in crf.k_best(emissions, k=1)]


def test_a_batch_of_only_empty_sentences_is_certain():
    crf, mask = LinearChainCRF(3), torch.zeros(2, 4, dtype=torch.bool)
    emissions = torch.full((2, 4, 3), math.nan, requires_grad=True)
    likelihood = crf.log_likelihood(emissions, torch.zeros(2, 4, dtype=torch.long), mask)
    (likelihood.sum() + crf.marginals(emissions, mask).sum()).backward()
    assert likelihood.tolist() == [0, 0]
    assert emissions.grad is not None
    assert not emissions.grad.any()
    assert crf.decode(emissions, mask) == [[], []]
    assert [[path.tags for path in paths] for paths in crf.k_best(emissions, mask, 2)] == [[[]], [[]]]
    assert crf.lattice(emissions, mask).log_partition.tolist() == [0, 0]


def test_a_batch_without_any_column_is_certain():
    crf = LinearChainCRF(3)
    emissions, mask = torch.zeros(2, 0, 3), torch.zeros(2, 0, dtype=torch.bool)
    assert crf.log_likelihood(emissions, torch.zeros(2, 0, dtype=torch.long), mask).tolist() == [0, 0]
    assert crf.decode(emissions, mask) == [[], []]


def test_fewer_than_one_best_sequence_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        random_crf(2, 0).k_best(torch.zeros(1, 2, 2), k=0)


def test_inference_does_not_load_torch():
    code = "import sys, ita_pipeline.ner.crf_inference; print('torch' in sys.modules)"
    command, root = [sys.executable, "-c", code], Path(__file__).parents[2]
    assert subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout == "False\n"

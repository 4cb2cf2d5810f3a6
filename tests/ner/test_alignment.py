"""Cross-view alignment, from its definition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ita_pipeline.ner.alignment import alignment_loss
from ita_pipeline.ner.config import ObjectiveConfig


def by_hand(student: torch.Tensor, teacher: torch.Tensor, lengths: list[int], temperature: float) -> list[float]:
    found = []
    for row, length in enumerate(lengths):
        total = 0.0
        for place in range(length):
            p = torch.softmax(student[row, place] / temperature, dim=0)
            q = torch.softmax(teacher[row, place] / temperature, dim=0)
            total += float((q * (q.log() - p.log())).sum())
        found.append(temperature**2 * total)
    return found


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=3), st.sampled_from([0.5, 1.0, 4.0]), st.integers(0, 999))
def test_it_is_the_divergence_of_the_tempered_marginals(lengths: list[int], temperature: float, seed: int):
    torch.manual_seed(seed)
    student, teacher = torch.randn(2, len(lengths), 4, 5, dtype=torch.float64)
    mask = torch.arange(4)[None] < torch.tensor(lengths)[:, None]
    found = alignment_loss(student, teacher, mask, temperature)
    assert found.tolist() == pytest.approx(by_hand(student, teacher, lengths, temperature))
    shifted = alignment_loss(student + 3, teacher - 7, mask, temperature)
    assert shifted.tolist() == pytest.approx(found.tolist())


def test_equal_views_cost_nothing_and_padding_never_does():
    same = torch.randn(1, 3, 4)
    mask = torch.tensor([[True, True, False]])
    assert alignment_loss(same, same, mask, 4.0).item() == pytest.approx(0, abs=1e-6)
    far = same.clone()
    far[0, 2] = float("inf")
    assert alignment_loss(same, far, mask, 4.0).item() == pytest.approx(0, abs=1e-6)


def test_no_gradient_reaches_the_teacher():
    student = torch.randn(1, 2, 3, requires_grad=True)
    teacher = torch.randn(1, 2, 3, requires_grad=True)
    alignment_loss(student, teacher, torch.ones(1, 2, dtype=torch.bool), 2.0).sum().backward()
    assert student.grad is not None
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_without_alignment_only_the_view_with_context_is_trained_on():
    found = ObjectiveConfig().without_alignment()
    assert (found.text, found.context, found.alignment) == (0, 1, 0)

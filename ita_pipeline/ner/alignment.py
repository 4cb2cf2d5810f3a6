"""The training objective of ITA: both views' likelihoods, and cross-view alignment between them.

Wang et al., NAACL 2022. The weights are configuration; the defaults are those of the reference code
(Alibaba-NLP/KB-NER at d4a4a7f, flair/trainers/finetune_trainer.py and flair/models/sequence_tagger_model.py),
which differ from the paper's 1 : 1 : 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def alignment_loss(student: Tensor, teacher: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """τ² · Σ over words of KL(teacher ‖ student), per sentence, (B,).

    Both are log-marginals (B, L, K), normalised or not, of the same words: `student` of T, `teacher` of I+T.
    Each is divided by the temperature and normalised again; no gradient reaches the teacher.
    """
    p = (student / temperature).log_softmax(dim=2)
    q = (teacher.detach() / temperature).log_softmax(dim=2)
    divergence = (q.exp() * (q - p)).sum(dim=2)
    return temperature**2 * divergence.masked_fill(~mask, 0).sum(dim=1)

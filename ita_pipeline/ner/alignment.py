"""The training objective of ITA: both views' likelihoods, and cross-view alignment between them.

Wang et al., NAACL 2022. The weights are configuration; the defaults are those of the reference code
(Alibaba-NLP/KB-NER at d4a4a7f, flair/trainers/finetune_trainer.py and flair/models/sequence_tagger_model.py),
which differ from the paper's 1 : 1 : 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from stages.base import Frozen

if TYPE_CHECKING:
    from torch import Tensor

Weight = Annotated[float, Field(ge=0)]


class ObjectiveConfig(Frozen):
    """`text` and `context` weigh the negative log-likelihoods of the views T and I+T, `alignment` the
    divergence between them; `temperature` divides the log-marginals (ITA: 4, 2, 4 on Twitter-15, -17, SNAP)."""

    text: Weight = 1.0
    context: Weight = 0.5
    alignment: Weight = 0.5
    temperature: Annotated[float, Field(gt=0)] = 4.0

    def without_alignment(self) -> ObjectiveConfig:
        """ITA's runs without cross-view alignment train on I+T alone."""
        return ObjectiveConfig(text=0.0, context=1.0, alignment=0.0, temperature=self.temperature)


def alignment_loss(student: Tensor, teacher: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """τ² · Σ over words of KL(teacher ‖ student), per sentence, (B,).

    Both are log-marginals (B, L, K), normalised or not, of the same words: `student` of T, `teacher` of I+T.
    Each is divided by the temperature and normalised again; no gradient reaches the teacher.
    """
    p = (student / temperature).log_softmax(dim=2)
    q = (teacher.detach() / temperature).log_softmax(dim=2)
    divergence = (q.exp() * (q - p)).sum(dim=2)
    return temperature**2 * divergence.masked_fill(~mask, 0).sum(dim=1)

"""The training history: scores of each epoch, the best epoch, and early stopping."""

from __future__ import annotations

from collections.abc import Sequence

from stages.base import Frozen


class EpochScore(Frozen):
    """One line of the training history. The loss and its terms are means over the epoch's posts.

    `alignment` is the divergence KL(I+T ‖ T), which is zero if both views agree.
    """

    epoch: int
    loss: float
    nll_text: float
    nll_context: float
    alignment: float
    text_f1: float
    context_f1: float

    @property
    def mean_f1(self) -> float:
        """The mean of both views' scores, by which the best epoch is chosen."""
        return (self.text_f1 + self.context_f1) / 2


def best_epoch(history: Sequence[EpochScore]) -> int:
    """Index of the epoch with the best mean of both views; of equal ones the latest, as in the reference code."""
    return max(range(len(history)), key=lambda index: (history[index].mean_f1, index))


def should_stop(history: Sequence[EpochScore], patience: int) -> bool:
    """Whether the best epoch is `patience` epochs old; never with a patience of 0.

    An epoch that equals the best one becomes the best one, so equal scores do not stop the training.
    """
    return bool(patience and history) and len(history) - 1 - best_epoch(history) >= patience

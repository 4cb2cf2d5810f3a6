"""Exact-match scores of mentions: span and type must both be right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Self

from ita_pipeline.corpus.posts import Span
from stages.base import Frozen


class Score(Frozen):
    """Precision, recall and F1 in 0..1; `support` counts gold mentions."""

    precision: float
    recall: float
    f1: float
    support: int

    @classmethod
    def of(cls, right: int, predicted: int, gold: int) -> Self:
        """Scores of nothing predicted, or nothing to find, are zero, as in conlleval and seqeval."""
        precision = right / predicted if predicted else 0.0
        recall = right / gold if gold else 0.0
        both = precision + recall
        f1 = 2 * precision * recall / both if both else 0.0
        return cls(precision=precision, recall=recall, f1=f1, support=gold)


class Scores(Frozen):
    """`micro` is the headline; `macro_f1` is the plain mean over the types that are in the gold mentions."""

    micro: Score
    types: dict[str, Score]
    macro_f1: float


def score(gold: Iterable[Sequence[Span]], predicted: Iterable[Sequence[Span]]) -> Scores:
    """Scores of predicted mentions against gold ones, sentence by sentence.

    Raises:
        ValueError: not as many sentences of the one as of the other.
    """
    right, guessed, wanted = Counter[str](), Counter[str](), Counter[str]()
    for truth, guess in zip(gold, predicted, strict=True):
        wanted.update(span.type for span in set(truth))
        guessed.update(span.type for span in set(guess))
        right.update(span.type for span in set(truth) & set(guess))
    types = {name: Score.of(right[name], guessed[name], wanted[name]) for name in sorted(wanted | guessed)}
    present = [found.f1 for name, found in types.items() if wanted[name]]
    return Scores(
        micro=Score.of(right.total(), guessed.total(), wanted.total()),
        types=types,
        macro_f1=sum(present) / len(present) if present else 0.0,
    )

"""Exact-match scores of mentions, span and type both right, and those of the epochs of a training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Self, TypeVar

from ita_pipeline.corpus.posts import Span
from ita_pipeline.ner.prediction import ViewPredictions
from ita_pipeline.ner.views import EncodedPost
from stages.base import Frozen

Group = TypeVar("Group", bound=Hashable)


class Score(Frozen):
    """Precision, recall and F1 in 0..1; `support` counts gold mentions."""

    precision: float
    recall: float
    f1: float
    support: int

    @classmethod
    def of(cls, right: int, predicted: int, gold: int) -> Self:
        """Scores from counts. Without predicted or gold mentions they are zero, as in conlleval and seqeval."""
        precision = right / predicted if predicted else 0.0
        recall = right / gold if gold else 0.0
        both = precision + recall
        f1 = 2 * precision * recall / both if both else 0.0
        return cls(precision=precision, recall=recall, f1=f1, support=gold)


class Scores(Frozen):
    """Micro-averaged scores, scores by type, and the mean F1 of the types that are in the gold mentions."""

    micro: Score
    types: dict[str, Score]
    macro_f1: float


def score(gold: Iterable[Sequence[Span]], predicted: Iterable[Sequence[Span]]) -> Scores:
    """Scores of predicted mentions, sentence by sentence.

    Raises:
        ValueError: the numbers of sentences differ.
    """
    gold, predicted = list(gold), list(predicted)
    types = dict(sorted(score_groups(gold, predicted, lambda _, span: span.type).items()))
    micro = score_groups(gold, predicted, lambda _, __: None)
    f1 = [scores.f1 for scores in types.values() if scores.support]
    macro_f1 = sum(f1) / len(f1) if f1 else 0.0
    return Scores(micro=micro.get(None, Score.of(0, 0, 0)), types=types, macro_f1=macro_f1)


def score_groups(
    gold: Iterable[Sequence[Span]], predicted: Iterable[Sequence[Span]], group: Callable[[int, Span], Group]
) -> dict[Group, Score]:
    """Scores of each group of mentions. `group` takes a sentence's index and a gold or predicted mention.

    Raises:
        ValueError: the numbers of sentences differ.
    """
    right, num_predicted, num_gold = Counter[Group](), Counter[Group](), Counter[Group]()
    for index, pair in enumerate(zip(gold, predicted, strict=True)):
        gold_spans, predicted_spans = map(set, pair)
        num_gold.update(group(index, span) for span in gold_spans)
        num_predicted.update(group(index, span) for span in predicted_spans)
        right.update(group(index, span) for span in gold_spans & predicted_spans)
    names = num_predicted | num_gold
    return {name: Score.of(right[name], num_predicted[name], num_gold[name]) for name in names}


def score_views(posts: Sequence[EncodedPost], predictions: ViewPredictions) -> tuple[Scores, Scores]:
    """Scores of T and of I+T."""
    gold: list[Sequence[Span]] = [post.post.gold or () for post in posts]
    views = (predictions.text, predictions.context)
    text, context = (score(gold, [[one.span for one in mentions] for mentions in view]) for view in views)
    return text, context


class EpochScore(Frozen):
    """One line of the training history.

    The `loss` is a mean over trained views, as the optimizer sees it; its terms are means over posts, without their
    weights. `alignment` is the divergence KL(I+T ‖ T), which is zero if both views agree.
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

"""Posts as the tagger reads them, in both views, and what it finds in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.ner.metrics.scores import Scores, score
from ita_pipeline.ner.prediction import Scored, tag_views
from ita_pipeline.ner.views import View, ViewEncoder

if TYPE_CHECKING:
    from ita_pipeline.ner.tagger import Tagger


@dataclass(frozen=True, slots=True)
class Example:
    """A post with both views; `context` is None where its picture said nothing."""

    post: Post
    text: View
    context: View | None

    @property
    def length(self) -> int:
        """Sub-tokens of both views, by which batches are grouped."""
        views = [self.text, *([self.context] if self.context else [])]
        return sum(len(row) for view in views for row in view.rows)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Mentions of every post in both views; where there is no context, I+T is T."""

    text: list[list[Scored]]
    context: list[list[Scored]]


def lay_out(posts: Iterable[tuple[Post, tuple[str, ...]]], encoder: ViewEncoder) -> list[Example]:
    """Both views of each post, given with the contexts of its picture."""
    return [
        Example(post, encoder.encode(post.words), encoder.encode(post.words, texts) if texts else None)
        for post, texts in posts
    ]


def evaluate(tagger: Tagger, examples: Sequence[Example], pad: int) -> Outcome:
    text = tag_views(tagger, [example.text for example in examples], pad)
    with_context = [index for index, example in enumerate(examples) if example.context is not None]
    views = [example.context for example in examples if example.context is not None]
    context = list(text)
    for index, mentions in zip(with_context, tag_views(tagger, views, pad), strict=True):
        context[index] = mentions
    return Outcome(text, context)


def both_scores(examples: Sequence[Example], outcome: Outcome) -> tuple[Scores, Scores]:
    """Scores of T and of I+T."""
    gold: list[Sequence[Span]] = [example.post.gold or () for example in examples]
    views = (outcome.text, outcome.context)
    text, context = (score(gold, [[m.span for m in found] for found in view]) for view in views)
    return text, context

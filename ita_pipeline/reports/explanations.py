"""Explanations as pages show them: the probabilities of mentions without each part of the contexts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ita_pipeline.core.progress import Notes, Progress
from ita_pipeline.core.text import format_count
from ita_pipeline.corpus.posts import Post
from ita_pipeline.extraction.contexts import PostContexts
from ita_pipeline.reports.posts import IT, ExplainedMention, PageExplanation, PagePart, ReportPost, T
from ita_pipeline.runs.explanation import Decode, Explanation, ExplanationInput, explain_posts
from ita_pipeline.runs.predictions import Mention
from stages.batching import batched

PROGRESS_NAME = "explain"

POSTS_PER_BATCH = 16

Place = Callable[[Mention], tuple[int, int]]
"""Returns the start and the end of a mention in the units of a page."""


def add_explanations(
    posts: Sequence[ReportPost],
    contexts: PostContexts,
    decode: Decode,
    notes: Notes,
    progress: Progress,
    min_confidence: float = 0.0,
) -> list[ReportPost]:
    """Explain the posts whose answer the contexts changed; the others are returned as they are.

    A post whose contexts in the cache lead to another answer than the run's is left out, with a note.
    """
    changed = [item for item in posts if item.spans(T) != item.spans(IT)]
    explained: dict[str, ReportPost] = {}
    progress.start(PROGRESS_NAME, len(changed))
    try:
        for batch in batched(changed, POSTS_PER_BATCH):
            inputs = [ExplanationInput(item.post, contexts.pieces(item.post)) for item in batch]
            explanations = explain_posts(inputs, contexts.config, decode, min_confidence)
            for item, explanation in zip(batch, explanations, strict=True):
                page = format_explanation(explanation, word_place(item.post))
                if _has_answer(page, item):
                    explained[item.anchor] = replace(item, explanation=page)
            progress.advance(PROGRESS_NAME, len(batch))
    finally:
        progress.finish()
    if len(explained) < len(changed):
        count = format_count(len(changed) - len(explained), "changed post")
        notes.add(f"{count} without an explanation: the contexts in the cache lead to another answer")
    return [explained.get(item.anchor, item) for item in posts]


def format_explanation(explanation: Explanation, place: Place) -> PageExplanation:
    """Return an explanation in the form of a page."""
    found = explanation.prediction.mentions
    mentions: list[ExplainedMention] = []
    for mention in explanation.mentions:
        start, end = place(mention)
        score, is_found = round(mention.score, 4), mention in found
        mentions.append(ExplainedMention(start=start, end=end, type=mention.type, score=score, found=is_found))
    parts: list[PagePart] = []
    for part in explanation.without:
        scores = tuple(round(score, 4) for score in part.scores)
        parts.append(PagePart(context=part.context, text=part.text, pieces=part.pieces, scores=scores))
    return PageExplanation(mentions=tuple(mentions), without=tuple(parts))


def character_place(mention: Mention) -> tuple[int, int]:
    """Return the start and the end of a mention in characters."""
    return mention.start, mention.end


def word_place(post: Post) -> Place:
    """Return what places a post's mentions in words."""
    starts = {start: word for word, (start, _) in enumerate(post.offsets)}
    ends = {end: word + 1 for word, (_, end) in enumerate(post.offsets)}
    return lambda mention: (starts[mention.start], ends[mention.end])


def _has_answer(page: PageExplanation, item: ReportPost) -> bool:
    """Whether an explanation has the mentions that the run found with all contexts."""
    return {mention.span for mention in page.mentions if mention.found} == item.spans(IT)

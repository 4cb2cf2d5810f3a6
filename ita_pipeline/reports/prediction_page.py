"""A page about predictions for posts without labels: the gallery, least certain posts first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ita_pipeline.corpus.posts import Post
from ita_pipeline.reports.cache_lookup import CacheLookup
from ita_pipeline.reports.explanations import add_explanations, word_place
from ita_pipeline.reports.posts import IT, ReportMention, ReportPost, T
from ita_pipeline.reports.writer import Report, ReportWriter
from ita_pipeline.runs.predictions import Mention, TaggingInput
from ita_pipeline.runs.predictor import Predictor


@dataclass(frozen=True, slots=True)
class PredictionReport(Report):
    """A page about predictions; `failed` are the posts whose contexts are incomplete, by id, and the reasons."""

    failed: Mapping[str, str]


def report_predictions(predictor: Predictor, posts: Sequence[Post], writer: ReportWriter) -> PredictionReport:
    """Find the mentions in posts in both views, and write a page about them.

    Raises:
        StageError: a stage cannot work at all.
        UsageError: a stage sends data to another machine without consent.
        OSError: the page cannot be written.
    """
    plan = predictor.plan(posts)
    contexts = predictor.make_contexts(plan, writer.progress)
    inputs = predictor.add_contexts([TaggingInput(post) for post in posts], contexts)
    text = predictor.ground_all(inputs, predictor.tag([(post, ()) for post in posts]))
    both = predictor.ground_all(inputs, predictor.tag([(item.post, item.contexts) for item in inputs]))
    items = [_make_post(*one, number) for number, one in enumerate(zip(posts, text, both, strict=True), 1)]
    if writer.options.explain:
        confidence = predictor.min_confidence
        items = add_explanations(items, contexts, predictor.decode, writer.notes, writer.progress, confidence)
    images = {image.path: image for image in plan.pictures.images if image.path is not None}
    unreadable = {file.path: file.reason for file in contexts.extraction.unreadable if file.path is not None}
    for note in predictor.notes:
        writer.notes.add(note)
    gallery = writer.make_gallery(items, CacheLookup(contexts, images, unreadable))
    record = predictor.record
    report = writer.write(f"Predictions of {record.dataset}, run {record.key[:8]}", gallery)
    failed = {item.post.id: item.failed for item in inputs if item.failed}
    return PredictionReport(report.page, report.pictures, report.shown, report.what, failed)


def _make_post(post: Post, text: Sequence[Mention], both: Sequence[Mention], number: int) -> ReportPost:
    place = word_place(post)

    def answer(mentions: Sequence[Mention]) -> tuple[ReportMention, ...]:
        return tuple(ReportMention.from_mention(mention, *place(mention)) for mention in mentions)

    answers = {T: answer(text), IT: answer(both)}
    is_changed = {mention.span for mention in answers[T]} != {mention.span for mention in answers[IT]}
    return ReportPost(post, "", number, answers, ("changed",) if is_changed else ())

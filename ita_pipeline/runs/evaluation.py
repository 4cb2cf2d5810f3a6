"""Evaluation of a trained run on posts that it was not trained on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.progress import Progress, activity
from ita_pipeline.corpus.datasets import Dataset
from ita_pipeline.corpus.posts import Post
from ita_pipeline.extraction.contexts import PostContexts, plan_contexts
from ita_pipeline.extraction.items import Extraction, PostSource
from ita_pipeline.ner.metrics.scores import score_views
from ita_pipeline.ner.prediction import predict_views
from ita_pipeline.ner.views import encode_posts
from ita_pipeline.runs.grounding import RunGrounding, SplitGrounding, ground_split
from ita_pipeline.runs.plan import caption_file
from ita_pipeline.runs.predictor import Predictor
from ita_pipeline.runs.queries import EvidenceReader, have_boxes
from ita_pipeline.runs.run import RunScores, ViewScores

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of both views by split; `foreign` are types in the posts that the run was not trained on.

    `grounding` scores the boxes of mentions, None without a grounder or boxes to compare with.
    """

    run: Path
    dataset: str
    scores: RunScores
    foreign: tuple[str, ...]
    extraction: Extraction
    grounding: RunGrounding | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the content of `ita evaluate --json`."""
        return {
            "schema": "ita.evaluation/1",
            "run": str(self.run),
            "dataset": self.dataset,
            "splits": self.scores.views(),
            "foreign_types": list(self.foreign),
            **({"grounding": self.grounding.to_json()} if self.grounding else {}),
        }


def evaluate_run(
    predictor: Predictor, dataset: Dataset, splits: Sequence[str], captions: str, progress: Progress
) -> Evaluation:
    """Bring the images of these splits up to date, tag the posts in both views and score them.

    `captions` is as for training; "auto" takes the dataset's file if the run was trained with one.

    Raises:
        UsageError: a split is empty or has a post without labels.
        StageError: a model or tool is missing; finished records remain.
    """
    posts_by_split = {name: _labeled_posts(dataset, name) for name in dict.fromkeys(splits)}
    posts = [post for split in posts_by_split.values() for post in split]
    record = predictor.record
    file = caption_file(dataset, "none" if captions == "auto" and not record.captions else captions)
    source = PostSource(tuple(posts), predictor.train)
    plan = plan_contexts(source, predictor.stages, record.contexts, predictor.store, file, limits=predictor.limits)
    contexts = predictor.make_contexts(plan, progress)
    with activity("scoring the posts"):
        scored = {name: _score_posts(predictor, split, contexts) for name, split in posts_by_split.items()}
    scores = {name: of_split for name, (of_split, _) in scored.items()}
    boxes = {name: grounding for name, (_, grounding) in scored.items() if grounding is not None}
    grounding = RunGrounding(splits=boxes) if boxes else None
    types = {span.type for post in posts for span in post.gold or ()}
    foreign = tuple(sorted(types - set(record.types)))
    folder, run_scores = predictor.run.folder, RunScores(splits=scores)
    return Evaluation(folder, dataset.name, run_scores, foreign, contexts.extraction, grounding)


def _labeled_posts(dataset: Dataset, split: str) -> Sequence[Post]:
    posts = dataset.require_labels(split, "ita predict finds mentions in posts without labels")
    if not posts:
        others = ", ".join(name for name, members in dataset.splits.items() if members)
        raise UsageError(f"dataset {dataset.name} has no posts in {split}", f"it has {others}: --split NAME")
    return posts


def _score_posts(
    predictor: Predictor, posts: Sequence[Post], contexts: PostContexts
) -> tuple[ViewScores, SplitGrounding | None]:
    examples = encode_posts([(post, contexts.render(post)) for post in posts], predictor.encoder)
    predicted = predict_views(predictor.tagger, examples, predictor.encoder.pad)
    text, both = score_views(examples, predicted)
    _, grounding = ground_split(predictor.grounder, posts, predicted, EvidenceReader(contexts, predictor.search))
    if predictor.grounder is None and have_boxes(posts):
        logger.info("boxes are not scored: the run was trained on posts whose mentions have none")
    return ViewScores(text=text, text_and_image=both), grounding

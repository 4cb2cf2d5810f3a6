"""Evaluation of a run on posts that it was not trained on: another split or another dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.progress import Progress
from ita_pipeline.corpus.datasets import Dataset
from ita_pipeline.corpus.posts import Post
from ita_pipeline.extraction.contexts import PostContexts, plan_contexts
from ita_pipeline.extraction.pictures import Extraction
from ita_pipeline.extraction.posts import PostSource
from ita_pipeline.ner.metrics.scores import score_views
from ita_pipeline.ner.prediction import predict_views
from ita_pipeline.ner.views import encode_posts
from ita_pipeline.runs.plan import caption_file
from ita_pipeline.runs.predictor import Predictor
from ita_pipeline.runs.run import RunScores, ViewScores


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of both views by split; `foreign` are types in the posts that the run was not trained on."""

    run: Path
    dataset: str
    scores: RunScores
    foreign: tuple[str, ...]
    extraction: Extraction

    def to_json(self) -> dict[str, Any]:
        """Return the content of `ita evaluate --json`."""
        return {
            "schema": "ita.evaluation/1",
            "run": str(self.run),
            "dataset": self.dataset,
            "splits": self.scores.views(),
            "foreign_types": list(self.foreign),
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
    scores = {name: _score_posts(predictor, split, contexts) for name, split in posts_by_split.items()}
    types = {span.type for post in posts for span in post.gold or ()}
    foreign = tuple(sorted(types - set(record.types)))
    return Evaluation(predictor.run.folder, dataset.name, RunScores(splits=scores), foreign, contexts.extraction)


def _labeled_posts(dataset: Dataset, split: str) -> Sequence[Post]:
    posts = dataset.require_labels(split, "ita predict finds mentions in posts without labels")
    if not posts:
        others = ", ".join(name for name, members in dataset.splits.items() if members)
        raise UsageError(f"dataset {dataset.name} has no posts in {split}", f"it has {others}: --split NAME")
    return posts


def _score_posts(predictor: Predictor, posts: Sequence[Post], contexts: PostContexts) -> ViewScores:
    examples = encode_posts([(post, contexts.render(post)) for post in posts], predictor.encoder)
    text, both = score_views(examples, predict_views(predictor.tagger, examples, predictor.tokenizer.pad_token_id))
    return ViewScores(text=text, text_and_image=both)

"""A trained run scored on posts that it was not trained with: another split, another dataset, a corrected one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ita_pipeline.core.errors import UsageError
from ita_pipeline.corpus.datasets import Dataset
from ita_pipeline.corpus.posts import Post
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.extraction.consent import ask_consent
from ita_pipeline.extraction.contexts import PostContexts, make_contexts, plan_contexts
from ita_pipeline.extraction.options import Listener
from ita_pipeline.extraction.pictures import Extraction
from ita_pipeline.ner.prediction import predict_views, score_views
from ita_pipeline.ner.views import encode_posts
from ita_pipeline.runs.plan import caption_file
from ita_pipeline.runs.predictor import Predictor
from ita_pipeline.runs.run import RunScores, ViewScores


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of both views by split, as a run has them; `foreign` are types in the posts that the run knows not."""

    run: Path
    dataset: str
    scores: RunScores
    foreign: tuple[str, ...]
    extraction: Extraction

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": "ita.evaluation/1",
            "run": str(self.run),
            "dataset": self.dataset,
            "splits": self.scores.views(),
            "foreign_types": list(self.foreign),
        }


def evaluate_run(
    predictor: Predictor, dataset: Dataset, splits: Sequence[str], captions: str, heard: Listener
) -> Evaluation:
    """Bring the pictures of these splits up to date, tag the posts in both views, and score them.

    `captions` is as for training; "auto" takes the dataset's file where the run was trained with one.

    Raises:
        UsageError: a split is empty, or a post of it is not labelled.
        StageError: a model or tool is missing; what was computed before is kept.
    """
    posts = {name: labelled(dataset, name) for name in dict.fromkeys(splits)}
    every = [post for some in posts.values() for post in some]
    contexts = contexts_of(predictor, dataset, every, captions, heard)
    scores = {name: score_posts(predictor, some, contexts) for name, some in posts.items()}
    types = {span.type for post in every for span in post.gold or ()}
    foreign = tuple(sorted(types - set(predictor.record.types)))
    return Evaluation(predictor.run.folder, dataset.name, RunScores(splits=scores), foreign, contexts.extraction)


def labelled(dataset: Dataset, split: str) -> tuple[Post, ...]:
    posts = dataset.splits.get(split, ())
    if not posts:
        there = ", ".join(name for name, some in dataset.splits.items() if some)
        raise UsageError(f"dataset {dataset.name} has no posts in {split}", f"it has {there}: --split NAME")
    bare = next((post.id for post in posts if post.gold is None), None)
    if bare is not None:
        hint = "ita predict finds mentions in posts without labels"
        raise UsageError(f"dataset {dataset.name}: post {bare} of {split} is not labelled", hint)
    return posts


def contexts_of(
    predictor: Predictor, dataset: Dataset, posts: Sequence[Post], captions: str, heard: Listener
) -> PostContexts:
    record = predictor.record
    wish = "none" if captions == "auto" and not record.captions else captions
    plan = plan_contexts(
        posts,
        predictor.stages,
        record.contexts,
        predictor.store,
        caption_file(dataset, wish),
        limits=predictor.limits,
        train=predictor.train,
    )
    ask_consent(plan.plan, predictor.consent, heard)
    contexts = make_contexts(plan, predictor.store, LocalEngine(predictor.executor), heard)
    predictor.notice(contexts.keys)
    return contexts


def score_posts(predictor: Predictor, posts: Sequence[Post], contexts: PostContexts) -> ViewScores:
    examples = encode_posts([(post, contexts.of(post)) for post in posts], predictor.encoder)
    text, both = score_views(examples, predict_views(predictor.tagger, examples, predictor.tokenizer.pad_token_id))
    return ViewScores(text=text, text_and_image=both)

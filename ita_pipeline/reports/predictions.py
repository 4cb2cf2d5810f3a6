"""A run's posts with the mentions that each view predicted, from the files of the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import BaseModel

from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.progress import Notes
from ita_pipeline.corpus.datasets import Dataset
from ita_pipeline.corpus.formats.conll import read_conll
from ita_pipeline.corpus.posts import Post
from ita_pipeline.reports.gallery import ReportPost, list_gold_mentions
from ita_pipeline.reports.models import VIEWS, ReportMention
from ita_pipeline.runs.run import TEXT, Run

SPLITS = ("test", "dev")


def read_posts(
    run: Run, dataset: Dataset | None, notes: Notes, splits: Sequence[str] = SPLITS
) -> Iterator[ReportPost]:
    """Read the posts of these splits.

    They are the dataset's posts, with pictures and original text. If the dataset is missing or has changed, they
    have the words and mentions of the run's own files.

    Raises:
        UserError: a file of the run cannot be read.
    """
    for split in splits:
        if not run.predictions(split, TEXT).is_file():
            continue
        tagged = run.read_gold(split, TEXT)
        posts = list(enumerate(tagged, 1))
        if dataset is not None:
            loaded = [(number, post) for number, post in enumerate(dataset.splits.get(split, ()), 1) if post.words]
            if [_words_in_file(post) for _, post in loaded] == [post.words for post in tagged]:
                posts = loaded
            else:
                name = f"the {split} posts of {dataset.name}"
                notes.add(f"{name} are no longer the run's: no pictures are shown of them")
        predicted = {label: _read_mentions(run, split, view) for label, view in VIEWS.items()}
        if any(len(mentions) != len(tagged) for mentions in predicted.values()):
            raise UsageError(f"the predictions of {split} in {run.folder} are of different posts", "train it anew")
        for index, (number, post) in enumerate(posts):
            answers = {label: _compare_with_gold(mentions[index], post) for label, mentions in predicted.items()}
            yield ReportPost(post, split, number, {**list_gold_mentions(post), **answers})


def _words_in_file(post: Post) -> tuple[str, ...]:
    """Return the words as a file gives them back: a word of odd white space alone is lost there."""
    return tuple(word.strip() or "\ufffd" for word in post.words)


def _read_mentions(run: Run, split: str, view: str) -> list[list[ReportMention]]:
    """Read the predicted mentions of each post, with scores if the run has them."""
    spans = [sorted(post.gold or ()) for post in read_conll(run.predictions(split, view))]
    file = run.mentions(split, view)
    scores = run.read(f"predictions/{file.name}", _parse_scores) if file.is_file() else []
    if list(map(len, scores)) != list(map(len, spans)):
        scores = [[None] * len(post_spans) for post_spans in spans]
    return [
        [
            ReportMention(start=span.start, end=span.end, type=span.type, score=score)
            for span, score in zip(post_spans, post_scores, strict=True)
        ]
        for post_spans, post_scores in zip(spans, scores, strict=True)
    ]


def _compare_with_gold(mentions: Sequence[ReportMention], post: Post) -> tuple[ReportMention, ...]:
    gold = set(post.gold or ())
    return tuple(mention.model_copy(update={"right": mention.span in gold}) for mention in mentions)


class _ScoredMention(BaseModel):
    start: int
    score: float


class _PredictionLine(BaseModel):
    """The fields that are needed of a line of predictions."""

    mentions: list[_ScoredMention]


def _parse_scores(text: str) -> list[list[float]]:
    posts = [_PredictionLine.model_validate_json(line).mentions for line in text.split("\n") if line]
    return [[mention.score for mention in sorted(post, key=lambda mention: mention.start)] for post in posts]

"""A run's posts with what each view made of them, from the files that the run wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import BaseModel

from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.notes import Notes
from ita_pipeline.corpus.datasets import Dataset
from ita_pipeline.corpus.formats.conll import read_conll
from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.reports.gallery import Shown, gold_of
from ita_pipeline.reports.models import IT, Marked, T
from ita_pipeline.runs.run import TEXT, TEXT_AND_IMAGE, Run

SPLITS = ("test", "dev")

VIEWS = {T: TEXT, IT: TEXT_AND_IMAGE}


def answered(run: Run, dataset: Dataset | None, notes: Notes, splits: Sequence[str] = SPLITS) -> Iterator[Shown]:
    """The posts of these splits. Those of the dataset have their pictures and original text; where it is not
    there, or has changed since, the run's own files still have words and mentions.

    Raises:
        UserError: a file of the run cannot be read.
    """
    for split in splits:
        if not run.predictions(split, TEXT).is_file():
            continue
        written = read_conll(run.predictions(split, TEXT), column=-2)
        posts = list(enumerate(written, 1))
        if dataset is not None:
            loaded = [(n, post) for n, post in enumerate(dataset.splits.get(split, ()), 1) if post.words]
            if [as_written(post) for _, post in loaded] == [post.words for post in written]:
                posts = loaded
            else:
                notes.add(
                    f"the {split} posts of {dataset.name} are no longer the run's: no pictures are shown of them"
                )
        predicted = {name: scored(run, split, view) for name, view in VIEWS.items()}
        if any(len(found) != len(written) for found in predicted.values()):
            raise UsageError(f"the predictions of {split} in {run.folder} are of different posts", "train it anew")
        for index, (number, post) in enumerate(posts):
            gold = set(post.gold or ())
            answers = {name: tuple(marked(found[index], gold)) for name, found in predicted.items()}
            yield Shown(post, split, number, {**gold_of(post), **answers})


def as_written(post: Post) -> tuple[str, ...]:
    """Words as they come back from a file: one of odd white space alone leaves its tag only."""
    return tuple(word.strip() or "\ufffd" for word in post.words)


Scored = Sequence[tuple[Span, float | None]]


def scored(run: Run, split: str, view: str) -> list[Scored]:
    """The predicted mentions of each post, with their scores where the run wrote them."""
    spans = [post.gold or () for post in read_conll(run.predictions(split, view))]
    file = run.mentions(split, view)
    scores = run.read(f"predictions/{file.name}", scores_in) if file.is_file() else []
    if [len(found) for found in scores] != [len(found) for found in spans]:
        return [[(span, None) for span in found] for found in spans]
    return [list(zip(sorted(found), known, strict=True)) for found, known in zip(spans, scores, strict=True)]


class ScoredMention(BaseModel):
    start: int
    score: float


class ScoredPost(BaseModel):
    """What is read of a line of predictions."""

    mentions: list[ScoredMention]


def scores_in(text: str) -> list[list[float]]:
    posts = [ScoredPost.model_validate_json(line).mentions for line in text.split("\n") if line]
    return [[mention.score for mention in sorted(post, key=lambda mention: mention.start)] for post in posts]


def marked(found: Scored, gold: set[Span]) -> Iterator[Marked]:
    for span, score in found:
        yield Marked(start=span.start, end=span.end, type=span.type, score=score, right=span in gold)

"""The grounder of a run: its training after the tagger, the boxes of predicted mentions, and their scores.

A run has one if its training posts have boxes. `grounder/grounder.safetensors` is then in its folder, and
`grounding.json` holds the scores beside the floors.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ita_pipeline.cache.keys import digest
from ita_pipeline.core.files import write_atomically
from ita_pipeline.corpus.formats.conll import read_conll
from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.grounding.evidence import Evidence
from ita_pipeline.grounding.grounder import GROUNDER_VERSION, Grounder, Grounding, picture_size
from ita_pipeline.grounding.metrics import (
    Floor,
    Groundability,
    GroundedScores,
    are_known,
    floors,
    measure_floor,
    measure_groundability,
    score_grounded,
)
from ita_pipeline.ner.prediction import ScoredSpan, ViewPredictions
from ita_pipeline.runs.predictions import Mention
from ita_pipeline.runs.queries import EvidenceReader, evidence_of, have_boxes
from ita_pipeline.runs.run import BothViews, Run, SplitFile
from stages.base import Frozen

logger = logging.getLogger(__name__)

NAME = "grounding.json"


class Method(Frozen):
    """A way to ground mentions: measured on gold mentions, and the scores of both views with its boxes."""

    groundability: Groundability
    views: BothViews[GroundedScores]


class SplitGrounding(Frozen):
    """Scores of the grounder, and of the floors by their names, on the posts whose boxes are known."""

    posts: int
    grounder: Method
    floors: Mapping[str, Method]

    def format_rows(self, floor_label: str) -> list[tuple[str, list[str]]]:
        """Format each way to ground: both views of the grounder, and the floors in I+T, all but AUROC in percent.

        The numbers are MNER, EEG, GMNER, their ratio, and on gold mentions right boxes, accuracy and AUROC.
        """
        views = self.grounder.views
        methods = [("T", self.grounder, views.text), ("I+T", self.grounder, views.text_and_image)]
        methods += [(f"{floor_label}{name}", one, one.views.text_and_image) for name, one in self.floors.items()]
        rows: list[tuple[str, list[str]]] = []
        for label, method, scores in methods:
            gold = method.groundability
            numbers = [scores.mner.f1, scores.eeg.f1, scores.gmner.f1, scores.ratio, gold.boxes, gold.accuracy]
            auroc = "" if gold.auroc is None else f"{gold.auroc:.3f}"
            rows.append((label, [*(f"{100 * number:.2f}" for number in numbers), auroc]))
        return rows


class RunGrounding(SplitFile):
    """The content of `grounding.json`: the scores of each split."""

    FORMAT: ClassVar[str] = "ita.grounding/1"
    splits: Mapping[str, SplitGrounding]

    def to_json(self) -> dict[str, Any]:
        """Return the scores by split."""
        return {"schema": self.FORMAT, **self.model_dump(by_alias=True)["splits"]}


def write_grounding(run: Run, grounding: RunGrounding) -> None:
    """Write the scores of a run's grounder."""
    write_atomically(run.folder / NAME, json.dumps(grounding.to_json(), indent=2) + "\n")


def read_grounding(run: Run) -> RunGrounding | None:
    """Read the scores of a run's grounder, None if it has none.

    Raises:
        UserError: the file cannot be read.
    """
    return run.read(NAME, RunGrounding.from_json) if (run.folder / NAME).is_file() else None


def grounding_components(splits: Mapping[str, Sequence[Post]], reader: EvidenceReader) -> dict[str, Any]:
    """Return what a grounder and its scores depend on, for the key of a run; nothing without boxes."""
    if not have_boxes(splits.get("train", ())):
        return {}

    def content(post: Post) -> list[Any]:
        boxes = [span.boxes for span in post.gold or ()]
        return [boxes, picture_size(post), evidence_of(reader.contexts, post).to_json()]

    digests = {name: digest([content(post) for post in posts]) for name, posts in splits.items()}
    looking = reader.search.keys if reader.search is not None else {}
    return {"grounding": {**digests, **looking, "version": GROUNDER_VERSION}}


def train_grounder(posts: Sequence[Post], reader: EvidenceReader) -> Grounder | None:
    """Train a grounder on the gold mentions of posts; None without boxes to learn from."""
    if not have_boxes(posts):
        return None
    evidence = reader.read(posts, [post.gold or () for post in posts])
    grounder = Grounder.train(list(zip(posts, evidence, strict=True)))
    if grounder is None:
        logger.warning("no grounder was trained: no mention of the train posts has a box")
    return grounder


@dataclass(frozen=True, slots=True)
class GroundedViews:
    """The groundings of every post's mentions in both views."""

    text: list[list[Grounding]]
    context: list[list[Grounding]]


def ground_views(
    grounder: Grounder, posts: Sequence[Post], predicted: ViewPredictions, reader: EvidenceReader
) -> GroundedViews:
    """Ground the predicted mentions of both views."""

    def ground(view: Sequence[Sequence[ScoredSpan]]) -> list[list[Grounding]]:
        spans = [[one.span for one in scored] for scored in view]
        rows = zip(posts, spans, reader.read(posts, spans), strict=True)
        return [grounder.ground(*row) for row in rows]

    text = ground(predicted.text)
    return GroundedViews(text, text if predicted.context is predicted.text else ground(predicted.context))


def ground_mentions(
    grounder: Grounder, post: Post, mentions: Sequence[Mention], evidence: Evidence
) -> tuple[Mention, ...]:
    """Add to the mentions of a post where its picture shows them."""
    groundings = grounder.ground(post, spans_of(post, mentions), evidence)
    return tuple(map(add_grounding, mentions, groundings))


def spans_of(post: Post, mentions: Sequence[Mention]) -> list[Span]:
    """The words that the tagger's mentions of a post cover."""
    starts = {start: index for index, (start, _) in enumerate(post.offsets)}
    ends = {end: index for index, (_, end) in enumerate(post.offsets, 1)}
    return [Span(starts[one.start], ends[one.end], one.type) for one in mentions]


def add_grounding(mention: Mention, grounding: Grounding) -> Mention:
    """Return a mention with where the picture shows it."""
    return replace(mention, visible=grounding.visible, boxes=grounding.boxes, why=grounding.why)


def measure_split(
    grounder: Grounder,
    posts: Sequence[Post],
    predicted: ViewPredictions,
    grounded: GroundedViews,
    reader: EvidenceReader,
) -> SplitGrounding | None:
    """Score predicted mentions with their boxes beside the floors; None if the boxes of no post are known."""
    known = [index for index, post in enumerate(posts) if are_known(post.gold)]
    if not known:
        return None
    scored = [posts[index] for index in known]
    evidence = reader.read(scored, [post.gold or () for post in scored])
    sizes = [found.size or picture_size(post) for post, found in zip(scored, evidence, strict=True)]
    gold = [post.gold or () for post in scored]
    spans = [[[one.span for one in view[index]] for index in known] for view in (predicted.text, predicted.context)]

    def score(views: Iterable[list[list[Span]]]) -> BothViews[GroundedScores]:
        text, both = (score_grounded(gold, view) for view in views)
        return BothViews[GroundedScores](text=text, text_and_image=both)

    def score_floor(floor: Floor) -> Method:
        views = ([floor.ground(of_post, size) for of_post, size in zip(view, sizes, strict=True)] for view in spans)
        return Method(groundability=measure_floor(floor, list(zip(scored, sizes, strict=True))), views=score(views))

    with_boxes = (
        [
            [replace(span, boxes=found.boxes) for span, found in zip(of_post, view[index], strict=True)]
            for of_post, index in zip(of_view, known, strict=True)
        ]
        for of_view, view in zip(spans, (grounded.text, grounded.context), strict=True)
    )
    answers = [
        found
        for post, seen in zip(scored, evidence, strict=True)
        for found in grounder.ground(post, post.gold or (), seen)
    ]
    measured = measure_groundability(
        [span for of_post in gold for span in of_post],
        [found.visible for found in answers],
        [found.boxes for found in answers],
    )
    return SplitGrounding(
        posts=len(scored),
        grounder=Method(groundability=measured, views=score(with_boxes)),
        floors={floor.name: score_floor(floor) for floor in floors(grounder.priors)},
    )


def ground_split(
    grounder: Grounder | None, posts: Sequence[Post], predicted: ViewPredictions, reader: EvidenceReader
) -> tuple[GroundedViews | None, SplitGrounding | None]:
    """Ground and score the predicted mentions of a split; None without a grounder, or without known boxes."""
    if grounder is None:
        return None, None
    grounded = ground_views(grounder, posts, predicted, reader)
    return grounded, measure_split(grounder, posts, predicted, grounded, reader)


def gold_boxes(post: Post) -> dict[str, Any]:
    """The known boxes of a post's gold mentions, as a run's predictions store them, or nothing."""
    known = [span for span in post.gold or () if span.boxes is not None]
    return {"gold_boxes": [[span.start, span.end, span.type, span.boxes] for span in known]} if known else {}


def read_grounded(run: Run, split: str, view: str) -> tuple[list[Post], list[list[Span]]] | None:
    """Read the gold posts and predicted mentions of a view with their boxes, None if the run has none.

    Raises:
        UserError: a file cannot be read.
    """
    lines = run.prediction_lines(split, view)
    if not (run.folder / NAME).is_file() or not lines:
        return None
    posts, tagged = run.read_gold(split, view), read_conll(run.predictions(split, view))
    gold: list[Post] = []
    predicted: list[list[Span]] = []
    for post, answer, line in zip(posts, tagged, lines, strict=True):
        boxes = {Span(start, end, name): found for start, end, name, found in line.gold_boxes}
        gold.append(replace(post, gold=tuple(replace(span, boxes=boxes.get(span)) for span in post.gold or ())))
        spans = zip(sorted(answer.gold or ()), line.mentions, strict=True)
        predicted.append([replace(span, boxes=mention.boxes or ()) for span, mention in spans])
    return gold, predicted

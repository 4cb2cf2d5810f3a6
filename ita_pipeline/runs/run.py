"""Run folders: the inputs of a training, its key, and the files of its results.

`runs/<dataset>/<first 16 of the run key>/` holds `model/` (Hugging Face format), `run.json`, `history.json`,
`log.jsonl`, `predictions/*.conll`, the same with scores as `*.jsonl`, `analysis.json`, `report.html` and, written
last, `scores.json`: a run is complete when that file exists. docs/runs.md describes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ita_pipeline.cache.keys import SHORT_KEY_LENGTH, digest
from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.core.files import MAX_TEXT_BYTES, read_regular, write_atomically
from ita_pipeline.corpus.contexts import ContextConfig, ReservedContext
from ita_pipeline.corpus.formats.conll import Layout, read_conll
from ita_pipeline.corpus.posts import Box, Post, PostWithContexts, Span
from ita_pipeline.grounding.config import GroundingConfig
from ita_pipeline.ner.config import RuntimeName, TrainingConfig
from ita_pipeline.ner.metrics.errors import Analysis
from ita_pipeline.ner.metrics.scores import EpochScore, Scores
from ita_pipeline.ner.runtimes import GraphRecord
from stages.base import Frozen

# Raised whenever the same inputs would train a different model.
TRAINER_VERSION = 4

TEXT, TEXT_AND_IMAGE = "text", "text+image"

Content = TypeVar("Content", bound=Frozen)
Parsed = TypeVar("Parsed")


class RunRecord(Frozen):
    """The inputs of a run, as `run.json` stores them.

    `components` are the parts of the run's key. `captions` is the file of imported captions, if any. `source` and
    `folder` locate the dataset at training time; they do not influence the key. `processes` is the number of
    processes that trained together, each with its own dropout. `tokenization` is the version of the rule for the
    words of raw text; the key contains the words themselves. `graphs` are the ONNX graphs of the model, by the name
    of the runtime that computes them.
    """

    key: str
    components: Mapping[str, Any] = {}
    dataset: str
    source: str = ""
    folder: str = ""
    command: str
    preset: str
    stages: Mapping[str, Mapping[str, Any]]
    stage_keys: Mapping[str, str]
    contexts: ContextConfig
    captions: str
    encoder: str
    encoder_identity: str
    training: TrainingConfig
    types: tuple[str, ...]
    posts: Mapping[str, int]
    with_context: int
    trimmed_subtokens: int
    vanished_words: int
    word_shapes: bool = False
    best_epoch: int
    processes: int = 1
    grounding: GroundingConfig = GroundingConfig()
    tokenization: int = 0  # 0: the rule of NLTK, before versions were recorded
    graphs: Mapping[RuntimeName, GraphRecord] = {}


class BothViews(Frozen, Generic[Content]):
    """The same kind of result for both views of a split."""

    model_config = ConfigDict(validate_by_name=True)

    text: Content
    text_and_image: Content = Field(validation_alias=TEXT_AND_IMAGE, serialization_alias=TEXT_AND_IMAGE)


class SplitFile(Frozen):
    """A JSON file with results by split; `FORMAT` is the name of its schema."""

    FORMAT: ClassVar[str]

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse the file's content.

        Raises:
            ValueError: the text has another schema or is incomplete.
        """
        content = json.loads(text)
        if not isinstance(content, dict) or content.pop("schema", None) != cls.FORMAT:
            raise ValueError(f"not of the schema {cls.FORMAT}")
        return cls.model_validate({"splits": content})


class SplitResults(SplitFile, Generic[Content]):
    """A file with results by split and view."""

    splits: Mapping[str, BothViews[Content]]

    def views(self) -> dict[str, Any]:
        """Return the results by split and then by view, for JSON."""
        return {name: views.model_dump(by_alias=True) for name, views in self.splits.items()}

    def to_json(self) -> str:
        """Serialize the results."""
        return json.dumps({"schema": self.FORMAT, **self.views()}, indent=2) + "\n"


ViewScores = BothViews[Scores]
ViewAnalysis = BothViews[Analysis]


class RunScores(SplitResults[Scores]):
    """The content of `scores.json`."""

    FORMAT = "ita.scores/1"


class RunAnalysis(SplitResults[Analysis]):
    """The content of `analysis.json`."""

    FORMAT = "ita.analysis/1"


class StoredMention(BaseModel):
    """The fields that are read of a predicted mention."""

    model_config = ConfigDict(allow_inf_nan=False)

    start: int
    score: float | None = None
    boxes: tuple[Box, ...] | None = None
    visible: float | None = None
    why: str | None = None


class PredictionLine(BaseModel):
    """A line of predictions: the mentions by their start, and what the CoNLL file lacks of the gold mentions.

    `untaggable_gold` has start, end, type and `partial` of those that tags cannot express, `gold_boxes` start, end,
    type and boxes of those whose boxes are known.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    mentions: list[StoredMention] = []
    untaggable_gold: list[tuple[int, int, str, bool]] = []
    gold_boxes: list[tuple[int, int, str, tuple[Box, ...]]] = []


@dataclass(frozen=True, slots=True)
class Run:
    """A run's folder and the files in it."""

    folder: Path

    @property
    def is_complete(self) -> bool:
        """Whether the training has finished."""
        return self.scores_file.is_file()

    @property
    def has_analysis(self) -> bool:
        """Whether the run has an error analysis; runs of earlier versions have none."""
        return (self.folder / "analysis.json").is_file()

    @property
    def model(self) -> Path:
        """The folder of Hugging Face's files; in an exported run they are in the run's folder itself."""
        is_exported = (self.folder / "config.json").is_file()
        return self.folder if is_exported else self.folder / "model"

    @property
    def scores_file(self) -> Path:
        """The file that is written last."""
        return self.folder / "scores.json"

    @property
    def log(self) -> Path:
        """The training log."""
        return self.folder / "log.jsonl"

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.folder / "report.html"

    def predictions(self, split: str, view: str) -> Path:
        """Return the CoNLL file with gold and predicted tags."""
        return self.folder / "predictions" / f"{split}.{view.replace('+', '-')}.conll"

    def mentions(self, split: str, view: str) -> Path:
        """Return the file of predicted mentions with scores, one JSON object per post."""
        return self.predictions(split, view).with_suffix(".jsonl")

    def read_gold(self, split: str, view: str) -> list[Post]:
        """Read the posts of a split with all gold mentions, including those that tags cannot express.

        Raises:
            UserError: a file cannot be read.
        """
        posts = read_conll(self.predictions(split, view), layout=Layout(token=0, tag=-2))
        untaggable = [[Span(*one) for one in line.untaggable_gold] for line in self.prediction_lines(split, view)]
        if len(untaggable) != len(posts):
            return posts
        return [
            replace(post, gold=tuple(sorted([*(post.gold or ()), *spans]))) if spans else post
            for post, spans in zip(posts, untaggable, strict=True)
        ]

    def prediction_lines(self, split: str, view: str) -> list[PredictionLine]:
        """Read the lines of `mentions`, one per post; none if there is no such file, as in earlier versions.

        Raises:
            UserError: the file cannot be read.
        """
        file = self.mentions(split, view)
        return self.read(f"predictions/{file.name}", _parse_lines) if file.is_file() else []

    def record(self) -> RunRecord:
        """Read `run.json`."""
        return self.read("run.json", RunRecord.model_validate_json)

    def scores(self) -> RunScores:
        """Read `scores.json`."""
        return self.read("scores.json", RunScores.from_json)

    def analysis(self) -> RunAnalysis:
        """Read `analysis.json`."""
        return self.read("analysis.json", RunAnalysis.from_json)

    def history(self) -> list[EpochScore]:
        """Read `history.json`."""
        return self.read("history.json", TypeAdapter(list[EpochScore]).validate_json)

    def read(self, name: str, parse: Callable[[str], Parsed]) -> Parsed:
        """Read and parse a file of the run.

        Raises:
            MissingError: the file cannot be read.
            UsageError: the file has other content than a run writes.
        """
        try:
            return parse(read_regular(self.folder / name, MAX_TEXT_BYTES).decode())
        except OSError as error:
            raise MissingError(
                f"{self.folder / name} cannot be read: {error.strerror}", "train it again"
            ) from error
        except (ValueError, KeyError, RecursionError) as error:
            raise UsageError(f"{self.folder / name} is not a valid file of a run", "train it again") from error

    def write(self, record: RunRecord, history: Sequence[EpochScore], analysis: RunAnalysis) -> None:
        """Write everything but the scores."""
        write_atomically(self.folder / "analysis.json", analysis.to_json())
        write_atomically(self.folder / "run.json", record.model_dump_json(indent=2) + "\n")
        lines = [epoch.model_dump() for epoch in history]
        write_atomically(self.folder / "history.json", json.dumps(lines, indent=2) + "\n")

    def finish(self, scores: RunScores) -> None:
        """Write the scores, which marks the run as complete."""
        write_atomically(self.scores_file, scores.to_json())


def _parse_lines(text: str) -> list[PredictionLine]:
    lines = [PredictionLine.model_validate_json(line) for line in text.split("\n") if line]
    for line in lines:
        line.mentions.sort(key=lambda mention: mention.start)
    return lines


def run_components(
    splits: Mapping[str, Sequence[PostWithContexts]], training: TrainingConfig, encoder: str, types: Sequence[str]
) -> dict[str, Any]:
    """Return everything that determines a run, in clear; posts and contexts of each split as digests.

    `encoder` is the encoder's identity. Contexts count as rendered: a stage that runs again and returns the same
    text makes no run stale.
    """

    def with_limits(texts: Sequence[str]) -> list[Any]:
        return [[text, text.max_subtokens] if isinstance(text, ReservedContext) else text for text in texts]

    def sentence(post: Post) -> list[Any]:
        gold = [[span.start, span.end, span.type, *([True] if span.partial else [])] for span in post.gold or ()]
        return [post.id, post.words, gold]

    # The default precision is left out, so that runs older than this setting keep their keys.
    default = {"precision"} if training.precision == "fp32" else None
    return {
        "trainer": TRAINER_VERSION,
        "sentences": {name: digest([sentence(post) for post, _ in posts]) for name, posts in splits.items()},
        "contexts": {name: digest([with_limits(texts) for _, texts in posts]) for name, posts in splits.items()},
        "training": training.model_dump(mode="json", exclude=default),
        "encoder": encoder,
        "types": list(types),
    }


def run_at(runs: Path, dataset: str, key: str) -> Run:
    """Return the run of a key, whether or not it exists."""
    return Run(runs / dataset / key[:SHORT_KEY_LENGTH])

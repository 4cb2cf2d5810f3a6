"""Run folders: what a training depended on, its key, and where its results lie.

`runs/<dataset>/<first 16 of the run key>/` holds `model/` (Hugging Face format), `run.json`, `history.json`,
`log.jsonl`, `predictions/*.conll`, the same with scores as `*.jsonl`, `analysis.json`, `report.html` and, written
last, `scores.json`: a run is complete when that file is there. docs/runs.md describes them.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import ValidationError

from ita_pipeline.cache.keys import SHORT, digest
from ita_pipeline.core.errors import MissingError, UsageError, nearest
from ita_pipeline.core.files import write_atomically
from ita_pipeline.corpus.contexts import ContextConfig, ReservedContext
from ita_pipeline.corpus.posts import Post
from ita_pipeline.ner.config import TrainingConfig
from ita_pipeline.ner.metrics.errors import Analysis
from ita_pipeline.ner.metrics.scores import Scores
from ita_pipeline.ner.training.history import EpochScore
from stages.base import Frozen

# Raised whenever the same inputs would train another model.
TRAINER_VERSION = 3

TEXT, TEXT_AND_IMAGE = "text", "text+image"


Found = TypeVar("Found", bound=Frozen)


class RunRecord(Frozen):
    """What a run was made from. `captions` is the file that captions were imported from, if any; `components` are
    those of its key. `source` is what the dataset was asked for by and `folder` where it lay; neither decides
    anything. Several `processes` trained it together, with dropout of their own each.
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


class BothViews(Frozen, Generic[Found]):
    """Something of one split in both views."""

    text: Found
    text_and_image: Found


class OfSplits(Frozen, Generic[Found]):
    """Something of every split in both views, as a file of a run has it; `FORMAT` is the name of its schema."""

    FORMAT: ClassVar[str]
    splits: Mapping[str, BothViews[Found]]

    def views(self) -> dict[str, Any]:
        """By split, and then by view, for JSON."""
        return {
            name: {TEXT: s.text.model_dump(), TEXT_AND_IMAGE: s.text_and_image.model_dump()}
            for name, s in self.splits.items()
        }

    def to_json(self) -> str:
        return json.dumps({"schema": self.FORMAT, **self.views()}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """
        Raises:
            ValueError: it is of another schema, or incomplete.
        """
        content = json.loads(text)
        if content.pop("schema", None) != cls.FORMAT:
            raise ValueError(f"not of the schema {cls.FORMAT}")
        splits = {n: {"text": s[TEXT], "text_and_image": s[TEXT_AND_IMAGE]} for n, s in content.items()}
        return cls.model_validate({"splits": splits})


ViewScores = BothViews[Scores]

ViewAnalysis = BothViews[Analysis]


class RunScores(OfSplits[Scores]):
    """The content of `scores.json`."""

    FORMAT = "ita.scores/1"


class RunAnalysis(OfSplits[Analysis]):
    """The content of `analysis.json`."""

    FORMAT = "ita.analysis/1"


@dataclass(frozen=True, slots=True)
class Run:
    """A run's folder and the files in it."""

    folder: Path

    @property
    def complete(self) -> bool:
        return self.scores_file.is_file()

    @property
    def model(self) -> Path:
        """Hugging Face's files: in a folder of their own, or, in an exported run, beside the others."""
        alone = (self.folder / "config.json").is_file()
        return self.folder if alone else self.folder / "model"

    @property
    def scores_file(self) -> Path:
        return self.folder / "scores.json"

    @property
    def log(self) -> Path:
        return self.folder / "log.jsonl"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    def predictions(self, split: str, view: str) -> Path:
        return self.folder / "predictions" / f"{split}.{view.replace('+', '-')}.conll"

    def mentions(self, split: str, view: str) -> Path:
        """The predicted mentions with their scores, one JSON object a post."""
        return self.predictions(split, view).with_suffix(".jsonl")

    def record(self) -> RunRecord:
        return self.read("run.json", RunRecord.model_validate_json)

    def scores(self) -> RunScores:
        return self.read("scores.json", RunScores.from_json)

    @property
    def analysed(self) -> bool:
        """Whether the run has an analysis, which runs of earlier versions lack."""
        return (self.folder / "analysis.json").is_file()

    def analysis(self) -> RunAnalysis:
        return self.read("analysis.json", RunAnalysis.from_json)

    def history(self) -> list[EpochScore]:
        return self.read(
            "history.json", lambda text: [EpochScore.model_validate(line) for line in json.loads(text)]
        )

    def read(self, name: str, parse: Callable[[str], Any]) -> Any:
        try:
            return parse((self.folder / name).read_text("utf-8"))
        except OSError as error:
            raise MissingError(f"{self.folder / name} cannot be read: {error.strerror}", "train it anew") from error
        except (ValidationError, ValueError, KeyError) as error:
            raise UsageError(f"{self.folder / name} is not what a run writes", "train it anew") from error

    def write(self, record: RunRecord, history: Sequence[EpochScore], analysis: RunAnalysis) -> None:
        write_atomically(self.folder / "analysis.json", analysis.to_json())
        write_atomically(self.folder / "run.json", record.model_dump_json(indent=2) + "\n")
        lines = [epoch.model_dump() for epoch in history]
        write_atomically(self.folder / "history.json", json.dumps(lines, indent=2) + "\n")

    def finish(self, scores: RunScores) -> None:
        """Write the scores, and with them mark the run as complete."""
        write_atomically(self.scores_file, scores.to_json())


def run_components(
    splits: Mapping[str, Sequence[tuple[Post, tuple[str, ...]]]],
    training: TrainingConfig,
    encoder_identity: str,
    types: Sequence[str],
) -> dict[str, Any]:
    """All that decides a run, in clear: words with mentions and rendered contexts of each split (as digests), the
    settings, and the encoder.

    Contexts count as they were rendered: a stage that ran anew and said the same retrains nothing.
    """

    def counted(texts: Sequence[str]) -> list[Any]:
        return [[text, text.max_subtokens] if isinstance(text, ReservedContext) else text for text in texts]

    def sentence(post: Post) -> list[Any]:
        return [post.id, post.words, [[span.start, span.end, span.type] for span in post.gold or ()]]

    # Said only where it is not what it always was, so that older runs keep their keys.
    usual = {"precision"} if training.precision == "fp32" else None
    return {
        "trainer": TRAINER_VERSION,
        "sentences": {name: digest([sentence(post) for post, _ in posts]) for name, posts in splits.items()},
        "contexts": {name: digest([counted(texts) for _, texts in posts]) for name, posts in splits.items()},
        "training": training.model_dump(mode="json", exclude=usual),
        "encoder": encoder_identity,
        "types": list(types),
    }


def run_key(components: Mapping[str, Any]) -> str:
    return digest(components)


def last_run(runs: Path, dataset: str) -> Run | None:
    """The run of a dataset that was finished last."""
    return max(finished_runs(runs / dataset), key=lambda run: run.scores_file.stat().st_mtime, default=None)


def finished_runs(folder: Path) -> list[Run]:
    """The finished runs in a folder. Names with a dot are runs in the making."""
    files = sorted(folder.glob("*/scores.json"))
    return [Run(file.parent) for file in files if not file.parent.name.startswith(".")]


def find_run(name: str | Path, runs: Path) -> Run:
    """A finished run by its folder, by `<dataset>/<key>`, or by a dataset's name if it has a single run.

    Raises:
        MissingError: there is none.
        UsageError: the name fits several.
    """
    for folder in (Path(name), runs / name):
        if (folder / "run.json").is_file():
            run = Run(folder)
            if not run.complete:
                raise MissingError(f"the run {folder} was never finished", "train it again")
            return run
    found = finished_runs(runs / name)
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{name} has {len(found)} runs", f"name one of them, such as {found[-1].folder}")
    hint = nearest_run(name, runs) or "ita train --dataset example makes one"
    raise MissingError(f"there is no run {name}", hint)


def nearest_run(name: str | Path, runs: Path) -> str:
    """`did you mean …?` for a misspelt run, or for one whose key was cut short, as titles of pages have it."""
    asked = Path(name)
    said = str(asked.relative_to(runs) if asked.is_relative_to(runs) else asked)
    folders = [run.folder for dataset in sorted(runs.glob("*")) for run in finished_runs(dataset)]
    known = [str(folder.relative_to(runs)) for folder in folders]
    begun = [run for run in known if "/" in said and run.startswith(said)]
    if len(begun) == 1:
        return f"did you mean {begun[0]}?"
    dataset, _, key = said.partition("/")
    datasets = list(dict.fromkeys(folder.parent.name for folder in folders))
    if key and dataset in datasets:
        return nearest(said, known) or f"ls {shlex.quote(str(runs / dataset))} lists its runs"
    return (nearest(said, known) if key else "") or nearest(dataset, datasets)


def run_at(runs: Path, dataset: str, key: str) -> Run:
    return Run(runs / dataset / key[:SHORT])

"""A run that was trained on three posts, and predictions of it in small parts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ita_pipeline.api.predict import open_part_writer
from ita_pipeline.cache.store import Workspace
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.corpus.posts import Post
from ita_pipeline.engines.ray.cluster import RayPool
from ita_pipeline.runs.bulk_predict import PredictionCounts, predict_into
from ita_pipeline.runs.predictions import PartFolder, PartFormat
from ita_pipeline.runs.predictor import Predictor
from ita_pipeline.runs.run import Run
from tests.support.fakes import ita_here
from tests.support.tiny_encoder import build_bert


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run."""
    root = tmp_path_factory.mktemp("run")
    build_bert(root / "bert")
    (root / "mine").mkdir()
    lines = [
        {"text": "hi kim", "split": split, "mentions": [{"start": 3, "end": 6, "type": "PER"}]}
        for split in ("train", "dev", "test")
    ]
    (root / "mine" / "tweets.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        rates = ("--set", "training.epochs=15", "--set", "training.learning_rate=0.003")
        settings = ("--preset", "bundled", "--encoder", "bert", *rates)
        answer = ita_here("train", "--dataset", "mine", *settings)
    assert answer.code == 0, answer.err
    (run,) = (root / "runs" / "mine").iterdir()
    return run


def read_parts(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of all JSON Lines parts, in the order of their names."""
    files = sorted(folder.glob("part-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def predict_small_parts(
    run: Path, posts: Iterable[Post], posts_per_part: int, ray: RayPool | None = None, workspace: Path = Path()
) -> PredictionCounts:
    """Do what `predict_parts` does, with parts of another size."""
    predictor = Predictor(Run(run), Workspace(workspace).store)
    parts = PartFolder.open(Path("out"), predictor.record.key, 0.0, PartFormat.JSONL)
    with open_part_writer(predictor, parts, ray, posts_per_part) as writer:
        return predict_into(writer, posts, NoProgress())

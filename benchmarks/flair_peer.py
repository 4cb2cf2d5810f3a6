"""Flair as a peer in training: asks `flair_training` in the environment that `make .venv-flair/.ready` makes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.ner.config import TrainingConfig
from ita_pipeline.ner.encoders import MINILM, find_minilm

HERE = Path(__file__).resolve().parent
PYTHON = HERE.parent / ".venv-flair" / "bin" / "python"
ANSWER = "flair answers: "


@dataclass(frozen=True)
class FlairRun:
    """Seconds of each epoch's updates, without scoring, and the mentions found in each test post."""

    seconds: list[float]
    processor_seconds: list[float]
    mentions: list[list[Span]]


def train_flair(
    splits: dict[str, Sequence[Post]],
    config: TrainingConfig,
    encoder: str = MINILM,
    threads: int = 1,
    half: bool = False,
) -> FlairRun:
    """Flair's `SequenceTagger` with CRF, fine-tuned with our encoder, epochs, batch, rates, warm-up and seed.

    With `half` it computes as its `use_amp` does, in bfloat16 on a CPU. The epoch with the best dev score is kept,
    as ours is. Of the settings of `config`, Flair has no rate for the CRF alone, and word dropout, clipping and
    weight decay stay at its own defaults.

    Raises:
        SystemExit: its environment is missing, or the training failed.
    """
    if not PYTHON.exists():
        raise SystemExit(f"there is no {PYTHON}: make .venv-flair/.ready")
    request = {
        "posts": {
            name: [
                (post.words, [(s.start, s.end, s.type) for s in post.gold or ()]) for post in posts if post.words
            ]
            for name, posts in splits.items()
        },
        "encoder": str(find_minilm()) if encoder == MINILM else encoder,
        "epochs": config.epochs,
        "batch_size": config.posts_per_update,
        "learning_rate": config.learning_rate,
        "head_learning_rate": config.linear_learning_rate,
        "warmup": config.warmup,
        "seed": config.seed,
        "threads": threads,
        "half": half,
    }
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    environment.pop("PYTHONPATH", None)
    command = [str(PYTHON), str(HERE / "flair_training.py")]
    process = subprocess.run(
        command, input=json.dumps(request), stdout=subprocess.PIPE, text=True, env=environment, check=False
    )
    answers = [line for line in process.stdout.splitlines() if line.startswith(ANSWER)]
    if process.returncode or not answers:
        raise SystemExit(f"Flair's training ended with {process.returncode}")
    answer = json.loads(answers[-1].removeprefix(ANSWER))
    return FlairRun(
        answer["seconds"], answer["processor"], [[Span(*found) for found in post] for post in answer["mentions"]]
    )

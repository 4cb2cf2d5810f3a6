"""Flair's tagger, trained by Flair alone in its own environment: it needs other versions than we do.

`flair_peer` starts this file as a script. It reads a request, one JSON object, from standard input and writes
`ANSWER` and one JSON object to standard output: the seconds of each epoch's updates, by the clock and of the
processor, without scoring, and the mentions that were found in the test posts.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import flair
import torch
from flair.data import Corpus, Sentence
from flair.embeddings import TransformerWordEmbeddings
from flair.models import SequenceTagger
from flair.trainers import ModelTrainer
from flair.trainers.plugins import TrainerPlugin

KIND, ANSWER = "ner", "flair answers: "


class Clock(TrainerPlugin):
    """Times the updates of every epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.processor: list[float] = []
        self.began = self.spent = 0.0

    @TrainerPlugin.hook
    def before_training_epoch(self, **_: Any) -> None:
        self.began, self.spent = time.perf_counter(), time.process_time()

    @TrainerPlugin.hook
    def after_training_epoch(self, **_: Any) -> None:
        self.seconds.append(time.perf_counter() - self.began)
        self.processor.append(time.process_time() - self.spent)


def sentence(words: list[str], mentions: list[tuple[int, int, str]]) -> Sentence:
    made = Sentence(words)
    if len(made) != len(words):
        raise SystemExit(f"Flair reads {len(made)} tokens in {words}")
    for start, end, kind in mentions:
        made[start:end].add_label(KIND, kind)
    return made


def main() -> None:
    asked = json.load(sys.stdin)
    torch.set_num_threads(asked["threads"])
    flair.set_seed(asked["seed"])
    flair.device = torch.device("cpu")
    splits = {name: [sentence(*post) for post in posts] for name, posts in asked["posts"].items()}
    corpus: Any = Corpus(**splits, sample_missing_splits=False)
    embeddings = TransformerWordEmbeddings(
        asked["encoder"], layers="-1", subtoken_pooling="first", fine_tune=True, use_context=False
    )
    tagger = SequenceTagger(
        embeddings,
        corpus.make_label_dictionary(KIND, add_unk=False),
        KIND,
        use_rnn=False,
        reproject_embeddings=False,
        use_crf=True,
    )
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        ModelTrainer(tagger, corpus).fine_tune(
            Path(folder),
            max_epochs=asked["epochs"],
            mini_batch_size=asked["batch_size"],
            learning_rate=asked["learning_rate"],
            decoder_learning_rate=asked["head_learning_rate"],
            warmup_fraction=asked["warmup"],
            use_amp=asked["half"],
            use_final_model_for_eval=False,
            save_final_model=False,
            plugins=[clock],
        )
    bare = [Sentence(words) for words, _ in asked["posts"]["test"]]
    tagger.predict(bare, mini_batch_size=32)
    found = [[(s[0].idx - 1, s[-1].idx, s.get_label(KIND).value) for s in post.get_spans(KIND)] for post in bare]
    print(
        ANSWER + json.dumps({"seconds": clock.seconds, "processor": clock.processor, "mentions": found}), flush=True
    )


if __name__ == "__main__":
    main()

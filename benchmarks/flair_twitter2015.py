"""Flair 0.15.1 on Twitter-2015, text only, scored by our scorer: the peer of the table in docs/results.md.

    python -m benchmarks.flair_twitter2015 --data twitter2015/ --seed 1 [--out flair-1.json]

Encoder, epochs, batch, rates, warm-up and schedule are those of `ita train --dataset twitter15 --preset bundled`
(configs/experiments/twitter15-bundled.yaml). `--posts 64 --epochs 1` tries it on a few tweets of each split.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.flair_peer import train_flair
from ita_pipeline.core.config import find_config, parse_config, read_yaml
from ita_pipeline.corpus.datasets import load_dataset
from ita_pipeline.ner.config import TrainingConfig
from ita_pipeline.ner.metrics.scores import score

EXPERIMENT = "twitter15-bundled"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with train.txt, valid.txt, test.txt")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, help="those of the experiment by default")
    parser.add_argument("--posts", type=int, help="so many posts of each split; all by default")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="where the result is to be written, beside standard output")
    asked = parser.parse_args()
    values = read_yaml(find_config("experiments", EXPERIMENT)) | {"seed": asked.seed}
    if asked.epochs is not None:
        values["epochs"] = asked.epochs
    config = parse_config(TrainingConfig, values, EXPERIMENT)
    dataset = load_dataset("twitter15", asked.data, Path())
    splits = {name: [p for p in posts if p.words][: asked.posts] for name, posts in dataset.splits.items()}
    run = train_flair(dict(splits), config, threads=asked.threads)
    found = score([post.gold or () for post in splits["test"]], run.mentions)
    result = {
        "flair": "0.15.1",
        "seed": asked.seed,
        "epochs": config.epochs,
        "posts": {name: len(posts) for name, posts in splits.items()},
        "seconds_an_epoch": [round(seconds, 1) for seconds in run.seconds],
        "test": found.model_dump(),
    }
    text = json.dumps(result, indent=2)
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n", "utf-8")
    print(f"test F1 {100 * found.micro.f1:.2f}, {found.micro.support} mentions", file=sys.stderr)


if __name__ == "__main__":
    main()

"""Prediction speed: `python -m benchmarks.prediction RUN POSTS [COUNT]`, with the texts of POSTS in CoNLL.

First `ita predict RUN --text …` from a cold start, with ONNX Runtime and with torch, in turn. Then all posts, as
text alone, with ONNX Runtime, with torch, and with a `pipeline("token-classification")` of `transformers` on the
run's encoder, which has no CRF; if RUN has a graph in integers (`ita export-model --onnx int8`), with that too. One
thread and 64 posts a batch everywhere. Seconds are of the processor, so that a busy neighbor counts for little.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

from ita_pipeline.corpus.formats import parse_posts
from ita_pipeline.ner.config import RuntimeName
from ita_pipeline.ner.prediction import BATCH_SIZE, tag_views
from ita_pipeline.ner.runtimes import GRAPH_FILES, TorchRuntime, load_tagger
from ita_pipeline.runs.run import Run

ROUNDS, TEXT = 3, "Big night for Ashby"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("posts", type=Path)
    parser.add_argument("count", type=int, nargs="?")
    given = parser.parse_args()
    show("cold start", alternate({name: lambda name=name: start(given.run, name) for name in ("onnx", "torch")}))
    megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"  at most {megabytes:.0f} MB, that of torch")
    texts = [post.words for post in (parsed.post for parsed in parse_posts(given.posts))][: given.count]
    taggers = list_taggers(Run(given.run), texts)
    show(f"{len(texts)} posts", alternate({name: lambda work=work: timed(work) for name, work in taggers.items()}))


def start(run: Path, runtime: str) -> float:
    """Processor seconds of a command that tags one post."""
    before = children()
    command = [sys.executable, "-m", "ita_pipeline", "predict", str(run), "--text", TEXT, "--runtime", runtime]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return children() - before


def children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def list_taggers(run: Run, texts: Sequence[Sequence[str]]) -> dict[str, Callable[[], object]]:
    """What tags the texts, by name."""
    import torch

    torch.set_num_threads(1)
    graphs = run.record().graphs
    found: dict[str, Callable[[], object]] = {}
    names: list[RuntimeName] = [*(name for name in GRAPH_FILES if name in graphs), "torch"]
    for name in names:
        tagger = load_tagger(run.model, graphs, name)

        def tag(tagger: Any = tagger) -> object:
            return tag_views(tagger.runtime, [tagger.encoder.encode(words) for words in texts], tagger.encoder.pad)

        found[name] = tag
        if isinstance(tagger.runtime, TorchRuntime):
            found["pipeline"] = token_classifier(tagger.runtime, run.model, [" ".join(words) for words in texts])
    return found


def token_classifier(runtime: TorchRuntime, folder: Path, texts: Sequence[str]) -> Callable[[], object]:
    """A pipeline with the same encoder, and one linear layer of random weights."""
    from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

    with tempfile.TemporaryDirectory() as saved:
        runtime.tagger.encoder.save_pretrained(saved)
        labels = len(runtime.scheme.labels)
        model = AutoModelForTokenClassification.from_pretrained(saved, num_labels=labels)
    tagger: Any = pipeline(
        "token-classification",
        model=model,
        tokenizer=AutoTokenizer.from_pretrained(folder),
        aggregation_strategy="simple",
        device=-1,
    )
    return lambda: tagger(list(texts), batch_size=BATCH_SIZE)


def timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def alternate(ways: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Medians of what each way measures, in turn."""
    rounds = [{name: way() for name, way in ways.items()} for _ in range(ROUNDS)]
    return {name: statistics.median(one[name] for one in rounds) for name in ways}


def show(what: str, seconds: Mapping[str, float]) -> None:
    first = next(iter(seconds.values()))
    for name, value in seconds.items():
        print(f"{what:<12} {name:<10} {value:>8.2f} s {value / first:>6.2f}×", flush=True)


if __name__ == "__main__":
    main()

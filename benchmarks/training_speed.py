"""Training speed: `python -m benchmarks.training_speed DATA [POSTS] [--knowledge FILE]`, with Twitter-2015 in DATA.

One epoch of the same tweets, encoder and batch size, one thread, in turn: ours on the text alone; a plain loop of
`transformers` (one cross entropy, batches as they come, padded to their longest); Flair, where `make bench` made
its environment; and ours with captions, both views beside the view I+T alone. Then ours in bfloat16, beside
Flair as it comes and with its `use_amp`. Seconds are of the processor, so that a busy neighbour counts for little.
Neither tokenising nor scoring is in them; of ours, the checkpoint is.

With a file of contexts, as `ita data import … --as knowledge` writes it, only the views are compared, and I+T has
what that file says instead of captions.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ita_pipeline as ita
from benchmarks.captions import peak
from benchmarks.flair_peer import PYTHON, train_flair
from ita_pipeline.api.train import plan_train
from ita_pipeline.cache.store import Workspace
from ita_pipeline.core.config import find_config, parse_config, read_yaml
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.corpus.datasets import load_dataset
from ita_pipeline.corpus.posts import Post
from ita_pipeline.engines.executor import InProcessExecutor
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.extraction.contexts import make_contexts
from ita_pipeline.ner.config import ObjectiveConfig, TrainingConfig
from ita_pipeline.ner.encoders import MINILM, find_encoder, load_encoder
from ita_pipeline.ner.subtokens import SubTokenizer
from ita_pipeline.ner.tagger import new_tagger
from ita_pipeline.ner.tags import TagScheme
from ita_pipeline.ner.training.checkpoints import Workdir
from ita_pipeline.ner.training.loop import train
from ita_pipeline.ner.views import EncodedPost, ViewEncoder, encode_posts

EXPERIMENT, ROUNDS, POSTS, LONGEST = "twitter15-bundled", 3, 800, 256
IGNORED = -100
Texts = Sequence[tuple[Post, tuple[str, ...]]]


@dataclass(frozen=True)
class Material:
    """Tweets with contexts, how to train on them, and the types of their mentions."""

    posts: Texts
    config: TrainingConfig
    types: tuple[str, ...]
    encoder: Any
    tokenizer: Any

    def bare(self) -> Texts:
        return [(post, ()) for post, _ in self.posts]

    def computing_in(self, precision: str) -> Material:
        return replace(self, config=self.config.model_copy(update={"precision": precision}))

    def laid_out(self, posts: Texts) -> list[EncodedPost]:
        return encode_posts(posts, ViewEncoder(SubTokenizer.of(self.tokenizer), LONGEST, word_shapes=True))


def material(data: Path, count: int, knowledge: Path | None = None) -> Material:
    values = read_yaml(find_config("experiments", EXPERIMENT)) | {"epochs": 1}
    with tempfile.TemporaryDirectory() as folder:
        options = ita.Options(preset="bundled", workspace=Path(folder))
        kinds = ("knowledge",) if knowledge else ("caption",)
        wanted = ita.TrainOptions(data, contexts=kinds, captions=str(knowledge or "auto"))
        plan = plan_train("twitter15", options, wanted)
        store = Workspace(Path(folder)).store
        contexts = make_contexts(plan.contexts, store, LocalEngine(InProcessExecutor()), NoProgress())
        train_posts = load_dataset("twitter15", data, Path(folder)).splits["train"]
        posts = [(post, contexts.render(post)) for post in train_posts if post.words][:count]
    types = tuple(sorted({span.type for post, _ in posts for span in post.gold or ()}))
    encoder, tokenizer = load_encoder(find_encoder(MINILM))
    return Material(posts, parse_config(TrainingConfig, values, EXPERIMENT), types, encoder, tokenizer)


def ours(given: Material, posts: Texts, objective: ObjectiveConfig | None = None) -> Callable[[], float]:
    examples = given.laid_out(posts)
    config = given.config.model_copy(update={"objective": objective or given.config.objective})

    def run() -> float:
        encoder = copy.deepcopy(given.encoder)
        tagger = new_tagger(encoder, given.types, config.word_dropout, LONGEST, config.objective, word_shapes=True)
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            train(tagger, examples, [], config, given.tokenizer.pad_token_id, Workdir(Path(folder)))
            return time.process_time() - began

    return run


def plain_loop(given: Material) -> Callable[[], float]:
    """What a user writes who follows the course of `transformers`: the first sub-token of each word has its tag."""
    import torch
    from transformers import AutoModelForTokenClassification

    scheme = TagScheme(given.types)
    rows: list[tuple[list[int], list[int]]] = []
    for post, _ in given.bare():
        encoded = given.tokenizer(list(post.words), is_split_into_words=True, truncation=True, max_length=LONGEST)
        tags, before = scheme.encode(post.gold or (), len(post.words)), None
        labels = []
        for word in encoded.word_ids():
            labels.append(tags[word] if word is not None and word != before else IGNORED)
            before = word
        rows.append((encoded["input_ids"], labels))
    size = given.config.posts_per_update
    folder = str(find_encoder(MINILM).source)

    def padded(batch: list[list[int]], filler: int) -> torch.Tensor:
        longest = max(map(len, batch))
        return torch.tensor([row + [filler] * (longest - len(row)) for row in batch])

    def run() -> float:
        model = AutoModelForTokenClassification.from_pretrained(folder, num_labels=len(scheme.labels))
        model.train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=given.config.learning_rate)
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(1)).tolist()
        began = time.process_time()
        for start in range(0, len(order), size):
            ids, labels = zip(*(rows[number] for number in order[start : start + size]), strict=True)
            tokens = padded(list(ids), given.tokenizer.pad_token_id)
            mask = (tokens != given.tokenizer.pad_token_id).long()
            loss = model(input_ids=tokens, attention_mask=mask, labels=padded(list(labels), IGNORED)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), given.config.clip)
            optimizer.step()
            optimizer.zero_grad()
        return time.process_time() - began

    return run


def flair(given: Material, half: bool = False) -> Callable[[], float]:
    posts = [post for post, _ in given.posts]

    def run() -> float:
        few = posts[:2]
        trained = train_flair({"train": posts, "dev": few, "test": few}, given.config, half=half)
        return sum(trained.processor_seconds)

    return run


def operations(work: Callable[[], object]) -> int:
    """Floating-point operations of the products of matrices in some work; those of attention without dropout, which
    MiniLM has, would not be counted on a CPU.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def ratio(name: str, mine: Callable[[], float], other: Callable[[], float]) -> str:
    """Processor seconds of an epoch, medians, and the median of the ratios, round by round."""
    pairs = [(mine(), other()) for _ in range(ROUNDS)]
    medians = [statistics.median(side) for side in zip(*pairs, strict=True)]
    return f"{name:<58} {medians[0]:>10.2f} {medians[1]:>10.2f} {statistics.median(b / a for a, b in pairs):>7.2f}×"


def share(name: str, work: Callable[[], float], dtype: str) -> str:
    """How much of the fastest product of matrices an epoch of ours reaches."""
    done, fastest, seconds = operations(work), peak(dtype), work()
    reached, fastest = done / seconds, max(fastest, peak(dtype))
    said = f"{reached / 1e9:.0f} of {fastest / 1e9:.0f} GFLOP a processor second"
    return f"{name:<58} {said}, {reached / fastest:.0%} of the peak"


def lengths(given: Material) -> str:
    examples = given.laid_out(given.posts)
    text = sum(len(row) for example in examples for row in example.text.rows)
    both = sum(example.length for example in examples)
    longer = f"both views {both / (both - text):.2f} times those of I+T alone"
    return f"{len(examples)} tweets, {text / len(examples):.0f} sub-tokens each, with their contexts {longer}"


def compared(data: Path, count: int, knowledge: Path | None = None) -> Iterator[str]:
    import torch

    torch.set_num_threads(1)
    given = material(data, count, knowledge)
    yield lengths(given)
    for precision in ("fp32", "bf16"):
        ready = given.computing_in(precision)
        ours(ready, ready.bare())()  # the first one compiles the CRF
        if knowledge is None:
            yield from beside_others(ready, half=precision == "bf16")
        yield from beside_one_view(ready)


def beside_others(given: Material, half: bool) -> Iterator[str]:
    text, name = ours(given, given.bare()), f"text in {given.config.precision}"
    if not half:
        yield ratio(f"{name}, a plain loop", text, plain_loop(given))
    if PYTHON.exists():
        yield ratio(f"{name}, Flair", text, flair(given))
    if PYTHON.exists() and half:
        yield ratio(f"{name}, Flair with use_amp", text, flair(given, half=True))


def beside_one_view(given: Material) -> Iterator[str]:
    precision = given.config.precision
    alone = given.config.objective.without_alignment()
    one, both = ours(given, given.posts, alone), ours(given, given.posts)
    yield ratio(f"I+T in {precision}, both views and alignment", one, both)
    yield share(f"both views in {precision}", both, "float32" if precision == "fp32" else "bfloat16")


def main() -> None:
    parser = argparse.ArgumentParser(description="Seconds of an epoch beside a plain loop, Flair, and one view.")
    parser.add_argument("data", type=Path, help="the folder with Twitter-2015")
    parser.add_argument("posts", nargs="?", type=int, default=POSTS)
    parser.add_argument("--knowledge", type=Path, help="contexts to train on instead of captions")
    options = parser.parse_args()
    if not options.data.is_dir() or options.posts < 1:
        parser.error("name the folder with the files of Twitter-2015, and at least one post")
    print(f"{'':<58} {'ours, s':>10} {'other, s':>10} {'ratio':>8}")
    for line in compared(options.data, options.posts, options.knowledge):
        print(line, flush=True)


if __name__ == "__main__":
    main()

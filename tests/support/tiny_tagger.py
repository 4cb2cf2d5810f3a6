"""Small taggers, and posts to train them on within a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ita_pipeline.corpus.posts import Post, Span, join_words
from ita_pipeline.ner.config import ObjectiveConfig, TrainingConfig
from ita_pipeline.ner.metrics.scores import EpochScore
from ita_pipeline.ner.subtokens import SubTokenizer
from ita_pipeline.ner.tagger import Tagger, new_tagger
from ita_pipeline.ner.training.checkpoints import Workdir
from ita_pipeline.ner.training.loop import train
from ita_pipeline.ner.views import EncodedPost, ViewEncoder, encode_posts
from tests.support.messages import logged_messages
from tests.support.tiny_encoder import load

QUICK = TrainingConfig(
    epochs=12,
    batch_size=4,
    accumulation=1,
    learning_rate=3e-3,
    linear_learning_rate=3e-3,
    crf_learning_rate=3e-2,
    objective=ObjectiveConfig(alignment=0.1),
)


def posts(repeated: int = 4) -> list[tuple[Post, tuple[str, ...]]]:
    """The picture tells the type: a town's name stands on a sign."""
    found = []
    for number, name in enumerate(["kim", "lou", "max", "zoe", "tim", "pia"] * repeated):
        kind, context = ("LOC", "km sign") if number % 2 else ("PER", "a face")
        words = ("hi", name)
        text, offsets = join_words(words)
        found.append((Post(str(number), text, words, offsets, gold=(Span(1, 2, kind),)), (context,)))
    text, offsets = join_words(())
    return [*found, (Post("empty", text, (), offsets, gold=()), ("a sign",))]


@dataclass
class Bench:
    """A tagger and its posts, before or after training. `lines` are the messages but for those of each epoch."""

    tagger: Tagger
    examples: Sequence[EncodedPost]
    config: TrainingConfig
    pad: int
    desk: Workdir
    lines: list[str] = field(default_factory=list)

    def train(self) -> list[EpochScore]:
        with logged_messages() as messages:
            try:
                return train(self.tagger, self.examples, self.examples, self.config, self.pad, self.desk)
            finally:
                self.lines += [line for line in messages if not line.startswith("epoch ")]


def bench(
    encoder_folder: Path, desk: Path, config: TrainingConfig = QUICK, every: int = 0, repeated: int = 4
) -> Bench:
    import torch

    torch.manual_seed(config.seed)
    encoder, tokenizer = load(encoder_folder)
    tagger = new_tagger(encoder, ("LOC", "PER"), config.word_dropout, 64, config.objective)
    examples = encode_posts(posts(repeated), ViewEncoder(SubTokenizer.of(tokenizer), 64))
    return Bench(tagger, examples, config, tokenizer.pad_token_id, Workdir(desk, every))


TYPES = ("LOC", "PER")


def create_post(words: str, *spans: Span) -> Post:
    """A post of these words, which is its own id."""
    text, offsets = join_words(tuple(words.split()))
    return Post(text, text, tuple(words.split()), offsets, gold=spans)


# One of the posts has no contexts.
POSTS = [
    (create_post("ada spoke in leeds", Span(0, 1, "PER"), Span(3, 4, "LOC")), ("a woman",)),
    (create_post("so it is"), ()),
    (create_post("bob", Span(0, 1, "PER")), ("two men", "bob fc")),
]


def random_tagger(
    encoder_folder: Path, objective: ObjectiveConfig, word_dropout: float = 0.0
) -> tuple[Tagger, list[EncodedPost], Any]:
    """A tagger with a random CRF, `POSTS` encoded for it, and its tokenizer."""
    import torch

    encoder, tokenizer = load(encoder_folder)
    torch.manual_seed(1)
    tagger = new_tagger(encoder, TYPES, word_dropout, 64, objective).eval()
    with torch.no_grad():
        for parameter in tagger.crf.parameters():
            parameter.normal_()
    return tagger, encode_posts(POSTS, ViewEncoder(SubTokenizer.of(tokenizer), 64)), tokenizer

"""Batches of posts of like length, in an order that only the seed and the epoch decide."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from ita_pipeline.ner.tags import TagScheme
from ita_pipeline.ner.views import EncodedPost, collate, word_mask

# Batches are sorted by length within so many at a time: more spare no padding that counts, and mix less.
POOL = 50


def make_buckets(lengths: Sequence[int], size: int, seed: int, epoch: int) -> list[list[int]]:
    """The batches of one epoch: numbers of examples, `size` a batch, with little difference in length.

    Every example is in one batch. All batches are full but one, if their number does not come out even.
    """
    random = Random(f"{seed}/{epoch}")
    order = list(range(len(lengths)))
    random.shuffle(order)
    pools = [
        sorted(order[start : start + size * POOL], key=lambda n: lengths[n]) for start in steps(order, size * POOL)
    ]
    batches = [pool[start : start + size] for pool in pools for start in steps(pool, size)]
    random.shuffle(batches)
    return batches


def steps(numbers: Sequence[int], size: int) -> range:
    return range(0, len(numbers), size)


class BucketSampler:
    """The batches of the epoch that a training is in, for a data loader.

    `step` says how many updates are done. Nothing else is remembered, so a training that is taken up again sees
    the batches that it would have seen.
    """

    def __init__(self, lengths: Sequence[int], size: int, seed: int, step: Callable[[], int]) -> None:
        self.lengths, self.size, self.seed, self.step = lengths, size, seed, step

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.size)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(make_buckets(self.lengths, self.size, self.seed, self.step() // len(self)))


class Batcher:
    """Makes the tagger's input from training examples, given by their numbers."""

    def __init__(self, scheme: TagScheme, examples: Sequence[EncodedPost], pad: int) -> None:
        self.scheme, self.examples, self.pad = scheme, examples, pad

    def __call__(self, numbers: Sequence[int]) -> dict[str, Any]:
        import torch

        examples = [self.examples[number] for number in numbers]
        mask = word_mask([len(example.post.words) for example in examples])
        tags = torch.zeros(mask.shape, dtype=torch.long)
        for row, example in enumerate(examples):
            encoded = self.scheme.encode(example.post.gold or (), len(example.post.words))
            tags[row, : len(encoded)] = torch.tensor(encoded)
        contexts = [example.context for example in examples if example.context is not None]
        return {
            "text": collate([example.text for example in examples], self.pad),
            "context": collate(contexts, self.pad) if contexts else None,
            "with_context": torch.tensor([example.context is not None for example in examples]),
            "tags": tags,
            "mask": mask,
        }

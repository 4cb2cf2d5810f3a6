"""Batches of posts of similar length, in an order that depends only on the seed and the epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from ita_pipeline.ner.config import ObjectiveConfig
from ita_pipeline.ner.runtimes import as_tensors
from ita_pipeline.ner.tags import TagScheme
from ita_pipeline.ner.views import EncodedPost, collate, word_mask
from stages.batching import batched

# Posts are sorted by length within pools of this many batches: more save little padding and mix less.
POOL_BATCHES = 50


def make_buckets(lengths: Sequence[int], size: int, seed: int, epoch: int) -> list[list[int]]:
    """The batches of one epoch: indices of examples, `size` a batch, with little difference in length.

    Every example is in one batch. All batches are full except perhaps one.
    """
    random = Random(f"{seed}/{epoch}")
    order = list(range(len(lengths)))
    random.shuffle(order)
    batches: list[list[int]] = []
    for pool in batched(order, size * POOL_BATCHES):
        batches += batched(sorted(pool, key=lambda index: lengths[index]), size)
    random.shuffle(batches)
    return batches


class BucketSampler:
    """The batches of the current epoch, for a data loader.

    `step` returns the number of finished updates. The sampler has no other state, so a resumed training gets the
    batches that it would have got.
    """

    def __init__(self, lengths: Sequence[int], size: int, seed: int, step: Callable[[], int]) -> None:
        self.lengths, self.size, self.seed, self.step = lengths, size, seed, step

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.size)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(make_buckets(self.lengths, self.size, self.seed, self.step() // len(self)))


class Batcher:
    """Creates the tagger's input from the indices of training examples."""

    def __init__(self, scheme: TagScheme, examples: Sequence[EncodedPost], pad: int) -> None:
        self.scheme, self.examples, self.pad = scheme, examples, pad

    def count_views(self, indices: Sequence[int], objective: ObjectiveConfig) -> int:
        """The number of trained views of these examples."""
        return sum(objective.count_views(self.examples[index].context is not None) for index in indices)

    def __call__(self, indices: Sequence[int]) -> dict[str, Any]:
        """The arguments of `Tagger.forward` for these examples."""
        import torch

        examples = [self.examples[index] for index in indices]
        mask = torch.from_numpy(word_mask([len(example.post.words) for example in examples]))
        tags = torch.zeros(mask.shape, dtype=torch.long)
        for row, example in enumerate(examples):
            encoded = self.scheme.encode(example.post.gold or (), len(example.post.words))
            tags[row, : len(encoded)] = torch.tensor(encoded)
        contexts = [example.context for example in examples if example.context is not None]
        return {
            "text": as_tensors(collate([example.text for example in examples], self.pad)),
            "context": as_tensors(collate(contexts, self.pad)) if contexts else None,
            "with_context": torch.tensor([example.context is not None for example in examples]),
            "tags": tags,
            "mask": mask,
        }

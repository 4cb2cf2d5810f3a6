"""The CRF beside `pytorch-crf`: log-likelihood with gradient, and Viterbi, on one thread and on two."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torchcrf import CRF

from benchmarks.timing import Comparison, compare
from ita_pipeline.ner.crf import LinearChainCRF

SIZES = [(1, 32, 9), (16, 64, 13), (32, 128, 17)]


def run() -> Iterator[Comparison]:
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for size in SIZES:
            yield from compared(*size, threads)
    torch.set_num_threads(before)


def compared(batch: int, length: int, tags: int, threads: int) -> Iterator[Comparison]:
    emissions = torch.randn(batch, length, tags, requires_grad=True)
    gold = torch.randint(tags, (batch, length))
    mask = torch.ones(batch, length, dtype=torch.bool)
    ours, peer = LinearChainCRF(tags), CRF(tags, batch_first=True)
    decode: Any = peer.decode  # takes the mask, whatever its annotation says
    size = f"({batch}, {length}, {tags}), {threads} thread{'s' * (threads > 1)}"
    yield compare(
        f"CRF loss + gradient {size}, pytorch-crf",
        lambda: ours.log_likelihood(emissions, gold, mask).sum().backward(),
        lambda: peer(emissions, gold, mask).backward(),
        pairs=21,
    )
    yield compare(
        f"CRF Viterbi {size}, pytorch-crf",
        lambda: ours.decode(emissions, mask),
        lambda: decode(emissions, mask),
        pairs=21,
    )

"""The CRF beside `pytorch-crf`: log-likelihood with gradient, and Viterbi."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torchcrf import CRF

from benchmarks.timing import Comparison, compare
from ita_pipeline.ner.crf import LinearChainCRF

SIZES = [(1, 32, 9), (16, 64, 13), (32, 128, 17)]


def run() -> Iterator[Comparison]:
    for batch, length, tags in SIZES:
        emissions = torch.randn(batch, length, tags, requires_grad=True)
        gold = torch.randint(tags, (batch, length))
        mask = torch.ones(batch, length, dtype=torch.bool)
        ours, peer = LinearChainCRF(tags), CRF(tags, batch_first=True)
        size = f"({batch}, {length}, {tags})"
        yield compare(
            f"CRF log-likelihood and gradient {size}, pytorch-crf",
            lambda: ours.log_likelihood(emissions, gold, mask).sum().backward(),  # noqa: B023
            lambda: peer(emissions, gold, mask).backward(),  # noqa: B023
            pairs=7,
        )
        yield compare(
            f"CRF Viterbi {size}, pytorch-crf",
            lambda: ours.decode(emissions, mask),  # noqa: B023
            lambda: peer.decode(emissions, mask),  # noqa: B023
            pairs=7,
        )

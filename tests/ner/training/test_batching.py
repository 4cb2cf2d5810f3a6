"""Batches: every post once an epoch, with others of its length, in an order that the seed decides."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ita_pipeline.ner.training.batching import BucketSampler, make_buckets

LENGTHS = st.lists(st.integers(1, 200), max_size=300)


@given(LENGTHS, st.integers(1, 20), st.integers(0, 5), st.integers(0, 5))
def test_every_post_is_in_one_batch_and_batches_are_full(lengths: list[int], size: int, seed: int, epoch: int):
    batches = make_buckets(lengths, size, seed, epoch)
    assert sorted(number for batch in batches for number in batch) == list(range(len(lengths)))
    assert sum(len(batch) < size for batch in batches) <= 1
    assert len(batches) == len(BucketSampler(lengths, size, seed, lambda: 0))


def test_posts_of_similar_length_share_a_batch():
    lengths = [10 + 7919 * number % 100 for number in range(4000)]
    batches = make_buckets(lengths, 16, 1, 0)
    padded = sum(len(batch) * max(lengths[number] for number in batch) for batch in batches)
    assert padded < 1.03 * sum(lengths)
    # Short and long batches alternate: no epoch begins with the long ones.
    first = statistics.mean(lengths[number] for batch in batches[:125] for number in batch)
    assert abs(first - statistics.mean(lengths)) < 10


def test_each_epoch_and_each_seed_has_its_own_order():
    lengths = list(range(100))
    orders = [str(make_buckets(lengths, 4, seed, epoch)) for seed in range(3) for epoch in range(3)]
    assert len(set(orders)) == 9


def test_the_order_is_the_same_in_another_process():
    code = (
        "from ita_pipeline.ner.training.batching import make_buckets; print(make_buckets(list(range(40)), 4, 7, 2))"
    )
    environment = {"PYTHONHASHSEED": "9", "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == str(make_buckets(list(range(40)), 4, 7, 2))


def test_the_epoch_follows_from_the_finished_updates():
    step = 0
    buckets = BucketSampler(list(range(10)), 3, 1, lambda: step)
    first = list(buckets)
    step = 3
    assert list(buckets) == first
    step = 4
    assert list(buckets) == make_buckets(list(range(10)), 3, 1, 1) != first

"""What a hundred million pictures, or ten billion, would take: a calculation, and a simulation that checks it.

`python -m benchmarks.scale_model` prints both. The calculation multiplies; the simulation lets every machine work
segment by segment, fail, start again, put its objects through a store that is slow and sometimes refuses, and lists
what it did. Where they disagree, the calculation has forgotten something.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, replace

HOUR, DAY = 3600.0, 86_400.0
MEGA, GIGA, TERA = 1e6, 1e9, 1e12


@dataclass(frozen=True)
class StageCost:
    """Seconds a picture of one worker, and bytes of a record."""

    name: str
    seconds: float
    size: float


@dataclass(frozen=True)
class Measured:
    """What was measured on two cores of a virtual machine; `docs/scale.md` says how."""

    stages: tuple[StageCost, ...] = (
        StageCost("objects", 0.064, 777.0),
        StageCost("ocr", 0.042, 761.0),
        StageCost("caption", 0.0001, 206.0),
    )
    # The planner and the index, a record or an item.
    index_seconds: float = 9.0e-6
    index_bytes: float = 67.0
    plan_seconds: float = 5.8e-6
    item_bytes: float = 530.0
    # A fetched record is held against its check sum and its type.
    check_seconds: float = 20e-6


@dataclass(frozen=True)
class Assumed:
    """What was not measured, and stands for a usual cluster."""

    workers: int = 1000
    # A worker with a GPU beside the two cores: how much faster it is on each stage.
    faster: float = 1.0
    put_seconds: float = 0.1
    bytes_a_second: float = 50 * MEGA
    refused: float = 0.01
    retry_seconds: float = 1.0
    # A worker is lost so often, on average, and is there again after so long.
    between_losses: float = 30 * DAY
    start_seconds: float = 120.0
    # What is closed after so long, or when it is so large; and what one process plans at once.
    oldest: float = 300.0
    large: float = 64 * 1024 * 1024
    a_shard: int = 5_000_000
    small: float = 4 * 1024 * 1024
    together: int = 128


@dataclass(frozen=True)
class Outcome:
    """Hours from start to end, hours of work of all workers, and what the store was asked to do."""

    hours: float
    worker_hours: float
    objects: float
    puts: float
    size: float
    lost_hours: float

    def row(self, what: str) -> str:
        return (
            f"| {what} | {self.hours:.1f} | {self.worker_hours:.0f} | {self.objects:.0f} | {self.puts:.0f} "
            f"| {self.size / TERA:.3f} | {self.lost_hours:.1f} |"
        )


HEADER = (
    "| | hours | worker hours | objects before merging | puts | TB | hours lost |\n"
    "|---|---:|---:|---:|---:|---:|---:|"
)


def seconds_of(measured: Measured, assumed: Assumed) -> float:
    """Of a picture through all stages, planned and indexed, on one worker."""
    work = sum(stage.seconds for stage in measured.stages) / assumed.faster
    return work + len(measured.stages) * (measured.index_seconds + measured.plan_seconds)


def bytes_of(measured: Measured) -> float:
    return sum(stage.size for stage in measured.stages)


def round_seconds(measured: Measured, assumed: Assumed) -> float:
    """How long a worker writes before it closes its segments: until they are old, or the largest is large."""
    each = seconds_of(measured, assumed)
    return min(assumed.oldest, assumed.large / max(stage.size for stage in measured.stages) * each)


def calculated(pictures: int, measured: Measured, assumed: Assumed) -> Outcome:
    """What multiplying says."""
    work = pictures * seconds_of(measured, assumed)
    a_round = round_seconds(measured, assumed)
    kinds = len(measured.stages)
    segments = work / a_round * kinds
    # A loss costs the start of a new worker, and on average half of what was written since the last put.
    losses = work / assumed.between_losses
    lost = losses * a_round / 2
    busy = work + lost + losses * assumed.start_seconds
    puts = segments / (1 - assumed.refused)
    return Outcome(
        hours=busy / assumed.workers / HOUR,
        worker_hours=busy / HOUR,
        objects=segments,
        puts=puts,
        size=pictures * bytes_of(measured),
        lost_hours=lost / HOUR,
    )


def simulated(pictures: int, measured: Measured, assumed: Assumed, seed: int = 1) -> Outcome:
    """What comes of it when every worker goes through its rounds: work, put, be lost, start again.

    Work is handed out by the round, as from shards that are many more than workers. Putting goes on beside the
    work; a worker that has nothing left to do still waits for what it has to put.
    """
    chance = random.Random(seed)
    each, kinds = seconds_of(measured, assumed), len(measured.stages)
    a_round = round_seconds(measured, assumed)
    batch = max(1, int(a_round / each))
    left, end = pictures, 0.0
    busy = lost = objects = puts = size = 0.0
    turn = [(chance.random() * assumed.start_seconds, number) for number in range(assumed.workers)]
    heapq.heapify(turn)
    put_until = [0.0] * assumed.workers
    while left > 0:
        now, number = heapq.heappop(turn)
        count = min(batch, left)
        spent = count * each
        fails_after = chance.expovariate(1 / assumed.between_losses)
        if fails_after < spent:
            busy += fails_after + assumed.start_seconds
            lost += fails_after
            heapq.heappush(turn, (now + fails_after + assumed.start_seconds, number))
            continue
        left -= count
        done = now + spent
        busy += spent
        took = 0.0
        for stage in measured.stages:
            content = count * stage.size
            tries = 1
            while chance.random() < assumed.refused:
                tries += 1
            puts += tries
            took += tries * (assumed.put_seconds + content / assumed.bytes_a_second)
            took += (tries - 1) * assumed.retry_seconds
            size += content
        objects += kinds
        put_until[number] = max(done, put_until[number]) + took
        end = max(end, put_until[number])
        heapq.heappush(turn, (done, number))
    return Outcome(end / HOUR, busy / HOUR, objects, puts, size, lost / HOUR)


def after_merging(outcome: Outcome, measured: Measured, assumed: Assumed) -> float:
    """Objects that stay when small ones are brought together: the bytes in large ones, and a crowd still small."""
    return outcome.size / assumed.large + len(measured.stages) * assumed.together


@dataclass(frozen=True)
class Limits:
    """Where one machine would come to its end with so many pictures, were they not divided."""

    planner_gigabytes: float
    index_gigabytes: float
    index_hours: float
    fetch_hours: float
    listing_requests: float
    shards: int


def limits(pictures: int, measured: Measured, assumed: Assumed) -> Limits:
    """Everything planned and fetched by one process."""
    kinds = len(measured.stages)
    size = pictures * bytes_of(measured)
    fetching = size / assumed.bytes_a_second + pictures * kinds * measured.check_seconds
    merged = after_merging(calculated(pictures, measured, assumed), measured, assumed)
    return Limits(
        planner_gigabytes=pictures * measured.item_bytes / GIGA,
        index_gigabytes=pictures * kinds * measured.index_bytes / GIGA,
        index_hours=pictures * kinds * measured.index_seconds / HOUR,
        fetch_hours=fetching / HOUR,
        listing_requests=merged / 1000 + kinds,
        shards=-(-pictures // assumed.a_shard),
    )


def main() -> None:
    measured, assumed = Measured(), Assumed()
    cases = {
        "100 million, 1 000 workers": (100_000_000, assumed),
        "10 billion, 10 000 workers": (10_000_000_000, replace(assumed, workers=10_000)),
        "100 million, workers lost daily": (100_000_000, replace(assumed, between_losses=DAY)),
        "100 million, every third put refused": (100_000_000, replace(assumed, refused=1 / 3)),
    }
    print(HEADER)
    for name, (pictures, case) in cases.items():
        print(calculated(pictures, measured, case).row(f"{name}: calculated"), flush=True)
        print(simulated(pictures, measured, case).row(f"{name}: simulated"), flush=True)
    print()
    for pictures in (10_000_000, 100_000_000, 10_000_000_000):
        print(f"{pictures}: {limits(pictures, measured, assumed)}")
    each = {stage.name: stage.seconds / HOUR * 1e8 for stage in measured.stages}
    print("worker hours for 100 million:", {name: round(hours) for name, hours in each.items()})


if __name__ == "__main__":
    main()

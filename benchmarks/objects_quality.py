"""How well things are found: `python -m benchmarks.objects_quality FOLDER [setting=value …]`.

FOLDER (or `ITA_OBJECTS_DATA`) has photos `*.jpg` and `objects.jsonl`, a line a photo: {image, width, height,
objects: [{label, box_xywh}]}.
Settings are those of the stage `objects`, such as `detector=FOLDER vocabulary=coco`; attributes are not looked for.
The photos are split in halves, every other one: the threshold is chosen on the first and judged on the second.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from pydantic import ValidationError

from benchmarks.counts import Score
from stages.base import Item, StageError
from stages.objects.schema import NO_ATTRIBUTES, ObjectsConfig, ObjectsValue
from stages.objects.stage import ObjectsStage

COVERED = 0.5
THRESHOLDS = tuple(step / 100 for step in range(5, 75, 5))

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Thing:
    """`box` is xyxy in pixels. The score of what was expected is 1."""

    label: str
    box: Box
    score: float = 1.0


@dataclass(frozen=True)
class Photo:
    path: Path
    things: tuple[Thing, ...]


def overlap(a: Box, b: Box) -> float:
    """Intersection over union, 0 for two empty boxes."""
    both = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    either = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - both
    return both / either if either > 0 else 0.0


def matched(found: Sequence[Thing], expected: Sequence[Thing]) -> Score:
    """One to one, the best-scored first: each takes of the things with its label that are left the one that it
    covers best, if that is at least half (intersection over union).
    """
    left, right = list(expected), 0
    for thing in sorted(found, key=lambda thing: -thing.score):
        alike = [other for other in left if other.label == thing.label]
        best = max(alike, key=lambda other: overlap(thing.box, other.box), default=None)
        if best is not None and overlap(thing.box, best.box) >= COVERED:
            left.remove(best)
            right += 1
    return Score(right, len(found), len(expected))


def photos_of(folder: Path) -> list[Photo]:
    """The photos of `objects.jsonl`, by name."""
    photos: list[Photo] = []
    for line in (folder / "objects.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        corners = ((entry["label"], *entry["box_xywh"]) for entry in row["objects"])
        things = tuple(Thing(label, (x, y, x + w, y + h)) for label, x, y, w, h in corners)
        photos.append(Photo(folder / row["image"], things))
    return sorted(photos, key=lambda photo: photo.path.name)


def opened(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB")


def looked_for(stage: ObjectsStage, photos: Sequence[Photo]) -> list[list[Thing]]:
    """What the stage finds in each photo."""
    found: list[list[Thing]] = []
    for start in range(0, len(photos), stage.batch_size):
        batch = photos[start : start + stage.batch_size]
        items = [Item(photo.path.name, photo.path.name, lambda path=photo.path: opened(path)) for photo in batch]
        for value in stage.run(items):
            if not isinstance(value, ObjectsValue):
                raise RuntimeError(f"a photo could not be looked at: {value}")
            found.append([Thing(thing.label, thing.box, thing.score) for thing in value.objects])
    return found


def score_at(threshold: float, photos: Sequence[Photo], found: Sequence[Sequence[Thing]]) -> Score:
    total = Score(0, 0, 0)
    for photo, things in zip(photos, found, strict=True):
        total += matched([thing for thing in things if thing.score >= threshold], photo.things)
    return total


def best_threshold(photos: Sequence[Photo], found: Sequence[Sequence[Thing]]) -> float:
    """By F1; of equal ones the lowest."""
    return max(THRESHOLDS, key=lambda threshold: score_at(threshold, photos, found).f1)


def report(photos: Sequence[Photo], found: Sequence[Sequence[Thing]]) -> list[str]:
    halves = {"tuned on": slice(0, None, 2), "held out": slice(1, None, 2)}
    threshold = best_threshold(photos[::2], found[::2])
    lines = [f"threshold {threshold:.2f}, the best on the first half"]
    for title, half in halves.items():
        score = score_at(threshold, photos[half], found[half])
        numbers = f"P {score.precision:.2f} R {score.recall:.2f} F1 {score.f1:.3f}"
        lines.append(f"{title}: {numbers} ({score.right} right of {score.found}, {score.expected} expected)")
    return lines


def main(arguments: Sequence[str]) -> None:
    settings = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    places = [argument for argument in arguments if "=" not in argument]
    folder = Path(places[0] if places else os.environ.get("ITA_OBJECTS_DATA", ""))
    if not (folder / "objects.jsonl").is_file():
        sys.exit("usage: python -m benchmarks.objects_quality FOLDER [setting=value …], FOLDER with objects.jsonl")
    try:
        stage = ObjectsStage(ObjectsConfig.model_validate({"attributes": NO_ATTRIBUTES, **settings}))
        stage.open()
    except (StageError, ValidationError) as error:
        sys.exit(str(error))
    photos = photos_of(folder)
    began = time.perf_counter()
    found = looked_for(stage, photos)
    seconds = (time.perf_counter() - began) / len(photos)
    print(f"{len(photos)} photos, {seconds:.2f} s each, detector {stage.config.detector}")
    print("\n".join(report(photos, found)))


if __name__ == "__main__":
    main(sys.argv[1:])

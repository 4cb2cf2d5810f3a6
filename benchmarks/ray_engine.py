"""The same extraction in two actors of Ray and by the local engine: `python -m benchmarks.ray_engine [FOLDER
[PICTURES PAIRS]]` (or `ITA_PICTURES`), a folder of pictures such as those of tweets.

OCR and objects of the preset bundled, each time into an empty cache. The cluster is there before; that the actors
start and load their models counts. The ratio is the local engine's seconds by Ray's: 1 is as fast, 0.9 is a tenth
of overhead. The second line is what the start of actors costs: the same with four pictures.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import ita_pipeline as ita
from benchmarks.extraction import chosen
from benchmarks.timing import HEADER, Comparison, compare
from ita_pipeline.core.config import package_data_folder
from ita_pipeline.engines.ray.cluster import RayPool, connect

PICTURES, PAIRS, ACTORS = 300, 3, 2


def extract(images: Path, ray: RayPool | None) -> None:
    with tempfile.TemporaryDirectory() as workspace:
        options = ita.Options(preset="bundled", stages=("ocr", "objects"), workspace=Path(workspace), ray=ray)
        done = ita.extract(images, options)
        if not done.clean or done.waiting:
            raise RuntimeError("pictures failed or were left, so that the time would flatter")


def run(folder: Path, count: int = PICTURES, pairs: int = PAIRS) -> Iterator[Comparison]:
    pool = RayPool(actors=ACTORS)
    with connect(RayPool(address="local")), tempfile.TemporaryDirectory() as place:
        for some in (count, 4):
            paths = chosen(folder, some)
            images = Path(place) / str(some)
            images.mkdir()
            for path in paths:
                (images / path.name).symlink_to(path.resolve())

            def with_ray(images: Path = images) -> None:
                extract(images, pool)

            def alone(images: Path = images) -> None:
                extract(images, None)

            yield compare(f"{ACTORS} actors, {len(paths)} pictures, the local engine", with_ray, alone, pairs)


def main(arguments: Sequence[str]) -> None:
    place = Path(arguments[0] if arguments else os.environ.get("ITA_PICTURES", ""))
    if not arguments and not os.environ.get("ITA_PICTURES"):
        place = package_data_folder("examples") / "posts" / "images"
    if not place.is_dir():
        sys.exit("usage: python -m benchmarks.ray_engine [FOLDER [PICTURES PAIRS]]")
    count, pairs = (int(arguments[1]), int(arguments[2])) if len(arguments) > 2 else (PICTURES, PAIRS)
    print(HEADER)
    for comparison in run(place, count, pairs):
        print(comparison, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

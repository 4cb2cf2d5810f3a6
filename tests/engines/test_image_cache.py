"""Pictures are decoded once and ahead, and memory stays bounded."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from ita_pipeline.cache.plan import make_plan
from ita_pipeline.cache.store import Store
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.engines.executor import InProcessExecutor
from ita_pipeline.engines.image_cache import DecodedImageCache
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.sources.decode import open_image
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef
from stages.base import BadItemError, Failure, Item, Value
from tests.support.fakes import SizeConfig, SizeStage, draw, ref

SIDE = 10
EACH = SIDE * SIDE * 3


class Eyes:
    """Decodes squares, counts how often each, and fails on those called `bad`."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, image: ImageRef) -> Image.Image:
        self.gate.wait(10)
        self.seen[image.key] += 1
        if image.key == "bad":
            raise BadItemError("no picture")
        return Image.new("RGB", (SIDE, SIDE))


def images(*names: str) -> list[ImageRef]:
    return [ImageRef(name, LocalFile(Path(name))) for name in names]


def test_what_is_asked_for_twice_is_decoded_once():
    eyes = Eyes()
    cache = DecodedImageCache(eyes, 10 * EACH)
    for image in images("a", "b", "a", "b"):
        assert cache.get(image).size == (SIDE, SIDE)
    assert eyes.seen == {"a": 1, "b": 1}


def test_two_that_ask_at_once_share_what_is_decoded():
    eyes = Eyes()
    cache = DecodedImageCache(eyes, 10 * EACH)
    eyes.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(cache.get, image) for image in images(*"abababab")]
        time.sleep(0.1)
        eyes.gate.set()
    assert {picture.result().size for picture in asked} == {(SIDE, SIDE)}
    assert eyes.seen == {"a": 1, "b": 1}


def test_what_finds_no_room_is_decoded_by_each_who_asks():
    eyes = Eyes()
    cache = DecodedImageCache(eyes, EACH - 1)
    with ThreadPoolExecutor(4) as pool:
        assert {picture.size for picture in pool.map(cache.get, images(*"aaaa"))} == {(SIDE, SIDE)}
    assert eyes.seen["a"] >= 1
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(cache.get, image) for image in images("bad", "bad", "bad", "bad")]
    assert all(isinstance(picture.exception(), BadItemError) for picture in asked)


def test_memory_is_bounded_and_the_oldest_goes_first():
    eyes = Eyes()
    cache = DecodedImageCache(eyes, 2 * EACH)
    for image in images("a", "b", "a", "c", "a", "b"):
        cache.get(image)
        assert cache.bytes == sum(3 * p.width * p.height for p in cache.images.values()) <= 2 * EACH
    assert eyes.seen == {"a": 1, "b": 2, "c": 1}


def test_what_is_larger_than_all_room_is_not_remembered():
    cache = DecodedImageCache(Eyes(), EACH - 1)
    cache.get(images("a")[0])
    assert cache.bytes == 0


def test_what_is_expected_is_there_when_it_is_asked_for():
    eyes = Eyes()
    cache = DecodedImageCache(eyes, 10 * EACH)
    cache.prefetch(images("a", "bad", "b"))
    cache.background.shutdown()
    assert eyes.seen == {"a": 1, "bad": 1, "b": 1}
    cache.get(images("a")[0])
    assert eyes.seen["a"] == 1
    with pytest.raises(BadItemError):
        cache.get(images("bad")[0])


def test_ahead_only_as_far_as_there_is_room_and_nothing_is_pushed_out():
    cache = DecodedImageCache(Eyes(), 2 * EACH)
    cache.get(images("now")[0])
    cache.prefetch(images("a", "b", "c"))
    cache.background.shutdown()
    assert list(cache.images) == ["now", "a"]


def test_whoever_cannot_wait_decodes_by_himself():
    eyes = Eyes()
    cache = DecodedImageCache(eyes, 10 * EACH)
    eyes.gate.clear()
    cache.prefetch(images("a", "b"))
    threading.Timer(0.05, eyes.gate.set).start()
    cache.get(images("b")[0])
    cache.get(images("a")[0])
    assert eyes.seen == {"a": 1, "b": 1}


class Other(SizeStage):
    name = "other"


class Opening:
    """`open_image`, counted."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def __call__(self, image: ImageRef) -> Image.Image:
        self.seen[image.label] += 1
        return open_image(image)


def test_all_stages_of_a_run_share_one_decoding(tmp_path: Path):
    opening, executor = Opening(), InProcessExecutor()
    executor.image_cache = DecodedImageCache(opening, 10**6)
    found = [ref(draw(Path(f"{n}.png"), size=(n + 1, 5))) for n in range(7)]
    store, stages = Store(tmp_path), [SizeStage(SizeConfig(batch=3)), Other(SizeConfig(batch=2))]
    outcomes = LocalEngine(executor).run(make_plan(stages, found, store), store, NoProgress())
    assert [outcome.done for outcome in outcomes] == [7, 7]
    assert opening.seen == {f"{n}.png": 1 for n in range(7)}


class Crashing(SizeStage):
    """Ends its process when it is shown a picture called `abort`."""

    name = "crashing"

    def run(self, items: Sequence[Item]) -> list[Value | Failure]:
        if any("abort" in item.name for item in items):
            os.abort()
        return super().run(items)


def test_several_stages_side_by_side_survive_the_death_of_their_process(tmp_path: Path):
    names = ["a", "b", "c", "abort", "d", "e"]
    found = [ref(draw(tmp_path / f"{name}.png", size=(n + 1, 5))) for n, name in enumerate(names)]
    store, stages = Store(tmp_path), [SizeStage(SizeConfig(batch=2)), Crashing(SizeConfig(batch=2))]
    with SubprocessExecutor() as executor:
        calm, hurt = LocalEngine(executor).run(make_plan(stages, found, store), store, NoProgress())
    assert calm.done == 6
    assert hurt.done == 5
    assert [Path(failed.item.label).name for failed in hurt.failed] == ["abort.png"]

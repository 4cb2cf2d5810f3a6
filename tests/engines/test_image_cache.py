"""The cache of decoded images: each is decoded once, or ahead of its use, in bounded memory."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from ita_pipeline.engines.image_cache import DecodedImageCache
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef
from stages.base import BadItemError

SIDE = 10
EACH = SIDE * SIDE * 4  # Pillow keeps RGB in four bytes a pixel


class Decoder:
    """Decodes every image as a square, counts how often, and fails on `bad`."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, image: ImageRef) -> Image.Image:
        self.gate.wait(10)
        self.counts[image.key] += 1
        if image.key == "bad":
            raise BadItemError("no picture")
        return Image.new("RGB", (SIDE, SIDE))


def images(*names: str) -> list[ImageRef]:
    return [ImageRef(name, LocalFile(Path(name))) for name in names]


def test_an_image_is_decoded_once():
    decoder = Decoder()
    cache = DecodedImageCache(decoder, 10 * EACH)
    for image in images("a", "b", "a", "b"):
        assert cache.get(image).size == (SIDE, SIDE)
    assert decoder.counts == {"a": 1, "b": 1}


def test_threads_that_need_the_same_image_share_one_decoding():
    decoder = Decoder()
    cache = DecodedImageCache(decoder, 10 * EACH)
    decoder.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(cache.get, image) for image in images(*"abababab")]
        time.sleep(0.1)
        decoder.gate.set()
    assert {picture.result().size for picture in asked} == {(SIDE, SIDE)}
    assert decoder.counts == {"a": 1, "b": 1}


def test_an_image_that_does_not_fit_is_decoded_at_each_use():
    decoder = Decoder()
    cache = DecodedImageCache(decoder, EACH - 1)
    with ThreadPoolExecutor(4) as pool:
        assert {picture.size for picture in pool.map(cache.get, images(*"aaaa"))} == {(SIDE, SIDE)}
    assert decoder.counts["a"] >= 1
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(cache.get, image) for image in images("bad", "bad", "bad", "bad")]
    assert all(isinstance(picture.exception(), BadItemError) for picture in asked)


def test_memory_is_bounded_and_the_least_recently_used_image_is_evicted():
    decoder = Decoder()
    cache = DecodedImageCache(decoder, 2 * EACH)
    for image in images("a", "b", "a", "c", "a", "b"):
        cache.get(image)
        assert cache.bytes == sum(4 * p.width * p.height for p in cache.images.values()) <= 2 * EACH
    assert decoder.counts == {"a": 1, "b": 2, "c": 1}


def test_an_image_larger_than_the_cache_is_not_cached():
    cache = DecodedImageCache(Decoder(), EACH - 1)
    cache.get(images("a")[0])
    assert cache.bytes == 0


def test_prefetched_images_are_decoded_before_their_use():
    decoder = Decoder()
    cache = DecodedImageCache(decoder, 10 * EACH)
    cache.prefetch(images("a", "bad", "b"))
    cache.background.shutdown()
    assert decoder.counts == {"a": 1, "bad": 1, "b": 1}
    cache.get(images("a")[0])
    assert decoder.counts["a"] == 1
    with pytest.raises(BadItemError):
        cache.get(images("bad")[0])


def test_a_prefetch_stops_where_the_cache_is_full_and_evicts_nothing():
    cache = DecodedImageCache(Decoder(), 2 * EACH)
    cache.get(images("now")[0])
    cache.prefetch(images("a", "b", "c"))
    cache.background.shutdown()
    assert list(cache.images) == ["now", "a"]


def test_an_image_that_is_needed_before_its_prefetch_is_decoded_at_once():
    decoder = Decoder()
    cache = DecodedImageCache(decoder, 10 * EACH)
    decoder.gate.clear()
    cache.prefetch(images("a", "b"))
    threading.Timer(0.05, decoder.gate.set).start()
    cache.get(images("b")[0])
    cache.get(images("a")[0])
    assert decoder.counts == {"a": 1, "b": 1}

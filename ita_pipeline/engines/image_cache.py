"""A cache of decoded images in bounded memory, which can also decode images ahead of their use."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from ita_pipeline.sources.decode import BYTES_PER_PIXEL
from ita_pipeline.sources.refs import ImageRef

if TYPE_CHECKING:
    from PIL.Image import Image


class DecodedImageCache:
    """Decodes each image once and evicts the least recently used ones. Safe for use from several threads."""

    def __init__(self, decode: Callable[[ImageRef], Image], max_bytes: int) -> None:
        self.decode = decode
        self.max_bytes = max_bytes
        self.lock = threading.Lock()
        self.images: OrderedDict[str, Image] = OrderedDict()
        self.bytes = 0
        self.image_locks: dict[str, threading.Lock] = {}
        self.pending: dict[str, Future[None]] = {}
        self.background = ThreadPoolExecutor(1)

    def get(self, ref: ImageRef) -> Image:
        """Return a decoded image.

        Raises:
            BadItemError: as `sources.decode.open_image`. The error is not cached: each stage decodes again.
        """
        with self.lock:
            pending = self.pending.pop(ref.key, None)
            image_lock = self.image_locks.setdefault(ref.key, threading.Lock())
        if pending is not None and not pending.cancel():
            pending.result()
        with image_lock:  # another thread may be decoding the same image
            try:
                return self._lookup(ref) or self._decode_and_add(ref, evict=True)
            finally:
                with self.lock:
                    self.image_locks.pop(ref.key, None)

    def prefetch(self, refs: Sequence[ImageRef]) -> None:
        """Decode these images in the background while memory lasts, instead of those of the last call."""
        with self.lock:
            for pending in self.pending.values():
                pending.cancel()
            missing = [ref for ref in refs if ref.key not in self.images]
            self.pending = {ref.key: self.background.submit(self._decode_ahead, ref) for ref in missing}

    def _lookup(self, ref: ImageRef) -> Image | None:
        with self.lock:
            if ref.key in self.images:
                self.images.move_to_end(ref.key)
            return self.images.get(ref.key)

    def _decode_ahead(self, ref: ImageRef) -> None:
        if self.bytes < self.max_bytes:
            with suppress(Exception):  # `get` decodes the image again and raises the error
                self._decode_and_add(ref, evict=False)

    def _decode_and_add(self, ref: ImageRef, evict: bool) -> Image:
        image = self.decode(ref)
        size = decoded_size(image)
        with self.lock:
            limit = self.max_bytes if evict else self.max_bytes - self.bytes
            if ref.key not in self.images and size <= limit:
                self.images[ref.key] = image
                self.bytes += size
            while self.bytes > self.max_bytes:
                _, oldest = self.images.popitem(last=False)
                self.bytes -= decoded_size(oldest)
        return image


def decoded_size(image: Image) -> int:
    """How many bytes the pixels of an image take."""
    return image.width * image.height * BYTES_PER_PIXEL

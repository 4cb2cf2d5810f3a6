"""A cache of decoded images in bounded memory, which can also decode images ahead of their use."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

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
        if pending is not None and not pending.cancel():
            pending.result()
        with self.lock:
            image_lock = self.image_locks.setdefault(ref.key, threading.Lock())
        with image_lock:  # another thread may be decoding the same image
            try:
                return self._lookup(ref) or self._decode_and_add(ref)
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

    def _decode_and_add(self, ref: ImageRef) -> Image:
        image = self.decode(ref)
        self._add(ref.key, image, evict=True)
        return image

    def _decode_ahead(self, ref: ImageRef) -> None:
        if self.bytes >= self.max_bytes:
            return
        try:
            image = self.decode(ref)
        except Exception:  # `get` decodes the image again and raises the error
            return
        self._add(ref.key, image, evict=False)

    def _add(self, key: str, image: Image, evict: bool) -> None:
        size = _size_of(image)
        with self.lock:
            limit = self.max_bytes if evict else self.max_bytes - self.bytes
            if key in self.images or size > limit:
                return
            self.images[key] = image
            self.bytes += size
            while self.bytes > self.max_bytes:
                _, oldest = self.images.popitem(last=False)
                self.bytes -= _size_of(oldest)


def _size_of(image: Image) -> int:
    return image.width * image.height * 3  # bytes of a pixel

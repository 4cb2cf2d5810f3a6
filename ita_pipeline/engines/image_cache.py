"""Pictures decoded once for all stages that look at them, and ahead of them, in bounded memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from ita_pipeline.sources.refs import ImageRef

if TYPE_CHECKING:
    from PIL.Image import Image


BYTES_PER_PIXEL = 3


class DecodedImageCache:
    """Remembers pictures, the least recently used ones go first. May be asked from several threads at once."""

    def __init__(self, decode: Callable[[ImageRef], Image], most_bytes: int) -> None:
        self.decode = decode
        self.most_bytes = most_bytes
        self.lock = threading.Lock()
        self.pictures: OrderedDict[str, Image] = OrderedDict()
        self.bytes = 0
        self.turns: dict[str, threading.Lock] = {}
        self.coming: dict[str, Future[None]] = {}
        self.ahead = ThreadPoolExecutor(1)

    def picture(self, image: ImageRef) -> Image:
        """
        Raises:
            BadItemError: as `images.open_picture`. It is not remembered: the next stage finds out by itself.
        """
        with self.lock:
            coming = self.coming.pop(image.key, None)
        if coming is not None and not coming.cancel():
            coming.result()
        with self.lock:
            turn = self.turns.setdefault(image.key, threading.Lock())
        with turn:  # another thread may be decoding it at this moment
            try:
                return self.remembered(image) or self.decoded(image)
            finally:
                with self.lock:
                    self.turns.pop(image.key, None)

    def remembered(self, image: ImageRef) -> Image | None:
        with self.lock:
            if image.key in self.pictures:
                self.pictures.move_to_end(image.key)
            return self.pictures.get(image.key)

    def decoded(self, image: ImageRef) -> Image:
        picture = self.decode(image)
        self.keep(image.key, picture)
        return picture

    def expect(self, images: Sequence[ImageRef]) -> None:
        """Decode these in the background, as far as there is room for them; what was expected before is not now."""
        with self.lock:
            for coming in self.coming.values():
                coming.cancel()
            self.coming = {
                image.key: self.ahead.submit(self.prepare, image)
                for image in images
                if image.key not in self.pictures
            }

    def prepare(self, image: ImageRef) -> None:
        if self.bytes >= self.most_bytes:
            return
        try:
            picture = self.decode(image)
        except Exception:  # whoever asks for it gets the error
            return
        self.keep(image.key, picture, over=False)

    def keep(self, key: str, picture: Image, over: bool = True) -> None:
        """Remember a picture, `over` older ones or only where there is room."""
        size = size_of(picture)
        with self.lock:
            if key in self.pictures or size > self.most_bytes:
                return
            if not over and self.bytes + size > self.most_bytes:
                return
            self.pictures[key] = picture
            self.bytes += size
            while self.bytes > self.most_bytes:
                _, oldest = self.pictures.popitem(last=False)
                self.bytes -= size_of(oldest)


def size_of(picture: Image) -> int:
    return picture.width * picture.height * BYTES_PER_PIXEL

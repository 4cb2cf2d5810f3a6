"""The stage `ocr`: every word in the image with its confidence and box, ITA's optical character alignment (OCA).

ITA (Wang et al., NAACL 2022) uses Tesseract without a stated filter, so the cache keeps all words. The settings of
contexts decide which of them are appended to a tweet.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from PIL.Image import Image

from stages.base import BadItemError, Failure, Identity, Item, Stage, StageError, Value, guarded
from stages.batching import split_batches
from stages.models.libraries import opencv_version
from stages.models.threads import count_cores
from stages.ocr.rapidocr import RapidReader, identify_rapidocr
from stages.ocr.readers import OcrReader, TextLines, WholePages
from stages.ocr.schema import OcrConfig, OcrValue, Word
from stages.ocr.tesseract import (
    INSTALL,
    TableWord,
    find_tesseract,
    limit_to_one_thread,
    load_pytesseract,
    read_pages,
)

# A Tesseract process reads at most this many images, and about this many pixels. Its start takes as long as reading
# a few images, but an image that crashes it costs the whole group a second try.
GROUP_SIZE = 32

GROUP_PIXELS = 8_000_000


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """An image that its reader has prepared.

    Attributes:
        width: Width of the original image in pixels.
        height: Height of the original image in pixels.
        scale: Factor by which the image was scaled.
        prepared: The input of `OcrReader.read`.
        pixels: Number of pixels that the engine will process.
    """

    width: int
    height: int
    scale: float
    prepared: Any
    pixels: int

    def build_value(self, words: Sequence[Word]) -> OcrValue:
        """Return the stage's value, with boxes in pixels of the original image and within it."""
        return OcrValue(width=self.width, height=self.height, words=tuple(map(self._rescale, words)))

    def _rescale(self, word: Word) -> Word:
        limits = (self.width, self.height, self.width, self.height)
        sides = (min(max(0, round(side / self.scale)), limit) for side, limit in zip(word.box, limits, strict=True))
        return word.model_copy(update={"box": tuple(sides)})


class OcrStage(Stage[OcrConfig]):
    """Read the words in each image."""

    name = "ocr"
    version = 3
    config_type = OcrConfig
    value_type = OcrValue

    def __init__(self, config: OcrConfig) -> None:
        super().__init__(config)
        self.reader: OcrReader | None = None

    @property
    def workers(self) -> int:
        """Number of Tesseract processes at once, or of RapidOCR's threads."""
        return self.config.workers or count_cores()

    @property
    def batch_size(self) -> int:
        """As many images as are read at once, so that an interrupted run does not wait for more."""
        return GROUP_SIZE * self.workers

    def parameters(self) -> dict[str, Any]:
        """Return the settings that are in use."""
        unused = {"languages", "page_mode"} if self.config.uses_rapidocr else set[str]()
        return {name: value for name, value in super().parameters().items() if name not in unused}

    def identity(self) -> Identity:
        """Return the version of the engine and the digests of its files.

        These are Tesseract's language files or RapidOCR's weights. OpenCV's version counts if it finds the lines.

        Raises:
            StageError: The engine or a language is not installed.
        """
        if self.config.uses_rapidocr:
            return identify_rapidocr()
        if shutil.which("tesseract") is None:
            raise StageError("Tesseract is not installed, and the stage ocr needs it", INSTALL)
        version, folder = find_tesseract()
        digests = {}
        # Page mode 12 detects the script with a file of its own.
        extra = {"osd"} if self.config.page_mode == 12 else set()
        for language in sorted({*self.config.languages.split("+"), *extra}):
            file = folder / f"{language}.traineddata"
            if not file.is_file():
                hint = f"Debian, Ubuntu: apt-get install tesseract-ocr-{language.replace('_', '-').lower()}"
                raise StageError(f"Tesseract has no language {language}: {file} is missing", hint)
            digests[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
        opencv = {"opencv": opencv_version()} if self.config.page_mode == "lines" else {}
        return Identity(tools={"tesseract": version, **digests, **opencv})

    def open(self) -> None:
        """Load the engine."""
        mode = self.config.page_mode
        if self.reader is None and self.config.uses_rapidocr:
            self.reader = RapidReader(self.workers)
        elif self.reader is None:
            load_pytesseract()  # pandas needs memory too, which the engine limits after this call
            self.reader = TextLines() if mode == "lines" else WholePages(mode)

    def run(self, items: Sequence[Item]) -> list[Value | Failure]:
        """Return one `OcrValue` or failure per item."""
        self.open()
        # RapidOCR distributes each image over all cores by itself. For Tesseract there is one thread more than
        # cores, since finding lines holds Python's lock while other processes read.
        threads = 1 if self.config.uses_rapidocr else self.config.workers or self.workers + 1
        size = min(GROUP_SIZE, max(1, -(-len(items) // threads)))
        with limit_to_one_thread(), ThreadPoolExecutor(threads) as pool:
            groups = pool.map(self._read_group, split_batches(items, size))
            return [result for results in groups for result in results]

    def _read_group(self, items: Sequence[Item]) -> list[Value | Failure]:
        """Read images together, but not more pixels at once than Tesseract reads in seconds."""
        results: dict[int, Value | Failure] = {}
        waiting: dict[int, PreparedImage] = {}
        for number, item in enumerate(items):
            image = guarded(self._prepare, item)
            if isinstance(image, Failure):
                results[number] = image
            else:
                waiting[number] = image
            if number == len(items) - 1 or sum(each.pixels for each in waiting.values()) >= GROUP_PIXELS:
                results |= zip(waiting, self._read([*waiting.values()]), strict=True)
                waiting.clear()
        return [results[number] for number in range(len(items))]

    def _read(self, images: Sequence[PreparedImage]) -> list[Value | Failure]:
        """Read images together; if that fails, one by one, so that only the image at fault fails.

        This does not halve the group as `run_bisected` does: with an image that takes until the timeout, each
        smaller group would take as long.
        """
        assert self.reader is not None
        try:
            readings = self.reader.read([image.prepared for image in images], self._recognize)
        except BadItemError as error:
            if len(images) == 1:
                return [error.failure]
            return [value for image in images for value in self._read([image])]
        return [image.build_value(words) for image, words in zip(images, readings, strict=True)]

    def _prepare(self, item: Item) -> PreparedImage:
        assert self.reader is not None
        image = item.picture()
        reduced, scale = _fit_image(image, self.config.max_side)
        prepared = self.reader.prepare(reduced)
        return PreparedImage(image.width, image.height, scale, prepared, self.reader.count_pixels(prepared))

    def _recognize(self, images: Sequence[Image], arguments: Sequence[str]) -> list[list[TableWord]]:
        settings = self.config
        return read_pages(images, ["-l", settings.languages, *arguments], settings.timeout, settings.memory)


def _fit_image(image: Image, max_side: int) -> tuple[Image, float]:
    """Return the image with its longer side at most `max_side`, and the factor by which it was scaled."""
    scale = min(1.0, max_side / max(image.size))
    if scale == 1.0:
        return image, 1.0
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size), scale

"""The stage `ocr`: every word in the image with its confidence and box, ITA's optical character alignment (OCA).

ITA (Wang et al., NAACL 2022) uses Tesseract without a stated filter, so the cache keeps all words. The settings of
contexts decide which of them are appended to a tweet.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from PIL.Image import Image

from stages.base import BadItemError, Failure, Identity, Item, Stage, StageError, guarded
from stages.batching import batched, map_successes
from stages.models.libraries import opencv_version
from stages.models.threads import count_cores
from stages.ocr.rapidocr import RapidReader, identify_rapidocr
from stages.ocr.readers import OcrReader, TextLines, WholePages
from stages.ocr.schema import OcrConfig, OcrValue, Word
from stages.ocr.tesseract import INSTALL, KilledError, find_tesseract, load_pytesseract, read_pages

# A Tesseract process reads at most this many images, and about this many pixels. Its start takes as long as reading
# a few images, but an image that crashes it costs the whole group a second try.
GROUP_SIZE = 32

GROUP_PIXELS = 8_000_000


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """An image that its reader has prepared.

    Attributes:
        size: Width and height of the original image in pixels.
        scale: Factor by which the image was scaled.
        prepared: The input of `OcrReader.read`.
        pixels: Number of pixels that the engine will process.
    """

    size: tuple[int, int]
    scale: float
    prepared: Any
    pixels: int

    def build_value(self, words: Sequence[Word]) -> OcrValue:
        """Return the stage's value, with boxes in pixels of the original image and within it."""
        return OcrValue(width=self.size[0], height=self.size[1], words=tuple(map(self._rescale, words)))

    def _rescale(self, word: Word) -> Word:
        limits = self.size * 2
        sides = (min(max(0, round(side / self.scale)), limit) for side, limit in zip(word.box, limits, strict=True))
        return word.model_copy(update={"box": tuple(sides)})


class OcrStage(Stage[OcrConfig]):
    """Read the words in each image."""

    name = "ocr"
    version = 3
    config_type = OcrConfig
    value_type = OcrValue

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

    @functools.cached_property
    def reader(self) -> OcrReader:
        """The loaded engine."""
        if self.config.uses_rapidocr:
            return RapidReader(self.workers)
        load_pytesseract()  # pandas needs memory too, which the engine limits after this call
        mode = self.config.page_mode
        return TextLines() if mode == "lines" else WholePages(mode)

    def open(self) -> None:
        """Load the engine."""
        _ = self.reader

    def run(self, items: Sequence[Item]) -> list[OcrValue | Failure]:
        """Return one `OcrValue` or failure per item."""
        self.open()
        # RapidOCR distributes each image over all cores by itself. For Tesseract there is one thread more than
        # cores, since finding lines holds Python's lock while other processes read.
        threads = 1 if self.config.uses_rapidocr else self.config.workers or self.workers + 1
        size = min(GROUP_SIZE, max(1, -(-len(items) // threads)))
        with ThreadPoolExecutor(threads) as pool:
            groups = pool.map(self._read_group, batched(items, size))
            return [result for results in groups for result in results]

    def _read_group(self, items: Sequence[Item]) -> list[OcrValue | Failure]:
        """Read images together, but not more pixels at once than Tesseract reads in seconds."""
        results: list[OcrValue | Failure] = []
        waiting: list[PreparedImage | Failure] = []
        for item in items:
            waiting.append(guarded(self._prepare, item))
            if sum(image.pixels for image in waiting if not isinstance(image, Failure)) >= GROUP_PIXELS:
                results += map_successes(self._read, waiting)
                waiting.clear()
        return results + map_successes(self._read, waiting)

    def _prepare(self, item: Item) -> PreparedImage:
        image = reduced = item.picture()
        scale = min(1.0, self.config.max_side / max(image.size))
        if scale < 1.0:
            reduced = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
        return PreparedImage(image.size, scale, *self.reader.prepare(reduced))

    def _read(self, images: Sequence[PreparedImage], tries: int = 2) -> list[OcrValue | Failure]:
        """Read images together; if that fails, one by one, so that only the image at fault fails.

        A single image at which Tesseract is killed is read again: a process is hardly killed by chance twice.

        This does not halve the group as `run_bisected` does: with an image that takes until the timeout, each
        smaller group would take as long.
        """
        try:
            readings = self.reader.read([image.prepared for image in images], self._recognize)
        except BadItemError as error:
            tries_left = tries - 1
            if len(images) > 1:
                return [value for image in images for value in self._read([image], tries_left)]
            if isinstance(error, KilledError) and tries_left:
                return self._read(images, tries_left)
            return [error.failure]
        return [image.build_value(words) for image, words in zip(images, readings, strict=True)]

    def _recognize(self, images: Sequence[Image], arguments: Sequence[str]) -> list[list[Word]]:
        settings = self.config
        return read_pages(images, ["-l", settings.languages, *arguments], settings.timeout, settings.memory)

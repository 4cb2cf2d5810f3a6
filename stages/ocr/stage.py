"""Text in the picture, read by Tesseract or RapidOCR: every word with its confidence and box, whatever that is.

ITA's optical character alignment (Wang et al., NAACL 2022) uses Tesseract without a stated filter, so the
cache keeps all words; what is worth appending to a tweet is decided where contexts are rendered.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stages.base import (
    BadItemError,
    Failure,
    Identity,
    Item,
    Stage,
    StageError,
    Value,
    guarded,
)
from stages.models.libraries import opencv_version
from stages.models.threads import count_cores
from stages.ocr import rapidocr as rapid
from stages.ocr.readers import Reader, TextLines, WholePages
from stages.ocr.schema import OcrConfig, OcrValue, Word
from stages.ocr.tesseract import (
    INSTALL,
    TableWord,
    installed_tesseract,
    load_pytesseract,
    one_thread_each,
    read_pages,
)

if TYPE_CHECKING:
    from PIL.Image import Image


# One Tesseract reads at most so many pictures, or so many pixels: its start takes as long as reading some of them,
# but a picture that it dies of costs the whole group a second try.
GROUP = 32

ENOUGH = 8_000_000


@dataclass(frozen=True, slots=True)
class Prepared:
    """The size of a picture, by how much it was scaled, what its reader made of it, and how much that is."""

    width: int
    height: int
    scale: float
    given: Any
    pixels: int

    def value(self, words: Sequence[Word]) -> OcrValue:
        """Words with their boxes in pixels of the picture as it came, and within it."""
        return OcrValue(width=self.width, height=self.height, words=tuple(map(self.placed, words)))

    def placed(self, word: Word) -> Word:
        limits = (self.width, self.height, self.width, self.height)
        sides = (min(max(0, round(side / self.scale)), limit) for side, limit in zip(word.box, limits, strict=True))
        return word.model_copy(update={"box": tuple(sides)})


class OcrStage(Stage[OcrConfig]):
    name = "ocr"
    version = 3
    config_type = OcrConfig
    value_type = OcrValue

    def __init__(self, config: OcrConfig) -> None:
        super().__init__(config)
        self.reader: Reader | None = None

    @property
    def workers(self) -> int:
        return self.config.workers or count_cores()

    def parameters(self) -> dict[str, Any]:
        unused = {"languages", "page_mode"} if self.config.engine == "rapidocr" else set[str]()
        return {name: value for name, value in super().parameters().items() if name not in unused}

    @property
    def batch_size(self) -> int:
        # As many as are read at once: who stops a run waits for no more.
        return GROUP * self.workers

    def identity(self) -> Identity:
        """Tesseract's version, the sha256 of each language file, and OpenCV's version where that finds the lines;
        of RapidOCR its version and its weights.

        Raises:
            StageError: the engine or a language is not installed.
        """
        if self.config.engine == "rapidocr":
            return rapid.identity()
        if shutil.which("tesseract") is None:
            raise StageError("Tesseract is not installed, and the stage ocr needs it", INSTALL)
        version, folder = installed_tesseract()
        digests = {}
        # Page mode 12 finds the script with a file of its own.
        extra = {"osd"} if self.config.page_mode == 12 else set()
        for language in sorted({*self.config.languages.split("+"), *extra}):
            file = folder / f"{language}.traineddata"
            if not file.is_file():
                raise StageError(
                    f"Tesseract has no language {language}: {file} is missing",
                    f"Debian, Ubuntu: apt-get install tesseract-ocr-{language.replace('_', '-').lower()}",
                )
            digests[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
        opencv = {"opencv": opencv_version()} if self.config.page_mode == "lines" else {}
        return Identity(tools={"tesseract": version, **digests, **opencv})

    def open(self) -> None:
        mode = self.config.page_mode
        if self.reader is None and self.config.engine == "rapidocr":
            self.reader = rapid.RapidReader(self.workers)
        elif self.reader is None:
            load_pytesseract()  # pandas needs memory too, which the engine limits after this call
            self.reader = TextLines() if mode == "lines" else WholePages(mode)

    def run(self, items: Sequence[Item]) -> list[Value | Failure]:
        self.open()
        # RapidOCR spreads each picture over all cores by itself.
        # One more than cores: lines are looked for under Python's lock, and meanwhile Tesseracts read.
        together = 1 if self.config.engine == "rapidocr" else self.config.workers or self.workers + 1
        size = min(GROUP, max(1, -(-len(items) // together)))
        groups = [items[start : start + size] for start in range(0, len(items), size)]
        with one_thread_each(), ThreadPoolExecutor(together) as pool:
            return [result for results in pool.map(self.read_group, groups) for result in results]

    def read_group(self, items: Sequence[Item]) -> list[Value | Failure]:
        """Read some pictures together, though not more at once than a Tesseract reads in seconds."""
        results: dict[int, Value | Failure] = {}
        waiting: dict[int, Prepared] = {}
        for number, item in enumerate(items):
            prepared = guarded(self.prepare, item)
            if isinstance(prepared, Failure):
                results[number] = prepared
            else:
                waiting[number] = prepared
            if number == len(items) - 1 or sum(each.pixels for each in waiting.values()) >= ENOUGH:
                results |= zip(waiting, self.values_of([*waiting.values()]), strict=True)
                waiting.clear()
        return [results[number] for number in range(len(items))]

    def values_of(self, pictures: Sequence[Prepared]) -> list[Value | Failure]:
        """What fails together is read one by one, so that only the culprit fails."""
        assert self.reader is not None
        try:
            readings = self.reader.read([picture.given for picture in pictures], self.recognise)
        except BadItemError as bad:
            if len(pictures) == 1:
                return [bad.failure]
            return [value for picture in pictures for value in self.values_of([picture])]
        return [picture.value(words) for picture, words in zip(pictures, readings, strict=True)]

    def prepare(self, item: Item) -> Prepared:
        assert self.reader is not None
        picture = item.picture()
        smaller, scale = fit(picture, self.config.max_side)
        given = self.reader.prepare(smaller)
        return Prepared(picture.width, picture.height, scale, given, self.reader.pixels(given))

    def recognise(self, images: Sequence[Image], arguments: Sequence[str]) -> list[list[TableWord]]:
        settings = self.config
        arguments = ["-l", settings.languages, *arguments]
        return read_pages(images, arguments, settings.timeout, settings.memory)


def fit(picture: Image, max_side: int) -> tuple[Image, float]:
    """The picture with its longer side at most `max_side`, and the factor it was scaled by."""
    scale = min(1.0, max_side / max(picture.size))
    if scale == 1.0:
        return picture, 1.0
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size), scale

"""Text in the picture, read by Tesseract: every word with its confidence and box, nothing filtered.

ITA's optical character alignment (Wang et al., NAACL 2022) uses Tesseract without a stated filter, so the
cache keeps all words; what is worth appending to a tweet is decided where contexts are rendered.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from stages.base import (
    EXECUTION,
    SEMANTIC,
    Failure,
    Frozen,
    Identity,
    Item,
    Stage,
    StageConfig,
    StageError,
    Value,
    guarded,
)
from stages.leash import image_to_data

if TYPE_CHECKING:
    from PIL.Image import Image

INSTALL = (
    "Debian, Ubuntu: apt-get install tesseract-ocr tesseract-ocr-eng; Fedora: dnf install tesseract; "
    "macOS: brew install tesseract"
)


USUAL_FOLDERS = (
    "/usr/share/tesseract-ocr/4.00/tessdata",
    "/usr/share/tesseract-ocr/5/tessdata",
    "/usr/share/tessdata",
    "/usr/share/tesseract/tessdata",
    "/usr/local/share/tessdata",
    "/opt/homebrew/share/tessdata",
)


class OcrConfig(StageConfig):
    languages: Annotated[str, SEMANTIC, Field(pattern=r"^[A-Za-z_]+(\+[A-Za-z_]+)*$")] = "eng"
    page_mode: Annotated[int, SEMANTIC, Field(ge=3, le=13)] = 11  # as in tesseract --help-psm
    max_side: Annotated[int, SEMANTIC, Field(ge=64)] = 2400
    timeout: Annotated[int, EXECUTION, Field(ge=1)] = 120
    memory: Annotated[int, EXECUTION, Field(ge=64)] = 2048  # megabytes for each Tesseract
    workers: Annotated[int, EXECUTION, Field(ge=0)] = 0


class Word(Frozen):
    """`box` is xyxy in pixels of the upright picture, `confidence` in 0..1, `line` counts from 0."""

    text: str
    confidence: float
    box: tuple[int, int, int, int]
    line: int


class OcrValue(Value):
    width: int
    height: int
    words: tuple[Word, ...]


class OcrStage(Stage[OcrConfig]):
    name = "ocr"
    version = 1
    config_type = OcrConfig
    value_type = OcrValue

    @property
    def workers(self) -> int:
        return self.config.workers or os.cpu_count() or 1

    @property
    def batch_size(self) -> int:
        return 8 * self.workers

    def identity(self) -> Identity:
        """Tesseract's version and the sha256 of each language file.

        Raises:
            StageError: Tesseract or a language is not installed.
        """
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
        return Identity(tools={"tesseract": version, **digests})

    def run(self, items: Sequence[Item]) -> list[Value | Failure]:
        with one_thread_each(), ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(functools.partial(guarded, self.read), items))

    def read(self, item: Item) -> OcrValue:
        picture = item.decode()
        smaller, scale = fit(picture, self.config.max_side)
        words = sorted_for_reading(list(words_of(self.recognise(smaller), 1 / scale)))
        return OcrValue(width=picture.width, height=picture.height, words=tuple(words))

    def recognise(self, picture: Image) -> dict[str, list[Any]]:
        settings = self.config
        arguments = ["-l", settings.languages, "--psm", str(settings.page_mode)]
        return image_to_data(picture, arguments, settings.timeout, settings.memory)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Keep each Tesseract to one OpenMP thread: several spin against each other and are 2 to 30 times slower.

    The variable is taken back afterwards, lest a library loaded later in this process obey it as well.
    (https://github.com/tesseract-ocr/tesseract/issues/2609)
    """
    before = os.environ.get("OMP_THREAD_LIMIT")
    os.environ["OMP_THREAD_LIMIT"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_THREAD_LIMIT"]
        else:
            os.environ["OMP_THREAD_LIMIT"] = before


def installed_tesseract() -> tuple[str, Path]:
    """Version, and the folder of the language files.

    Raises:
        StageError: Tesseract does not answer, or its language files are in no known place.
    """

    def say(argument: str) -> str:
        command = ["tesseract", argument]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return done.stdout + done.stderr

    try:
        version = re.search(r"tesseract v?(\S+)", say("--version"))
        named = re.search(r'languages in "?(.+?)"? \(\d+\)', say("--list-langs"))
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StageError(f"Tesseract is installed but does not answer: {error}", INSTALL) from error
    # Tesseract 4 does not name the folder.
    usual = [os.environ.get("TESSDATA_PREFIX", ""), *USUAL_FOLDERS]
    places = [Path(named[1])] if named else [Path(place) for place in usual if place]
    folder = next((place for place in places if any(place.glob("*.traineddata"))), None)
    if version is None or folder is None:
        raise StageError(
            "Tesseract is installed, but its languages are nowhere to be found", "set TESSDATA_PREFIX to them"
        )
    return version[1], folder


def fit(picture: Image, max_side: int) -> tuple[Image, float]:
    """The picture with its longer side at most `max_side`, and the factor it was scaled by."""
    scale = min(1.0, max_side / max(picture.size))
    if scale == 1.0:
        return picture, 1.0
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size), scale


def words_of(data: dict[str, list[Any]], scale: float) -> Iterator[Word]:
    """Tesseract's table as words; boxes are multiplied by `scale` back to the original picture."""
    lines: dict[tuple[int, int, int], int] = {}
    for index, text in enumerate(data["text"]):
        confidence = float(data["conf"][index])
        if confidence < 0 or not text.strip():
            continue
        place = (data["block_num"][index], data["par_num"][index], data["line_num"][index])
        left, top = data["left"][index], data["top"][index]
        right, bottom = left + data["width"][index], top + data["height"][index]
        yield Word(
            text=text.strip(),
            confidence=round(confidence / 100, 4),
            box=(round(left * scale), round(top * scale), round(right * scale), round(bottom * scale)),
            line=lines.setdefault(place, len(lines)),
        )


def sorted_for_reading(words: list[Word]) -> list[Word]:
    """Lines from top to bottom, side by side from left to right: sparse page modes promise no order."""
    lines: dict[int, list[Word]] = {}
    for word in words:
        lines.setdefault(word.line, []).append(word)

    rows: list[list[list[Word]]] = []
    for line in sorted(lines.values(), key=lambda line: extent(line)[0]):
        top, bottom = extent(line)
        beside = bool(rows) and extent(rows[-1][0])[0] <= (top + bottom) / 2 <= extent(rows[-1][0])[1]
        if beside:
            rows[-1].append(line)
        else:
            rows.append([line])
    ordered = [line for row in rows for line in sorted(row, key=lambda line: line[0].box[0])]
    return [word.model_copy(update={"line": index}) for index, line in enumerate(ordered) for word in line]


def extent(line: list[Word]) -> tuple[int, int]:
    """Top and bottom of a line, in pixels."""
    return min(word.box[1] for word in line), max(word.box[3] for word in line)

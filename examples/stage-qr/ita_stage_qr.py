"""QR codes: what they say, and where they are in the picture. OpenCV's detector, which needs no weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from stages.base import SEMANTIC, Failure, Frozen, Identity, Item, Label, Stage, StageConfig, Value, guarded

if TYPE_CHECKING:
    import numpy as np

# A code holds up to 4,296 characters; the beginning names the subject.
MOST_CHARACTERS = 200


class QrConfig(StageConfig):
    """Every setting says whether it changes the output (`SEMANTIC`, part of the key) or not (`EXECUTION`)."""

    max_side: Annotated[int, SEMANTIC, Field(ge=64)] = 1600


class Code(Frozen):
    """`box` is xyxy in pixels of the upright picture."""

    text: Label
    box: tuple[int, int, int, int]


class QrValue(Value):
    """What is kept of a picture: one line of plain JSON in the cache."""

    width: int
    height: int
    codes: tuple[Code, ...]

    def as_context(self) -> tuple[str, ...]:
        """Every code once; a web address is reduced to its subject."""
        return tuple(dict.fromkeys(subject(code.text)[:MOST_CHARACTERS] for code in self.codes))


def subject(text: str) -> str:
    return re.sub(r"^https?://(www\.)?", "", text.strip(), flags=re.IGNORECASE).rstrip("/")


class QrStage(Stage[QrConfig]):
    name = "qr"
    version = 1
    config_type = QrConfig
    value_type = QrValue

    def __init__(self, config: QrConfig) -> None:
        super().__init__(config)
        self.detector: Any = None

    def identity(self) -> Identity:
        """Another OpenCV may read another code, so its version is part of the key."""
        import cv2

        return Identity(tools={"opencv": cv2.__version__})

    def open(self) -> None:
        import cv2

        if self.detector is None:
            self.detector = cv2.QRCodeDetector()

    def run(self, items: Sequence[Item]) -> list[Value | Failure]:
        self.open()
        # `guarded` makes a picture that cannot be decoded the failure of that picture alone.
        return [guarded(self.read, item) for item in items]

    def read(self, item: Item) -> QrValue:
        import numpy as np

        picture = item.picture()
        scale = min(1.0, self.config.max_side / max(picture.size))
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        smaller = picture if scale == 1.0 else picture.resize(size)
        _, texts, corners, _ = self.detector.detectAndDecodeMulti(np.asarray(smaller)[:, :, ::-1])
        found = zip(texts, [] if corners is None else corners / scale, strict=False)
        # A code that was seen and could not be read has an empty text.
        codes = [Code(text=text, box=box_of(four, picture.size)) for text, four in found if text.strip()]
        return QrValue(width=picture.width, height=picture.height, codes=tuple(codes))


def box_of(corners: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box around four corners (4, 2), within the picture."""
    (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
    width, height = size
    return max(0, round(x0)), max(0, round(y0)), min(width, round(x1)), min(height, round(y1))

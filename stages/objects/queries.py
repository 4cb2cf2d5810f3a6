"""The stage `queries`: what an open-vocabulary detector finds in an image for the words of its post.

The text of an item is one query a line. The grounder asks for mentions that way, after the tagger has found them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from stages.base import (
    EXECUTION,
    MODEL,
    SEMANTIC,
    Failure,
    Identity,
    Item,
    Score,
    Stage,
    StageConfig,
    StageError,
    Subject,
    guarded,
)
from stages.models.identity import identify
from stages.models.libraries import OPENCV_HINT, import_library
from stages.models.loading import pick_device
from stages.objects.boxes import suppress
from stages.objects.open_vocabulary import OpenVocabularyDetector, find_detector_type
from stages.objects.schema import NANODET, ObjectsValue
from stages.objects.stage import build_value


class QueriesConfig(StageConfig):
    """Settings of the stage.

    Attributes:
        detector: The hub name or folder of an open-vocabulary detector.
        detector_revision: The branch, tag or commit on the hub.
        floor: Minimum score of a box.
        overlap: Maximum intersection over union of boxes of one query.
        most: Maximum number of boxes per image.
        device: Device of torch, or `auto`.
    """

    detector: Annotated[str, SEMANTIC, MODEL]
    detector_revision: Annotated[str, SEMANTIC] = "main"
    floor: Annotated[Score, SEMANTIC] = 0.1
    overlap: Annotated[Score, SEMANTIC] = 0.5
    most: Annotated[int, SEMANTIC, Field(ge=1)] = 20
    device: Annotated[str, EXECUTION] = "auto"


class QueriesStage(Stage[QueriesConfig]):
    """Detect what the queries of each item name."""

    name = "queries"
    version = 1
    config_type = QueriesConfig
    value_type = ObjectsValue
    subject = Subject.POST

    def __init__(self, config: QueriesConfig) -> None:
        super().__init__(config)
        self.detector: OpenVocabularyDetector | None = None

    @property
    def device(self) -> str:
        """The device of the detector."""
        return pick_device(self.config.device)

    def parameters(self) -> dict[str, Any]:
        """Return the settings without the name of the detector."""
        unused = {"detector", "detector_revision"}
        return {name: value for name, value in super().parameters().items() if name not in unused}

    def identity(self) -> Identity:
        """Return the exact weights.

        Raises:
            StageError: The model is not on this machine, and the hub does not have it or is offline; or it looks
                for its own classes only.
        """
        is_bundled = self.config.detector == NANODET
        weights = "" if is_bundled else identify(self.config.detector, self.config.detector_revision)
        if is_bundled or find_detector_type(self.config.detector, weights) is None:
            hint = "--set objects.detector=google/owlv2-base-patch16-ensemble, or any OWL-ViT or Grounding DINO"
            raise StageError(f"the detector {self.config.detector} cannot look for words", hint)
        return Identity(models={"detector": weights}, numerics={"dtype": "float32"})

    def open(self) -> None:
        """Load exactly the weights of `identity`."""
        if self.detector is None:
            import_library("cv2", "OpenCV", OPENCV_HINT)
            weights = self.identity().models["detector"]
            detector_type = find_detector_type(self.config.detector, weights)
            assert detector_type is not None
            self.detector = detector_type(self.config.detector, weights, self.config.device, ())

    def run(self, items: Sequence[Item]) -> list[ObjectsValue | Failure]:
        """Return one `ObjectsValue` or failure per item; its labels are the queries."""
        self.open()
        return [guarded(self._detect, item) for item in items]

    def _detect(self, item: Item) -> ObjectsValue:
        assert self.detector is not None
        image, queries = item.picture(), [line for line in item.text.split("\n") if line.strip()]
        # A query that is too long for the model finds nothing, and the others are still asked for.
        self.detector.look_for([query for query in queries if self.detector.fits(query)])
        if not self.detector.names:
            return ObjectsValue(width=image.width, height=image.height, objects=())
        (boxes,) = self.detector.detect([image], self.config.floor)
        boxes = suppress(boxes, self.config.overlap, 1.0, self.config.most)
        return build_value(image, boxes, [[] for _ in boxes.labels])

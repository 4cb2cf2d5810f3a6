"""Object detectors of the Hugging Face hub."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from stages.base import StageError
from stages.models.loading import load_pretrained, load_weights, pick_device, read_model_type
from stages.objects.boxes import Boxes

if TYPE_CHECKING:
    import torch


MAX_ASPECT_RATIO = 16


class BatchDetector(ABC):
    """Base of detectors of transformers that process several images at once.

    Attributes:
        device: The device of torch.
        processor: The model's processor.
        model: The network.
        image_processor: The model's image processor.
        names: The labels by class number.
    """

    image_processor: Any
    names: Mapping[int, str]

    def __init__(self, processor_class: Any, model_class: Any, model: str, identity: str, device: str) -> None:
        """Load exactly the weights of `identity`.

        Raises:
            StageError: The model is incomplete, or of another kind.
        """
        self.device = pick_device(device)
        self.processor: Any = load_pretrained(processor_class, model, identity)
        self.model: Any = load_weights(model_class, model, identity, self.device)

    def detect(self, images: Sequence[Image.Image], floor: float) -> list[Boxes]:
        """Return the boxes of each image that score above `floor`, clipped to the image and not empty.

        Images that are resized to one size are processed together, others are not: if they were padded to the
        largest of a batch, their boxes would depend on the other images.
        """
        import torch

        padded = [pad_elongated(image) for image in images]
        inputs = [self.image_processor(images=image, return_tensors="pt") for image in padded]
        groups: dict[torch.Size, list[int]] = {}
        for number, tensors in enumerate(inputs):
            groups.setdefault(tensors["pixel_values"].shape, []).append(number)
        boxes: dict[int, Boxes] = {}
        for numbers in groups.values():
            names = inputs[numbers[0]]
            batch = {name: torch.cat([inputs[n][name] for n in numbers]).to(self.device) for name in names}
            sizes = [(padded[n].height, padded[n].width) for n in numbers]
            with torch.inference_mode():
                results = self.run_model(batch, floor, sizes)
            for n, result in zip(numbers, results, strict=True):
                labels = [self.names[index] for index in result["labels"].tolist()]
                xyxy, scores = result["boxes"].cpu().numpy().reshape(-1, 4), result["scores"].cpu().numpy()
                boxes[n] = Boxes(xyxy, scores, labels).clip(images[n].size)
        return [boxes[number] for number in range(len(images))]

    @abstractmethod
    def run_model(self, inputs: Mapping[str, Any], floor: float, sizes: list[tuple[int, int]]) -> list[Any]:
        """Return the raw results of a batch.

        Args:
            inputs: The tensors of the image processor.
            floor: Minimum score.
            sizes: Height and width of each image in pixels.

        Returns:
            For each image the tensors `boxes` (n, 4) xyxy in pixels, `scores` (n,) and `labels` (n,), which are
            keys of `names`.
        """


class HubDetector(BatchDetector):
    """Any detector of `AutoModelForObjectDetection`: DETR, RT-DETR, D-FINE, YOLOS and others."""

    def __init__(self, model: str, identity: str, device: str) -> None:
        """Load the detector `model`, exactly the weights of `identity`.

        Raises:
            StageError: The model is incomplete, or not a detector.
        """
        from transformers import AutoImageProcessor, AutoModelForObjectDetection

        _require_detector(model, identity)
        super().__init__(AutoImageProcessor, AutoModelForObjectDetection, model, identity, device)
        self.image_processor = self.processor
        self.names = self.model.config.id2label

    def run_model(self, inputs: Mapping[str, Any], floor: float, sizes: list[tuple[int, int]]) -> list[Any]:
        """Return the raw results of a batch; see `BatchDetector.run_model`."""
        outputs = self.model(**inputs)
        return self.image_processor.post_process_object_detection(outputs, threshold=floor, target_sizes=sizes)


def pad_elongated(image: Image.Image) -> Image.Image:
    """Return the image, padded with black at the right or bottom if its aspect ratio exceeds 16.

    Image processors keep the aspect ratio, so the short side of an image of 3×2000 would be less than one patch.
    """
    width, height = image.size
    size = (max(width, -(-height // MAX_ASPECT_RATIO)), max(height, -(-width // MAX_ASPECT_RATIO)))
    if size == image.size:
        return image
    padded = Image.new("RGB", size)
    padded.paste(image)
    return padded


def _require_detector(model: str, identity: str) -> None:
    """Reject a model that transformers knows as another kind; others fail when they are loaded."""
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES

    model_type = read_model_type(model, identity)
    if model_type in CONFIG_MAPPING and model_type not in MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES:
        kinds = "AutoModelForObjectDetection (DETR, RT-DETR, YOLOS …)"
        hint = f"name a model of {kinds}, or one that is asked with words (OWLv2, Grounding DINO)"
        raise StageError(f"the model {model} is a {model_type} model, not a detector", hint)

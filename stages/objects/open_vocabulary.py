"""Open-vocabulary detectors: OWL-ViT and OWLv2, Grounding DINO and MM Grounding DINO.

They look for the words of a vocabulary instead of the classes that they were trained on. The words are set when a
detector is loaded, and may be exchanged; its boxes are labeled with them unchanged.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from stages.base import StageError
from stages.batching import batched
from stages.models.loading import read_model_type
from stages.objects.hub_detectors import BatchDetector

if TYPE_CHECKING:
    import torch


PROMPT = "a photo of a {}"

TEXT_BATCH_SIZE = 64

SHORTEN = "write a shorter one into the vocabulary"


class OpenVocabularyDetector(BatchDetector):
    """Base of detectors that look for words."""

    def __init__(self, model: str, identity: str, device: str, words: Sequence[str]) -> None:
        """Load exactly the weights of `identity`.

        Raises:
            StageError: The model is incomplete, or a word is too long for it.
        """
        from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

        super().__init__(AutoProcessor, AutoModelForZeroShotObjectDetection, model, identity, device)
        self.source = model
        self.image_processor = self.processor.image_processor
        self.look_for(words)

    @abstractmethod
    def look_for(self, words: Sequence[str]) -> None:
        """Set the words to look for.

        Raises:
            StageError: A word is too long for the model.
        """

    @abstractmethod
    def fits(self, word: str) -> bool:
        """Return whether a word is short enough for the model."""

    def refuse_long(self, words: Sequence[str]) -> None:
        """Raise `StageError` for the first word that is too long for the model."""
        for word in words:
            if not self.fits(word):
                raise StageError(f"the word {word!r} is too long for {self.source}", SHORTEN)

    def count_tokens(self, text: str, **options: Any) -> int:
        """Return the length of a text for this model's text encoder."""
        return len(self.processor.tokenizer(text, **options)["input_ids"])


class OwlDetector(OpenVocabularyDetector):
    """OWL-ViT and OWLv2.

    Each word is encoded once, in the sentence of the model's documentation. Each image is encoded once, however
    many words there are; each of its patches has one box, labeled with the best word.
    """

    def look_for(self, words: Sequence[str]) -> None:
        """Encode the words; see `OpenVocabularyDetector.look_for`."""
        self.refuse_long(words)
        self.names = dict(enumerate(words))
        self.queries = self._encode([PROMPT.format(word) for word in words]) if words else None

    def fits(self, word: str) -> bool:
        """Return whether the sentence with a word is short enough for the model."""
        return self.count_tokens(PROMPT.format(word)) <= self.model.config.text_config.max_position_embeddings

    def _encode(self, sentences: Sequence[str]) -> torch.Tensor:
        """Return queries of unit length (sentences, dimensions)."""
        import torch

        encoders = getattr(self.model, self.model.base_model_prefix)  # without the heads for boxes
        queries = list[torch.Tensor]()
        for batch in batched(sentences, TEXT_BATCH_SIZE):
            inputs = self.processor(text=batch, return_tensors="pt").to(self.device)
            with torch.inference_mode():
                features = encoders.get_text_features(**inputs).pooler_output
            queries.append(torch.nn.functional.normalize(features, dim=-1))
        return torch.cat(queries)

    def run_model(self, inputs: Mapping[str, Any], floor: float, sizes: list[tuple[int, int]]) -> list[Any]:
        """Return the raw results of a batch; see `BatchDetector.run_model`."""
        assert self.queries is not None
        patches, _ = self.model.image_embedder(inputs["pixel_values"])
        features = patches.flatten(1, 2)
        logits, _ = self.model.class_predictor(features, self.queries.expand(len(features), -1, -1))
        outputs = SimpleNamespace(logits=logits, pred_boxes=self.model.box_predictor(features, patches))
        return self.processor.post_process_grounded_object_detection(outputs, threshold=floor, target_sizes=sizes)


@dataclass(frozen=True, slots=True)
class TextQuery:
    """A text in Grounding DINO's format: phrases that end with a full stop, such as `dog. fire truck.`.

    Attributes:
        inputs: The text as tensors (1, tokens).
        word_of: For each token (tokens,) the number of its word in the vocabulary, -1 if it belongs to none.
    """

    inputs: Mapping[str, torch.Tensor]
    word_of: torch.Tensor


class GroundingDinoDetector(OpenVocabularyDetector):
    """Grounding DINO and MM Grounding DINO.

    A text query has as many words as fit. Each image is processed once per query, and the results are combined. If
    two words match one object, the better one is kept later, as with the boxes of any detector.
    """

    @property
    def max_tokens(self) -> int:
        """The largest number of tokens of a text."""
        config = self.model.config
        return min(config.max_text_len, config.text_config.max_position_embeddings)

    def look_for(self, words: Sequence[str]) -> None:
        """Group the words into texts; see `OpenVocabularyDetector.look_for`."""
        self.refuse_long(words)
        self.names = dict(enumerate(words))
        self.queries = [self._build_query(numbers) for numbers in self._group_words()] if words else []

    def fits(self, word: str) -> bool:
        """Return whether a word alone fits into a text, with its full stop and the text's beginning and end."""
        return self._count_phrase(word) <= self.max_tokens - 2

    def _count_phrase(self, word: str) -> int:
        return self.count_tokens(word.lower(), add_special_tokens=False) + 1

    def _group_words(self) -> Iterator[list[int]]:
        """Return numbers of words, in their order, that fit into one text together."""
        room, numbers = 0, list[int]()
        for number, word in self.names.items():
            length = self._count_phrase(word)
            if numbers and length > room:
                yield numbers
                numbers = []
            room = (room if numbers else self.max_tokens - 2) - length
            numbers.append(number)
        yield numbers

    def _build_query(self, numbers: Sequence[int]) -> TextQuery:
        import torch

        text = " ".join(f"{self.names[number].lower()}." for number in numbers)
        inputs = self.processor(text=text, return_tensors="pt").to(self.device)
        tokenizer = self.processor.tokenizer
        stop = tokenizer.convert_tokens_to_ids(".")
        ignored = {stop, *tokenizer.all_special_ids} - {tokenizer.unk_token_id}
        word_of, following = list[int](), iter(numbers)
        word = next(following)
        for token in inputs["input_ids"][0].tolist():
            word_of.append(-1 if token in ignored else word)
            if token == stop:
                word = next(following, -1)
        return TextQuery(inputs, torch.tensor(word_of, device=self.device))

    def run_model(self, inputs: Mapping[str, Any], floor: float, sizes: list[tuple[int, int]]) -> list[Any]:
        """Return the raw results of a batch; see `BatchDetector.run_model`."""
        import torch

        results = [self._run_query(query, inputs, floor, sizes) for query in self.queries]
        return [
            {name: torch.cat([part[name] for part in parts]) for name in ("boxes", "scores", "labels")}
            for parts in zip(*results, strict=True)
        ]

    def _run_query(
        self, query: TextQuery, inputs: Mapping[str, Any], floor: float, sizes: list[tuple[int, int]]
    ) -> list[dict[str, torch.Tensor]]:
        """Return the processor's boxes and scores, each labeled with the word of its best token.

        The processor's own labels are all tokens that score enough, which may belong to several words.
        """
        text = {name: tensor.expand(len(sizes), -1) for name, tensor in query.inputs.items()}
        outputs = self.model(**inputs, **text)
        # All boxes, so that their order matches the logits, and no labels, since no token scores above 1.
        options = {"threshold": -1.0, "text_threshold": 1.0, "target_sizes": sizes}
        results = self.processor.post_process_grounded_object_detection(outputs, **options)
        logits = outputs.logits[..., : len(query.word_of)].masked_fill(query.word_of < 0, float("-inf"))
        labels = query.word_of[logits.argmax(-1)]
        selected: list[dict[str, torch.Tensor]] = []
        for result, words in zip(results, labels, strict=True):
            kept = result["scores"] > floor
            part = {"boxes": result["boxes"], "scores": result["scores"], "labels": words}
            selected.append({name: tensor[kept] for name, tensor in part.items()})
        return selected


DETECTOR_TYPES: dict[str, type[OpenVocabularyDetector]] = {
    "owlvit": OwlDetector,
    "owlv2": OwlDetector,
    "grounding-dino": GroundingDinoDetector,
    "mm-grounding-dino": GroundingDinoDetector,
}


def find_detector_type(model: str, identity: str) -> type[OpenVocabularyDetector] | None:
    """Return the class for a model of the hub according to its `config.json`, None for a model of another kind."""
    return DETECTOR_TYPES.get(read_model_type(model, identity))

"""Detectors that are asked with words: OWL-ViT and OWLv2, Grounding DINO and MM Grounding DINO.

They find what a vocabulary names instead of the classes that they were trained on. The words are given when a
detector is opened; its boxes are labelled with them as they were given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from stages.base import StageError
from stages.models.devices import pick_device
from stages.models.loading import load_pretrained, load_weights, read_model_type
from stages.objects.hub_detectors import BatchDetector

if TYPE_CHECKING:
    import torch


OWL = ("owlvit", "owlv2")

GROUNDING = ("grounding-dino", "mm-grounding-dino")

WORDED = frozenset((*OWL, *GROUNDING))

PROMPT = "a photo of a {}"

QUERIES = 64

SHORTER = "write a shorter one into the vocabulary"


def worded_detector(model: str, identity: str, device: str, words: Sequence[str]) -> BatchDetector:
    """The detector `model`, of a kind in `WORDED`, that looks for `words`.

    Raises:
        StageError: the model is incomplete, or a word too long for it.
    """
    kind = Owl if read_model_type(model, identity) in OWL else GroundingDino
    return kind(model, identity, device, words)


class WordedDetector(BatchDetector):
    def __init__(self, model: str, identity: str, device: str, words: Sequence[str]) -> None:
        """Load exactly the weights of `identity`.

        Raises:
            StageError: it is incomplete, or a word too long for it.
        """
        from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

        self.device = pick_device(device)
        self.processor: Any = load_pretrained(AutoProcessor.from_pretrained, model, identity)
        self.prepare = self.processor.image_processor
        self.model: Any = load_weights(
            AutoModelForZeroShotObjectDetection.from_pretrained, model, identity, self.device
        )
        self.names = dict(enumerate(words))

    def length(self, text: str, **options: Any) -> int:
        """In tokens, for this model's text encoder."""
        return len(self.processor.tokenizer(text, **options)["input_ids"])


class Owl(WordedDetector):
    """The words are encoded once, each in the sentence that this model's documentation asks with. A picture is
    encoded once however many words there are; each of its patches has one box, labelled with the best word.
    """

    def __init__(self, model: str, identity: str, device: str, words: Sequence[str]) -> None:
        super().__init__(model, identity, device, words)
        most = self.model.config.text_config.max_position_embeddings
        for word in words:
            if self.length(PROMPT.format(word)) > most:
                raise StageError(f"the word {word!r} is too long for {model}", SHORTER)
        self.queries = self.encode([PROMPT.format(word) for word in words])

    def encode(self, sentences: Sequence[str]) -> torch.Tensor:
        """Queries of unit length (sentences, dimensions)."""
        import torch

        parts = list[torch.Tensor]()
        for start in range(0, len(sentences), QUERIES):
            asked = self.processor(text=list(sentences[start : start + QUERIES]), return_tensors="pt")
            with torch.inference_mode():
                found = self.base.get_text_features(**asked.to(self.device)).pooler_output
            parts.append(torch.nn.functional.normalize(found, dim=-1))
        return torch.cat(parts)

    @property
    def base(self) -> Any:
        """The two encoders without the heads for boxes."""
        return getattr(self.model, self.model.base_model_prefix)

    def look(self, inputs: Mapping[str, Any], floor: float, sizes: list[tuple[int, int]]) -> list[Any]:
        patches, _ = self.model.image_embedder(inputs["pixel_values"])
        features = patches.flatten(1, 2)
        logits, _ = self.model.class_predictor(features, self.queries.expand(len(features), -1, -1))
        outputs = SimpleNamespace(logits=logits, pred_boxes=self.model.box_predictor(features, patches))
        return self.processor.post_process_grounded_object_detection(outputs, threshold=floor, target_sizes=sizes)


@dataclass(frozen=True, slots=True)
class Question:
    """A text as Grounding DINO reads it, `dog. fire truck.`, as tensors (1, tokens), and for each token the number
    of its word in the vocabulary, -1 where it belongs to none.
    """

    inputs: Mapping[str, torch.Tensor]
    word_of: torch.Tensor


class GroundingDino(WordedDetector):
    """As many words as fit are asked at once. A picture is looked at once for each such question, and what all of
    them found is joined; where two words were found on one thing, the better stays, as with any detector's boxes.
    """

    def __init__(self, model: str, identity: str, device: str, words: Sequence[str]) -> None:
        super().__init__(model, identity, device, words)
        config = self.model.config
        self.most = min(config.max_text_len, config.text_config.max_position_embeddings)
        self.questions = [self.ask(numbers) for numbers in self.fitting(model)]

    def fitting(self, model: str) -> Iterator[list[int]]:
        """Numbers of words, in their order, that fit into one text together."""
        room, numbers = 0, list[int]()
        for number, word in self.names.items():
            needed = self.length(word.lower(), add_special_tokens=False) + 1
            if needed > self.most - 2:  # one at the text's beginning and one at its end
                raise StageError(f"the word {word!r} is too long for {model}", SHORTER)
            if numbers and needed > room:
                yield numbers
                numbers = []
            room = (room if numbers else self.most - 2) - needed
            numbers.append(number)
        yield numbers

    def ask(self, numbers: Sequence[int]) -> Question:
        import torch

        text = " ".join(f"{self.names[number].lower()}." for number in numbers)
        inputs = self.processor(text=text, return_tensors="pt").to(self.device)
        tokenizer = self.processor.tokenizer
        stop, special = tokenizer.convert_tokens_to_ids("."), set(tokenizer.all_special_ids)
        unknown = tokenizer.unk_token_id
        word_of, left = list[int](), iter(numbers)
        word = next(left)
        for token in inputs["input_ids"][0].tolist():
            word_of.append(-1 if token == stop or (token in special and token != unknown) else word)
            if token == stop:
                word = next(left, -1)
        return Question(inputs, torch.tensor(word_of, device=self.device))

    def look(self, inputs: Mapping[str, Any], floor: float, sizes: list[tuple[int, int]]) -> list[Any]:
        import torch

        answers = [self.answer(question, inputs, floor, sizes) for question in self.questions]
        return [
            {name: torch.cat([found[name] for found in of_picture]) for name in ("boxes", "scores", "labels")}
            for of_picture in zip(*answers, strict=True)
        ]

    def answer(
        self, question: Question, inputs: Mapping[str, Any], floor: float, sizes: list[tuple[int, int]]
    ) -> list[dict[str, torch.Tensor]]:
        """The processor's own boxes and scores. Its labels are whatever pieces of words score enough, also of
        several words; here a box is labelled with the word of its best token.
        """
        asked = {name: tensor.expand(len(sizes), -1) for name, tensor in question.inputs.items()}
        outputs = self.model(**inputs, **asked)
        # All boxes, so that they can be told by their places, and no text for them, since no token scores above 1.
        every = self.processor.post_process_grounded_object_detection(
            outputs, threshold=-1.0, text_threshold=1.0, target_sizes=sizes
        )
        of_words = outputs.logits[..., : len(question.word_of)].masked_fill(question.word_of < 0, float("-inf"))
        labels = question.word_of[of_words.argmax(-1)]
        return [
            {name: tensor[found["scores"] > floor] for name, tensor in parts.items()}
            for found, words in zip(every, labels, strict=True)
            for parts in ({"boxes": found["boxes"], "scores": found["scores"], "labels": words},)
        ]

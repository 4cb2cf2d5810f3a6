"""A sentence about the whole picture: ITA's global alignment (GA).

`model: template` writes one from the objects that were found and says so in every record. Any other name is
a BLIP model, by hub name or folder: five beams, five captions, as ITA (Wang et al., NAACL 2022, section 3).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from stages import hub
from stages.base import (
    EXECUTION,
    SEMANTIC,
    Failure,
    Frozen,
    Identity,
    Item,
    Stage,
    StageConfig,
    Text,
    Value,
    guarded,
)
from stages.objects import Object, ObjectsValue, tag

if TYPE_CHECKING:
    from PIL.Image import Image

TEMPLATE = "template"


class CaptionConfig(StageConfig):
    """`captions` is at most; a search with fewer beams gives as many as it has."""

    model: Annotated[str, SEMANTIC] = TEMPLATE
    revision: Annotated[str, SEMANTIC] = "main"
    beams: Annotated[int, SEMANTIC, Field(ge=1, le=64)] = 5
    captions: Annotated[int, SEMANTIC, Field(ge=1, le=64)] = 5
    max_new_tokens: Annotated[int, SEMANTIC, Field(ge=1, le=256)] = 30
    template_floor: Annotated[float, SEMANTIC, Field(ge=0, le=1)] = 0.4
    batch: Annotated[int, EXECUTION, Field(ge=1)] = 8
    device: Annotated[str, EXECUTION] = "auto"


class Caption(Frozen):
    """`score`, in 0..1, is the beam's probability a token (its geometric mean); a template has none."""

    text: Text
    score: float | None


class CaptionValue(Value):
    """`source` is "template", "blip", or the name of the file that captions were imported from."""

    source: str
    captions: tuple[Caption, ...]


class CaptionStage(Stage[CaptionConfig]):
    name = "caption"
    version = 1
    config_type = CaptionConfig
    value_type = CaptionValue

    def __init__(self, config: CaptionConfig) -> None:
        super().__init__(config)
        self.captioner: Blip | None = None

    @property
    def from_template(self) -> bool:
        return self.config.model == TEMPLATE

    @property
    def reads(self) -> tuple[str, ...]:
        return ("objects",) if self.from_template else ()

    @property
    def batch_size(self) -> int:
        return 256 if self.from_template else self.config.batch

    def parameters(self) -> dict[str, Any]:
        names = ("template_floor",) if self.from_template else ("beams", "captions", "max_new_tokens")
        kind = TEMPLATE if self.from_template else "blip"
        return {"kind": kind, **{name: getattr(self.config, name) for name in names}}

    def identity(self) -> Identity:
        if self.from_template:
            return Identity()
        return Identity(
            models={"captioner": hub.identify(self.config.model, self.config.revision)},
            numerics={"dtype": "float32"},
        )

    def open(self) -> None:
        if self.captioner is None and not self.from_template:
            self.captioner = Blip(self.config, self.identity().models["captioner"])

    def run(self, items: Sequence[Item]) -> list[Value | Failure]:
        if self.from_template:
            return [guarded(self.fill_in, item) for item in items]
        pictures: list[Image | Failure] = [guarded(lambda item: item.picture(), item) for item in items]
        readable = [picture for picture in pictures if not isinstance(picture, Failure)]
        self.open()
        captions = iter(self.captioner.describe(readable) if self.captioner and readable else ())
        return [picture if isinstance(picture, Failure) else next(captions) for picture in pictures]

    def fill_in(self, item: Item) -> CaptionValue:
        objects = item.upstream["objects"]
        assert isinstance(objects, ObjectsValue)
        seen = [thing for thing in objects.objects if thing.score >= self.config.template_floor]
        captions = (Caption(text=sentence(seen), score=None),) if seen else ()
        return CaptionValue(source=TEMPLATE, captions=captions)


class Blip:
    """Beam search with `BlipForConditionalGeneration`; transformers 5 has no image-to-text pipeline."""

    def __init__(self, config: CaptionConfig, identity: str) -> None:
        from transformers import BlipForConditionalGeneration, BlipProcessor

        self.config = config
        self.device = hub.pick_device(config.device)
        self.processor: Any = hub.load(BlipProcessor.from_pretrained, config.model, identity)
        self.model: Any = hub.load_weights(
            BlipForConditionalGeneration.from_pretrained, config.model, identity, self.device
        )

    def describe(self, pictures: Sequence[Image]) -> list[Value | Failure]:
        import torch

        each = min(self.config.captions, self.config.beams)
        inputs = self.processor(images=list(pictures), return_tensors="pt").to(self.device)
        with torch.inference_mode():
            found = self.model.generate(
                pixel_values=inputs["pixel_values"],
                num_beams=self.config.beams,
                num_return_sequences=each,
                max_new_tokens=self.config.max_new_tokens,
                do_sample=False,
                output_scores=True,
                return_dict_in_generate=True,
            )
        texts = self.processor.batch_decode(found.sequences, skip_special_tokens=True)
        scores = found.sequences_scores.tolist() if self.config.beams > 1 else [None] * len(texts)
        captions = [
            Caption(text=text.strip(), score=None if score is None else round(math.exp(score), 6))
            for text, score in zip(texts, scores, strict=True)
        ]
        return [
            CaptionValue(source="blip", captions=tuple(captions[start : start + each]))
            for start in range(0, len(captions), each)
        ]


NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
PAIRS = ("skis", "scissors")
IRREGULAR = {
    **{label: label for label in PAIRS},
    "person": "people",
    "man": "men",
    "woman": "women",
    "child": "children",
    "mouse": "mice",
    "sheep": "sheep",
}


def sentence(objects: Sequence[Object]) -> str:
    """`a picture of two people, a red bus and a dog`: objects in order of their first appearance."""
    counts = Counter(thing.label for thing in objects)
    attributes = {thing.label: thing.attributes[0].label for thing in reversed(objects) if thing.attributes}
    parts = [phrase(label, count, attributes.get(label)) for label, count in counts.items()]
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"a picture of {listed}"


def phrase(label: str, count: int, attribute: str | None) -> str:
    if count > 1:
        return f"{NUMBERS.get(count, 'many')} {plural(label)}"
    words = tag(label, [attribute] if attribute else [])
    if label in PAIRS:
        return words
    return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"


def plural(label: str) -> str:
    if label in IRREGULAR:
        return IRREGULAR[label]
    if label.endswith("knife"):
        return label[:-2] + "ves"
    if label.endswith("y") and label[-2:-1] not in tuple("aeiou"):
        return label[:-1] + "ies"
    if label.endswith(("s", "ch", "sh", "x")):
        return label + "es"
    return label + "s"

"""A sentence about the whole picture: ITA's global alignment (GA).

`model: template` writes one from the objects that were found and says so in every record. Any other name is
a model that writes captions, by hub name or folder; with an `endpoint`, one that a server answers with over HTTP.
BLIP says five, from five beams, as in ITA (Wang et al., NAACL 2022, section 3).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

from stages.base import (
    Failure,
    Identity,
    Item,
    Result,
    Stage,
    Value,
    guarded,
)
from stages.caption.schema import TEMPLATE, Caption, CaptionConfig, CaptionValue
from stages.caption.template import sentence
from stages.models.devices import pick_dtype
from stages.models.identity import identify
from stages.models.loading import load_model_type
from stages.objects.schema import ObjectsValue

if TYPE_CHECKING:
    from PIL.Image import Image

    from stages.caption.beams import Beams


# Keys had this kind when BLIP was the only one; the weights in the key tell models apart.
MODEL = "blip"


class Captioner(Protocol):
    """`prepare` is called ahead, in another thread; `describe` takes what it made of each picture."""

    source: str
    device: str

    def prepare(self, picture: Image) -> Any: ...

    def describe(self, prepared: Iterable[Any], /) -> list[Beams]: ...


Look = Callable[[Sequence[Item]], Sequence[Result]]


class CaptionStage(Stage[CaptionConfig]):
    name = "caption"
    version = 1
    config_type = CaptionConfig
    value_type = CaptionValue

    def __init__(self, config: CaptionConfig) -> None:
        super().__init__(config)
        self.agreed = config.consent
        self.look: Look | None = None
        self.where = "cpu"

    @property
    def served(self) -> bool:
        return bool(self.config.endpoint)

    @property
    def from_template(self) -> bool:
        return self.config.model == TEMPLATE and not self.served

    @property
    def alone(self) -> bool:
        return self.served

    @property
    def device(self) -> str:
        return self.where

    @property
    def sends_to(self) -> str:
        """The host to which pictures are sent where that is another machine; else nothing."""
        if not self.served:
            return ""
        from stages.caption.served import endpoint_of

        endpoint = endpoint_of(self.config)
        return endpoint.host if endpoint.remote else ""

    @property
    def reads(self) -> tuple[str, ...]:
        return ("objects",) if self.from_template else ()

    @property
    def batch_size(self) -> int:
        if self.served:
            return 4 * self.config.concurrency
        return 256 if self.from_template else self.config.batch

    def parameters(self) -> dict[str, Any]:
        """Those of later versions only where they are not as they were, so that old captions stay fresh."""
        if self.from_template:
            return {"kind": TEMPLATE, "template_floor": self.config.template_floor}
        if self.served:
            from stages.caption.served import parameters

            return parameters(self.config)
        always = ("beams", "captions", "max_new_tokens")
        changed = [
            name
            for name in ("prompt", "chat", "max_side")
            if getattr(self.config, name) != CaptionConfig.model_fields[name].default
        ]
        return {"kind": MODEL, **{name: getattr(self.config, name) for name in (*always, *changed)}}

    def identity(self) -> Identity:
        if self.from_template:
            return Identity()
        if self.served:
            return Identity(models={"captioner": f"{self.config.model}@{self.config.revision}"})
        return Identity(
            models={"captioner": identify(self.config.model, self.config.revision)},
            numerics={"dtype": pick_dtype(self.config.dtype, self.config.device)},
        )

    def open(self) -> None:
        if self.look is not None or self.from_template:
            return
        if self.served:
            from stages.caption.served import ServedCaptioner

            self.look, self.where = ServedCaptioner(self.config, self.agreed).run, "server"
        else:
            captioner = load(self.config, self.identity())
            self.look, self.where = functools.partial(describe, captioner), captioner.device

    def run(self, items: Sequence[Item]) -> Sequence[Result]:
        if self.from_template:
            return [guarded(self.fill_in, item) for item in items]
        self.open()
        assert self.look is not None
        return self.look(items)

    def fill_in(self, item: Item) -> CaptionValue:
        objects = item.upstream["objects"]
        assert isinstance(objects, ObjectsValue)
        seen = [thing for thing in objects.objects if thing.score >= self.config.template_floor]
        captions = (Caption(text=sentence(seen), score=None),) if seen else ()
        return CaptionValue(source=TEMPLATE, captions=captions)


def load(config: CaptionConfig, identity: Identity) -> Captioner:
    """
    Raises:
        StageError: the model is incomplete, or of a kind that writes no captions.
    """
    model, dtype = identity.models["captioner"], identity.numerics["dtype"]
    if load_model_type(config.model, model) == "blip":
        from stages.caption.blip import Blip

        return Blip(config, model, dtype)
    from stages.caption.image_text import ImageText

    return ImageText(config, model, dtype)


def describe(captioner: Captioner, items: Sequence[Item]) -> list[Value | Failure]:
    """One result an item. Pictures are decoded and made small in a thread, while the model looks at others."""
    failed: dict[int, Failure] = {}
    with ThreadPoolExecutor(1) as ahead:
        made = ahead.map(lambda item: guarded(lambda item: captioner.prepare(item.picture()), item), items)

        def good() -> Iterable[Any]:
            for place, prepared in enumerate(made):
                if isinstance(prepared, Failure):
                    failed[place] = prepared
                else:
                    yield prepared

        found = iter(captioner.describe(good()))
    return [failed[place] if place in failed else value_of(captioner, next(found)) for place in range(len(items))]


def value_of(captioner: Captioner, beams: Beams) -> CaptionValue:
    captions = tuple(Caption(text=beam.text, score=beam.score) for beam in beams)
    return CaptionValue(source=captioner.source, captions=captions)

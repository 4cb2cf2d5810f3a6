"""The stage `caption`: a sentence about the whole image, ITA's global alignment (GA).

`model: template` builds one from the detected objects, and every record says so. Any other name is a captioning
model, by hub name or folder; with an `endpoint`, a model that a server runs. BLIP gives five captions from five
beams, as in ITA (Wang et al., NAACL 2022, section 3).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from PIL.Image import Image

from stages.base import Failure, Identity, Item, Result, Stage, guarded
from stages.caption.schema import TEMPLATE, Caption, CaptionConfig, CaptionValue
from stages.caption.template import build_sentence
from stages.models.identity import identify
from stages.models.loading import load_model_type, pick_dtype
from stages.objects.schema import ObjectsValue


class Captioner(Protocol):
    """A captioning model on this machine. `source` is its model type, `device` a device of torch."""

    source: str
    device: str

    def prepare(self, image: Image) -> Any:
        """Return the input of `describe` for one image; called ahead in another thread."""
        ...

    def describe(self, prepared: Iterable[Any], /) -> list[tuple[Caption, ...]]:
        """Return the captions of each prepared image, best first."""
        ...


class CaptionStage(Stage[CaptionConfig]):
    """Describe each image in sentences."""

    name = "caption"
    version = 1
    config_type = CaptionConfig
    value_type = CaptionValue

    def __init__(self, config: CaptionConfig) -> None:
        super().__init__(config)
        self.agreed = config.consent
        self._run: Callable[[Sequence[Item]], Sequence[Result]] | None = None
        self._device = "cpu"

    @property
    def is_served(self) -> bool:
        """Whether a server runs the model."""
        return bool(self.config.endpoint)

    @property
    def is_template(self) -> bool:
        """Whether captions are built from detected objects."""
        return self.config.model == TEMPLATE and not self.is_served

    @property
    def alone(self) -> bool:
        """A server does the computing."""
        return self.is_served

    @property
    def device(self) -> str:
        """The model's device, or `server`."""
        return self._device

    @property
    def sends_to(self) -> str:
        """The server's host if it is another machine."""
        if not self.is_served:
            return ""
        from stages.caption.served import build_endpoint

        return build_endpoint(self.config).remote_host

    @property
    def reads(self) -> tuple[str, ...]:
        """The template needs the detected objects."""
        return ("objects",) if self.is_template else ()

    @property
    def batch_size(self) -> int:
        """Several rounds of requests for a server, many images for the template."""
        if self.is_served:
            return 4 * self.config.concurrency
        return 256 if self.is_template else self.config.batch

    def parameters(self) -> dict[str, Any]:
        """Return the settings that matter; those added later only if they differ from the default.

        This keeps captions fresh that were computed before a setting existed.
        """
        if self.is_template:
            return {"kind": TEMPLATE, "template_floor": self.config.template_floor}
        if self.is_served:
            from stages.caption.served import semantic_parameters

            return semantic_parameters(self.config)
        names = ["beams", "captions", "max_new_tokens"]
        for name in ("prompt", "chat", "max_side"):
            if getattr(self.config, name) != CaptionConfig.model_fields[name].default:
                names.append(name)
        # The kind of all local models dates from when BLIP was the only one; the weights distinguish models.
        return {"kind": "blip", **{name: getattr(self.config, name) for name in names}}

    def identity(self) -> Identity:
        """Return the model's exact weights and data type; of a served model its name and revision."""
        config = self.config
        if self.is_template:
            return Identity()
        if self.is_served:
            return Identity(models={"captioner": f"{config.model}@{config.revision}"})
        return Identity(
            models={"captioner": identify(config.model, config.revision)},
            numerics={"dtype": pick_dtype(config.dtype, config.device)},
        )

    def open(self) -> None:
        """Load the model, or prepare the client of the server."""
        if self._run is not None:
            return
        if self.is_template:
            self._run = self._fill_templates
        elif self.is_served:
            from stages.caption.served import ServedCaptioner

            self._run, self._device = ServedCaptioner(self.config, self.agreed).run, "server"
        else:
            captioner = load_captioner(self.config, self.identity())
            self._run, self._device = functools.partial(_run_captioner, captioner), captioner.device

    def run(self, items: Sequence[Item]) -> Sequence[Result]:
        """Return one `CaptionValue` or failure per item; postponed if a server does not answer."""
        self.open()
        assert self._run is not None
        return self._run(items)

    def _fill_templates(self, items: Sequence[Item]) -> list[Result]:
        return [guarded(self._fill_template, item) for item in items]

    def _fill_template(self, item: Item) -> CaptionValue:
        value = item.upstream["objects"]
        assert isinstance(value, ObjectsValue)
        objects = [detected for detected in value.objects if detected.score >= self.config.template_floor]
        captions = (Caption(text=build_sentence(objects), score=None),) if objects else ()
        return CaptionValue(source=TEMPLATE, captions=captions)


def load_captioner(config: CaptionConfig, identity: Identity) -> Captioner:
    """Load the captioning model of the settings.

    Raises:
        StageError: The model is incomplete, or writes no captions.
    """
    model, dtype = identity.models["captioner"], identity.numerics["dtype"]
    if load_model_type(config.model, model) == "blip":
        from stages.caption.blip import BlipCaptioner

        return BlipCaptioner(config, model, dtype)
    from stages.caption.image_text import ImageTextCaptioner

    return ImageTextCaptioner(config, model, dtype)


def _run_captioner(captioner: Captioner, items: Sequence[Item]) -> list[Result]:
    """Return one result per item. A thread decodes and prepares images while the model describes earlier ones."""
    failures: dict[int, Failure] = {}

    def prepare(item: Item) -> Any:
        return captioner.prepare(item.picture())

    with ThreadPoolExecutor(1) as pool:
        prepared = pool.map(lambda item: guarded(prepare, item), items)

        def keep_successes() -> Iterator[Any]:
            for number, result in enumerate(prepared):
                if isinstance(result, Failure):
                    failures[number] = result
                else:
                    yield result

        captions = iter(captioner.describe(keep_successes()))
    return [
        failures.get(number) or CaptionValue(source=captioner.source, captions=next(captions))
        for number in range(len(items))
    ]

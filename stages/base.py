"""The contract of a stage: its items, its results, and what makes an old result stale.

A stage turns items (images, or posts) into values that are stored in a cache:

    StageConfig ─> Stage ─> open() ─> run(items) ─> one Result per Item
                              │                       ├─ Value      stored in the cache
                              │                       ├─ Failure    stored: the stage cannot process this item
                              └─ raises StageError    └─ Postponed  not stored: the item stays as stale as before

The stage key consists of `name`, `version`, `parameters()`, `identity()` and the keys of the stages in `reads`.
A result is fresh as long as the stage key and the item's key stay the same.

The settings are in `stages.settings`, and the types of their fields and of values in `stages.validation`; all of
them can be imported from here. The definitions follow the drawing: values, results, errors, items, identity, stage.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from stages.settings import EXECUTION as EXECUTION
from stages.settings import MODEL as MODEL
from stages.settings import PORTABLE as PORTABLE
from stages.settings import SEMANTIC as SEMANTIC
from stages.settings import Portable as Portable
from stages.settings import Role as Role
from stages.settings import StageConfig as StageConfig
from stages.validation import Frozen as Frozen
from stages.validation import Label as Label
from stages.validation import Score as Score
from stages.validation import Text as Text
from stages.validation import clip_rounding as clip_rounding
from stages.validation import describe_invalid as describe_invalid
from stages.validation import replace_surrogates as replace_surrogates

if TYPE_CHECKING:
    from PIL.Image import Image


# Suffixes of image files in lower case. Downloads from Twitter end in `.jpg:large` or `.jpg_large`.
IMAGE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".jpg:large", ".jpg_large"),
        *(".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"),
    }
)


class Value(Frozen):
    """Base of what a stage computes from one item. Each subclass defines the JSON of one stage in the cache."""

    def as_context(self) -> tuple[str, ...]:
        """Return the texts to append to a tweet, in their order; none by default.

        This runs when contexts are rendered, so a change here runs no stage again. The built-in stages have
        settings for their contexts (`contexts.…`) and are rendered by `ita_pipeline.corpus.contexts` instead.
        """
        return ()


class FailureKind(StrEnum):
    """What another try of a failed item would give: the same, perhaps a value, or a value with more resources."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    RESOURCE = "resource"


class Failure(Frozen):
    """The result of an item that the stage cannot process. It is stored, like a value."""

    kind: FailureKind
    reason: str


class Postponed(Frozen):
    """The outcome of an item that the stage did not reach. It is not stored, so the item stays as stale as before.

    `broken` is true if the stage cannot continue at all, and false if it stopped on purpose, as with a budget that
    is used up.
    """

    reason: str
    hint: str = ""
    broken: bool = False


Result = Value | Failure | Postponed


class StageError(Exception):
    """Raised if a stage cannot work at all, as where a tool, a model or a file is missing. `hint` is the remedy."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class BadItemError(Exception):
    """Raised while one item is read or processed. The engine, or `guarded`, turns it into a `Failure`."""

    def __init__(self, reason: str, kind: FailureKind = FailureKind.PERMANENT) -> None:
        super().__init__(reason)
        self.failure = Failure(kind=kind, reason=reason)


class Subject(StrEnum):
    """The kind of items that a stage takes: images by themselves, or posts, which have a text."""

    PICTURE = "picture"
    POST = "post"


@dataclass(frozen=True, slots=True)
class Example:
    """Another post with its correct answer, to be shown to a model in a prompt."""

    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Item:
    """The input of a stage: an image, or a post with a text and perhaps an image.

    Attributes:
        key: The digest of everything below. For an image, the sha256 of its bytes (for imported contexts, the
            image's id). For a post, the digest of its text, its image's key and its `examples`.
        name: The name for messages.
        decode: Returns the image upright (EXIF orientation applied) and in RGB, or raises `BadItemError`. None for
            a post without an image.
        upstream: The values of the stages that this stage reads, by stage name. Values of image stages are absent
            if there is no image.
        text: The text of a post; empty for an image.
        examples: Other posts for a few-shot prompt.
        more: Returns a further image of a post, as `decode` does, for each of them.
    """

    key: str
    name: str
    decode: Callable[[], Image] | None
    upstream: Mapping[str, Value] = field(default_factory=dict[str, Value])
    text: str = ""
    examples: tuple[Example, ...] = ()
    more: tuple[Callable[[], Image], ...] = ()

    def picture(self) -> Image:
        """Return the decoded image.

        Raises:
            BadItemError: The image cannot be read, or there is none.
        """
        if self.decode is None:
            raise BadItemError("the post has no picture")
        return self.decode()


@dataclass(frozen=True, slots=True)
class Identity:
    """Everything besides the settings that determines the output. Every entry is part of the stage key.

    Attributes:
        models: Exact weights, such as `owner/name@commit` or `sha256:…`, by their purpose.
        tools: Versions or digests of programs, libraries and data files, by name.
        numerics: Numeric properties, such as the data type.
    """

    models: Mapping[str, str] = field(default_factory=dict[str, str])
    tools: Mapping[str, str] = field(default_factory=dict[str, str])
    numerics: Mapping[str, str] = field(default_factory=dict[str, str])


Config = TypeVar("Config", bound=StageConfig)


class Stage(ABC, Generic[Config]):
    """Base of all stages. Construction must be cheap; `open` loads the weights.

    Attributes:
        name: The stage's name in settings, keys and contexts.
        version: A number that the author increases whenever the same settings give other values.
        config_type: The class of the settings.
        value_type: The class of the values.
        subject: The kind of items.
        config: The settings of this instance.
        agreed: Whether the user consented to sending items to `sends_to`.
        suggested: Whether data, such as a run's folder, may have named the address that items are sent to. Then
            sending to this machine requires consent too, and no API key is sent.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    config_type: ClassVar[type[StageConfig]]
    value_type: ClassVar[type[Value]]
    subject: ClassVar[Subject] = Subject.PICTURE

    def __init__(self, config: Config) -> None:
        self.config: Config = config
        self.agreed = self.suggested = False

    def parameters(self) -> dict[str, Any]:
        """Return the semantic settings that matter here as plain JSON values; they are part of the stage key.

        Override this to leave out settings that other settings switch off, and the names of models: their exact
        weights are in `identity`, and their location changes nothing.
        """
        return self.config.of_role(SEMANTIC)

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the stages whose values `run` needs in `Item.upstream`; their keys become part of this key."""
        return ()

    @property
    def batch_size(self) -> int:
        """Number of items that the engine should pass to `run` at once."""
        return 16

    @property
    def sees_picture(self) -> bool:
        """Whether the output depends on the image, directly or through the values of other stages."""
        return True

    @property
    def shots(self) -> int:
        """Maximum number of `Item.examples`, chosen among the training posts that are most similar to the item."""
        return 0

    @property
    def similarity(self) -> str:
        """Text encoder that measures how similar two posts are; used if `shots` is above 0."""
        return ""

    @property
    def sends_to(self) -> str:
        """Host that items are sent to if it is another machine, else empty. Sending requires the user's consent."""
        return ""

    @property
    def device(self) -> str:
        """Where the work is done, valid once the stage is open: `cpu`, a device of torch, or `server`.

        Stages of one device take turns. Stages of different devices run at the same time.
        """
        return "cpu"

    @property
    def alone(self) -> bool:
        """Whether a single process must do all the work of a run, however many workers there are.

        True for a stage that counts over a whole run, such as paid requests, and leaves the computing to a server.
        """
        return False

    @abstractmethod
    def identity(self) -> Identity:
        """Return the models and tools that determine the output, without loading weights.

        Raises:
            StageError: One of them is missing.
        """

    def open(self) -> None:
        """Load what `run` needs. The engine calls this before the first batch; a second call does nothing.

        Raises:
            StageError: Weights are missing or damaged.
        """
        return None

    @abstractmethod
    def run(self, items: Sequence[Item]) -> Sequence[Result]:
        """Return one result per item, in order.

        A problem of a single item must become a `Failure` (see `guarded`), never an exception.
        """


Output = TypeVar("Output")


def guarded(work: Callable[[Item], Output], item: Item) -> Output | Failure:
    """Return `work(item)`, or the failure if it raises `BadItemError`; other exceptions pass through."""
    try:
        return work(item)
    except BadItemError as error:
        return error.failure

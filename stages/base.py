"""The contract of a stage: what goes in, what comes out, and what decides whether an old result still holds.

A stage declares every setting once, as *semantic* (it changes the output, so it is part of the key) or
*execution* (it changes only how the work is done). Anything that runs stages needs nothing beyond this file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from PIL.Image import Image


class Role(StrEnum):
    """Whether a setting changes what a stage says, or only how it gets there."""

    SEMANTIC = "semantic"
    EXECUTION = "execution"


SEMANTIC = Role.SEMANTIC

EXECUTION = Role.EXECUTION


class Frozen(BaseModel):
    """Immutable and strict: an unknown name is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def whole(text: str) -> str:
    """A text that can be written: half a character, which JSON may hold, becomes the sign for an unknown one."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("a label says something")
    return text


Text = Annotated[str, AfterValidator(whole)]

Label = Annotated[str, AfterValidator(whole), AfterValidator(not_blank)]

Score = Annotated[float, Field(ge=0, le=1)]


class Subject(StrEnum):
    """What kind of thing a stage looks at: a picture by itself, or a post with its text."""

    PICTURE = "picture"
    POST = "post"


class StageConfig(Frozen):
    """Settings of a stage. Write each one as `name: Annotated[type, SEMANTIC] = default`, or `EXECUTION`.

    Raises:
        TypeError: when the class is defined, for a setting with no role or with both.
    """

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for name, info in cls.model_fields.items():
            roles = [item for item in info.metadata if isinstance(item, Role)]
            if len(roles) != 1:
                raise TypeError(f"{cls.__name__}.{name} must be either SEMANTIC or EXECUTION, not {roles}")

    def of_role(self, role: Role) -> dict[str, Any]:
        """The settings of one role, as plain JSON values."""
        names = {name for name, info in type(self).model_fields.items() if role in info.metadata}
        return self.model_dump(mode="json", include=names)


class Value(Frozen):
    """What a stage found. Subclasses are the shapes of the cache, one a stage."""

    def as_context(self) -> tuple[str, ...]:
        """What is appended to a tweet, in the order of the texts; nothing by default.

        It is asked for when contexts are rendered, so changing what it says runs no stage again. The contexts of
        our own stages have settings (`contexts.…`) and are rendered in `ita_pipeline.corpus.contexts` instead.
        """
        return ()


class FailureKind(StrEnum):
    """How a failure behaves when tried again: always the same, perhaps better, or better with more room."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    RESOURCE = "resource"


class Failure(Frozen):
    """A result too: this item cannot be read by this stage, and why."""

    kind: FailureKind
    reason: str


class Postponed(Frozen):
    """No result: the stage stopped before this item, which gets no record and is as stale as before.

    `broken` says that the stage cannot go on; else it only had enough, as where a budget is spent.
    """

    reason: str
    hint: str = ""
    broken: bool = False


Result = Value | Failure | Postponed


class StageError(Exception):
    """A stage cannot work at all: a tool, a model or a file is missing. `hint` is what mends it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class BadItemError(Exception):
    """Raised while an item is read or decoded; the engine turns it into a `Failure`."""

    def __init__(self, reason: str, kind: FailureKind = FailureKind.PERMANENT) -> None:
        super().__init__(reason)
        self.failure = Failure(kind=kind, reason=reason)


@dataclass(frozen=True, slots=True)
class Example:
    """Another post to learn from, and the answer that is right for it."""

    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to look at: a picture, or a post, which has a text and perhaps a picture.

    `key` is a digest of all of it: of a picture the sha256 of its bytes (for imported contexts, the picture's id),
    of a post that of its text, its picture's key and its `examples`. `decode` returns the picture upright (EXIF
    orientation applied) and in RGB, or raises `BadItemError`; it is None for a post without one. `upstream` holds
    the values of the stages that this one reads; those of pictures are missing where there is no picture.
    """

    key: str
    name: str
    decode: Callable[[], Image] | None
    upstream: Mapping[str, Value] = field(default_factory=dict)
    text: str = ""
    examples: tuple[Example, ...] = ()

    def picture(self) -> Image:
        """
        Raises:
            BadItemError: it cannot be read, or there is none.
        """
        if self.decode is None:
            raise BadItemError("the post has no picture")
        return self.decode()


@dataclass(frozen=True, slots=True)
class Identity:
    """What else decides the output besides the settings; every entry is part of the stage key."""

    models: Mapping[str, str] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    numerics: Mapping[str, str] = field(default_factory=dict)


Config = TypeVar("Config", bound=StageConfig)


class Stage(ABC, Generic[Config]):
    """One way of turning items into values.

    A subclass states `name`, `version` (raised by its author whenever the same settings give other values),
    its `config_type`, its `value_type`, and the `subject` of its items. Constructing a stage is cheap; weights are
    loaded by `open`.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    config_type: ClassVar[type[StageConfig]]
    value_type: ClassVar[type[Value]]
    subject: ClassVar[Subject] = Subject.PICTURE

    def __init__(self, config: Config) -> None:
        self.config: Config = config
        # Whether somebody agreed that items are sent to `sends_to`.
        self.agreed = False

    def parameters(self) -> dict[str, Any]:
        """The semantic settings that matter here, as plain JSON values; they are part of the stage key.

        A stage leaves out those that its other settings switch off, and the names of models: their exact
        weights are in `identity`, and where they lie changes nothing.
        """
        return self.config.of_role(SEMANTIC)

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the stages whose values `run` needs."""
        return ()

    @property
    def batch_size(self) -> int:
        """How many items the engine should hand over at once."""
        return 16

    @property
    def sees_picture(self) -> bool:
        """Whether the picture counts, by itself or by what other stages saw in it; of a post it need not."""
        return True

    @property
    def shots(self) -> int:
        """How many examples, of the posts for training that are most like it, an item should have at most."""
        return 0

    @property
    def similarity(self) -> str:
        """The text encoder that says how much two posts are alike."""
        return ""

    @property
    def sends_to(self) -> str:
        """The host to which items are sent where that is another machine; else nothing. It takes consent first."""
        return ""

    @property
    def device(self) -> str:
        """Where the work is done, known once the stage is open: on the processor (`cpu`), a device of torch, or a
        `server`. Stages of one device take turns; those of others go on meanwhile.
        """
        return "cpu"

    @property
    def alone(self) -> bool:
        """Whether one process does all of it, however many there are: so it is with a stage that keeps count over
        a whole run, as of requests that are paid for, and lets a server do the work.
        """
        return False

    @abstractmethod
    def identity(self) -> Identity:
        """Models and tools that decide the output, found without loading weights.

        Raises:
            StageError: when one of them is missing.
        """

    def open(self) -> None:
        """Load what `run` needs, once; whoever runs the stage calls it before the first batch.

        Raises:
            StageError: weights are missing or damaged.
        """
        return None

    @abstractmethod
    def run(self, items: Sequence[Item]) -> Sequence[Result]:
        """One result an item, in order. Must not raise for what is wrong with a single item."""


Found = TypeVar("Found")


def guarded(work: Callable[[Item], Found], item: Item) -> Found | Failure:
    """Apply `work` to one item; what is wrong with the item becomes its failure."""
    try:
        return work(item)
    except BadItemError as bad:
        return bad.failure


Input = TypeVar("Input")

Output = TypeVar("Output")

Error = TypeVar("Error", bound=Exception)


def run_bisected(
    run: Callable[[Sequence[Input]], Sequence[Output]],
    items: Sequence[Input],
    handle_error: Callable[[Input, Error], Output],
    error_type: type[Error],
) -> list[Output]:
    """Run a batch; halve a batch that raises until the item at fault is alone, and handle its error.

    Raises:
        StageError: `run` raised it. It concerns the stage, not an item, so the batch is not halved.
    """
    if not items:
        return []
    try:
        return list(run(items))
    except StageError:
        raise
    except error_type as error:
        if len(items) == 1:
            return [handle_error(items[0], error)]
    middle = len(items) // 2
    first_half = run_bisected(run, items[:middle], handle_error, error_type)
    return first_half + run_bisected(run, items[middle:], handle_error, error_type)

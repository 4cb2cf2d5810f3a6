"""The options of every command that runs stages: what to process, with which settings, and with whose consent."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ita_pipeline.cache.plan import Plan, PlanOptions
from ita_pipeline.core.config import merge_settings, parse_assignments, parse_config
from ita_pipeline.core.errors import UsageError
from ita_pipeline.engines.executor import Limits
from ita_pipeline.engines.ray.cluster import RayPool
from stages.base import FailureKind, Stage, Subject

logger = logging.getLogger(__name__)

AUTO = "auto"

SHARD_FORM = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Shard:
    """The `number`th of `of` shares of the work, counted from 1, for jobs that do not communicate.

    The key of an item determines its only shard.

    Raises:
        UsageError: there is no such shard.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            message = f"there is no shard {self.number}/{self.of}"
            raise UsageError(message, f"shards are counted from 1: 1/{max(1, self.of)} is the first")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Parse a shard.

        Raises:
            UsageError: the text does not have the form 3/16.
        """
        match = SHARD_FORM.fullmatch(text.strip())
        if match is None:
            raise UsageError(f"{text!r} is no shard", "--shard 3/16, the third of sixteen")
        return cls(int(match[1]), int(match[2]))

    def contains(self, key: str) -> bool:
        """Whether an image or post is in the shard; `key` is the sha256 of its content."""
        return int(key[:16], 16) % self.of == self.number - 1

    def contains_address(self, address: bytes) -> bool:
        """Whether an image is in the shard that could not be read, and so has no key."""
        return self.contains(hashlib.sha256(address).hexdigest())


@dataclass(frozen=True, slots=True)
class Options:
    """The options of every command that runs stages.

    `retry_failed` are the kinds of failures to try again, `refresh` the stages that process everything again, and
    `limit` the maximum number of pictures to process. `base` are settings by section, as from a file, which
    `assignments` override. A section that no stage reads is ignored in `base`, but an error in `assignments`.

    `consent` allows stages to send posts and pictures to other machines; without it, `confirm` answers their
    questions with yes or no. With `ray`, `extract` and `predict` run in actors of a Ray cluster. `shared` is the
    address of a cache that machines share, such as `s3://bucket/ita-cache`: records are read from it, and new
    records are uploaded to it. With a `shard`, only its pictures and posts are processed.
    """

    preset: str = AUTO
    stages: tuple[str, ...] = ()
    assignments: tuple[str, ...] = ()
    workspace: Path = Path()
    retry_failed: tuple[FailureKind, ...] = ()
    refresh: tuple[str, ...] = ()
    limit: int | None = None
    base: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    consent: bool = False
    ray: RayPool | None = None
    shared: str = ""
    shard: Shard | None = None
    confirm: Callable[[str], bool] | None = None

    @property
    def changes(self) -> dict[str, dict[str, Any]]:
        """The settings by section: `base`, overridden by the assignments.

        Raises:
            UsageError: an assignment is invalid.
        """
        return merge_settings(self.base, parse_assignments(self.assignments))

    @property
    def plan_options(self) -> PlanOptions:
        """The options of the planner."""
        return PlanOptions(frozenset(self.retry_failed), frozenset(self.refresh), self.limit)

    @property
    def limits(self) -> Limits:
        """The limits for one image.

        Raises:
            UsageError: a setting of `limits` is invalid.
        """
        return parse_config(Limits, self.changes.get("limits", {}), "limits")


def ask_consent(plan: Plan, agreed: bool, confirm: Callable[[str], bool] | None) -> None:
    """Require consent for every stage with stale items that sends them to another machine, and log what is sent.

    `agreed` tells whether the user consented with the command; the settings of a stage may consent too. `confirm`
    asks a question and returns whether the answer is yes.

    Raises:
        UsageError: consent is missing.
    """
    for stage_plan in plan.stages:
        if stage_plan.stale:
            require_consent(stage_plan.stage, str(len(stage_plan.stale)), agreed, confirm)


def require_consent(stage: Stage[Any], count: str, agreed: bool, confirm: Callable[[str], bool] | None) -> None:
    """Require consent for one stage; a stage that sends nothing needs none.

    Raises:
        UsageError: consent is missing.
    """
    host = stage.sends_to
    if not host:
        return
    items = f"{count} {_describe_items(stage)}"
    logger.warning(f"{stage.name}: {items} leave this machine, for {host}")
    if not (agreed or stage.agreed or (confirm is not None and confirm(f"send them to {host}?"))):
        hint = f"--yes agrees for this command, --set {stage.name}.consent=true always"
        raise UsageError(f"{stage.name} would send {items} to {host}, and nobody agreed to that", hint)
    stage.agreed = True


def _describe_items(stage: Stage[Any]) -> str:
    if stage.subject is Subject.PICTURE:
        return "pictures"
    return "tweets, with their pictures or what is seen in them," if stage.sees_picture else "tweets"

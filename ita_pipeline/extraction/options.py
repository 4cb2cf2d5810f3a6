"""The options of every command that runs stages: what to process, with which settings, and with whose consent."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ita_pipeline.cache.plan import Plan, PlanOptions
from ita_pipeline.core.config import merge_settings, parse_assignments, parse_config
from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.trust import place_of, read_trust
from ita_pipeline.engines.executor import Limits
from ita_pipeline.engines.ray.cluster import RayPool
from ita_pipeline.ner.config import RuntimeName
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
            raise UsageError(f"{text!r} is not a shard", "--shard 3/16, the third of sixteen")
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

    `own` are those settings of `base` that the user gave, by default all of them. The others may come from someone
    else, as from a folder's `ita.yaml`: an address in them is used only with consent, and without an API key.

    `consent` allows stages to send posts and pictures to other machines; without it, `confirm` answers their
    questions with yes or no, and without both nothing is sent to a host that the user does not trust.

    With `ray`, `extract` and `predict` run in actors of a Ray cluster. `shared` is the address of a cache that
    machines share, such as `s3://bucket/ita-cache`: records are read from it, and new records are uploaded to it.
    With a `shard`, only its pictures and posts are processed. `runtime` computes taggers: `onnx`, `onnx-int8`,
    `torch`, or `auto` for ONNX Runtime where a run has a graph and torch where it has none.
    """

    preset: str = AUTO
    stages: tuple[str, ...] = ()
    assignments: tuple[str, ...] = ()
    workspace: Path = Path()
    retry_failed: tuple[FailureKind, ...] = ()
    refresh: tuple[str, ...] = ()
    limit: int | None = None
    base: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    own: Mapping[str, Mapping[str, Any]] | None = None
    consent: bool = False
    ray: RayPool | None = None
    shared: str = ""
    shard: Shard | None = None
    confirm: Callable[[str], bool] | None = None
    runtime: RuntimeName = "auto"

    @property
    def changes(self) -> dict[str, dict[str, Any]]:
        """The settings by section: `base`, overridden by the assignments.

        Raises:
            UsageError: an assignment is invalid.
        """
        return merge_settings(self.base, parse_assignments(self.assignments))

    @property
    def own_changes(self) -> dict[str, dict[str, Any]]:
        """Those of the changed settings that the user gave.

        Raises:
            UsageError: an assignment is invalid.
        """
        return merge_settings(self.base if self.own is None else self.own, parse_assignments(self.assignments))

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
        return parse_config(Limits, self.changes.get("limits", {}), "limits", "limits")


@dataclass(frozen=True, slots=True)
class Consent:
    """What the user allows stages to send away: anything with `agreed`, else what `confirm` answers with yes.

    `own` are the settings that the user gave. An address that they do not name needs consent on any machine.
    """

    agreed: bool = False
    confirm: Callable[[str], bool] | None = None
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, options: Options) -> Consent:
        """Return the consent that a command was given.

        Raises:
            UsageError: an assignment of the options is invalid.
        """
        return cls(options.consent, options.confirm, options.own_changes)

    def require_for(self, plan: Plan) -> None:
        """Require consent for every stage of a plan with stale items; see `require`.

        Raises:
            UsageError: consent is missing.
        """
        for stage_plan in plan.stages:
            if stage_plan.stale:
                self.require(stage_plan.stage, str(len(stage_plan.stale)))

    def require(self, stage: Stage[Any], count: str) -> None:
        """Require consent for a stage that sends `count` items away, and log what it sends.

        A stage needs none if it sends nothing, or if the user's own settings name an address on this machine. The
        user can consent with the command, by trusting the host, by a setting of the stage for an address of the
        user's own, or by answering yes to `confirm`.

        Raises:
            UsageError: consent is missing.
        """
        remote_host, config = stage.sends_to, stage.config
        address = getattr(config, "endpoint", "")
        if self.own.get(stage.name, {}).get("endpoint", "") == address:
            stage.suggested = False
        if not remote_host and not (stage.suggested and address):
            return
        host, items = place_of(address) if address else remote_host, f"{count} {_describe_items(stage)}"
        verb = "leave this machine, for" if remote_host else "go to"
        whose = ", an address that your own settings do not name" if stage.suggested else ""
        logger.warning(f"{stage.name}: {items} {verb} {host}{whose}")
        if stage.agreed:
            return
        trust = read_trust().get(host)
        has_setting = not stage.suggested and getattr(config, "consent", False)
        if trust is not None and trust.key:
            stage.suggested = False
        is_asked = not (self.agreed or trust or has_setting)
        if is_asked and (self.confirm is None or not self.confirm(f"send them to {host}?")):
            hint = f"--yes agrees for this command, ita config trust {host} for good"
            raise UsageError(f"{stage.name} would send {items} to {host}, and you have not agreed to that", hint)
        stage.agreed = True
        variable = getattr(config, "key_variable", "ITA_API_KEY")
        if not stage.suggested or not os.environ.get(variable):
            return
        if is_asked and self.confirm is not None and self.confirm(f"send the key in {variable} to {host} too?"):
            stage.suggested = False
        else:
            logger.warning(
                f"{stage.name}: the key in {variable} is not sent; ita config trust {host} --key agrees to that"
            )


def _describe_items(stage: Stage[Any]) -> str:
    if stage.subject is Subject.PICTURE:
        return "pictures"
    parts = ["their pictures or what is seen in them"] if stage.sees_picture else []
    parts += ["training posts as examples"] if stage.shots else []
    return f"tweets, with {' and '.join(parts)}," if parts else "tweets"

"""Nothing leaves this machine before somebody agreed to it, and it is said beforehand what does, and whereto."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ita_pipeline.cache.plan import Plan
from ita_pipeline.core.errors import UsageError
from stages.base import Stage, Subject

logger = logging.getLogger(__name__)


def ask_consent(plan: Plan, agreed: bool, confirm: Callable[[str], bool]) -> None:
    """Tell of every stage with work to do that sends items to another machine, and make sure that it may.

    `agreed` is what the person said with the command; a stage may also have been allowed to by its settings.
    `confirm` asks a question, and returns whether the answer is yes.

    Raises:
        UsageError: nobody agreed.
    """
    for part in plan.stages:
        if part.stale:
            allow_sending(part.stage, str(len(part.stale)), agreed, confirm)


def allow_sending(stage: Stage[Any], count: str, agreed: bool, confirm: Callable[[str], bool]) -> None:
    """
    Raises:
        UsageError: the stage sends items away, and nobody agreed.
    """
    host = stage.sends_to
    if not host:
        return
    what = f"{count} {described(stage)}"
    logger.warning(f"{stage.name}: {what} leave this machine, for {host}")
    if not (agreed or stage.agreed or confirm(f"send them to {host}?")):
        hint = f"--yes agrees for this command, --set {stage.name}.consent=true always"
        raise UsageError(f"{stage.name} would send {what} to {host}, and nobody agreed to that", hint)
    stage.agreed = True


def described(stage: Stage[Any]) -> str:
    if stage.subject is Subject.PICTURE:
        return "pictures"
    return "tweets, with their pictures or what is seen in them," if stage.sees_picture else "tweets"

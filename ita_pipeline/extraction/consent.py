"""Consent to send items to another machine: what is sent where is logged first, then consent is required."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ita_pipeline.cache.plan import Plan
from ita_pipeline.core.errors import UsageError
from stages.base import Stage, Subject

logger = logging.getLogger(__name__)


def ask_consent(plan: Plan, agreed: bool, confirm: Callable[[str], bool] | None) -> None:
    """Require consent for every stage with stale items that sends them to another machine.

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

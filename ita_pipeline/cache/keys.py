"""Keys: canonical digests of everything that decides a result, and of nothing else.

A file in the folder of each key, `stage.json`, describes it: the digest and the components that it follows from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ita_pipeline.core.files import write_atomically
from ita_pipeline.core.plugins import REPORT_STAGE
from stages.base import Stage, StageError

# Hexadecimal digits of a key in the name of its folder.
SHORT_KEY_LENGTH = 16

KEY_FILE = "stage.json"

# The components of a key that have members.
GROUPS = ("parameters", "models", "tools", "numerics", "reads")


def canonical_json(value: object) -> bytes:
    """Write a value as its only canonical JSON text: sorted keys, no spaces, plain ASCII, no NaN.

    Raises:
        TypeError: the value is not plain JSON, such as a set, whose order differs between processes.
        ValueError: the value contains NaN or an infinity.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def digest(value: object) -> str:
    """The sha256 of a value's canonical JSON, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


@dataclass(frozen=True, slots=True)
class StageKey:
    """The key of a stage with its components, so that two keys can be compared one component at a time."""

    stage: str
    components: Mapping[str, Any]
    hexdigest: str

    @property
    def folder(self) -> str:
        """The folder of the records in a cache: `<stage>/<beginning of the digest>`."""
        return f"{self.stage}/{self.short}"

    @property
    def short(self) -> str:
        """The beginning of the digest, which names the folder."""
        return self.hexdigest[:SHORT_KEY_LENGTH]


def stage_key(stage: Stage[Any], upstream: Mapping[str, StageKey]) -> StageKey:
    """Compute the key of a stage from everything that decides its results.

    That is its name, version, semantic settings, models, tools, numerics, and the keys of the stages that it reads,
    which are in `upstream` by name.

    Raises:
        StageError: a model or tool that the stage needs is missing, or the stage raises something else.
    """
    try:
        return _compute_key(stage, upstream)
    except Exception as error:
        if isinstance(error, StageError):
            raise
        what = f"the stage {stage.name} cannot say what its results depend on: {type(error).__name__}: {error}"
        raise StageError(what, REPORT_STAGE) from error


def _compute_key(stage: Stage[Any], upstream: Mapping[str, StageKey]) -> StageKey:
    identity = stage.identity()
    components = {
        "stage": stage.name,
        "version": stage.version,
        "parameters": stage.parameters(),
        "models": dict(identity.models),
        "tools": dict(identity.tools),
        "numerics": dict(identity.numerics),
        "reads": {name: upstream[name].hexdigest for name in stage.reads},
    }
    return StageKey(stage=stage.name, components=components, hexdigest=digest(components))


def explain_unreadable(key: StageKey, installed: Mapping[str, type[Stage[Any]]]) -> str:
    """Explain why no installed stage can read the records of a key, or return an empty text where one can."""
    stage = installed.get(key.stage)
    if stage is None:
        return "that stage is not installed"
    return "" if key.components.get("version") == stage.version else "it is of another version of the stage"


def stage_keys(stages: Sequence[Stage[Any]]) -> dict[str, StageKey]:
    """Compute the current key of each stage. `stages` must include the stages that they read.

    Raises:
        StageError: a model or tool that a stage needs is missing.
    """
    keys: dict[str, StageKey] = {}
    for stage in sort_stages(stages):
        keys[stage.name] = stage_key(stage, keys)
    return keys


def sort_stages(stages: Sequence[Stage[Any]]) -> list[Stage[Any]]:
    """Sort stages so that each comes after the stages that it reads, and otherwise keep their order."""
    waiting = list(stages)
    ordered: list[Stage[Any]] = []
    while waiting:
        names = {stage.name for stage in waiting}
        ready = [stage for stage in waiting if not names & set(stage.reads)]
        if not ready:
            raise ValueError(f"stages read each other in a circle: {', '.join(sorted(names))}")
        ordered += ready
        waiting = [stage for stage in waiting if stage not in ready]
    return ordered


class _Description(BaseModel):
    key: str
    components: dict[str, Any]


def read_key(file: Path) -> StageKey | None:
    """Read the key that a file describes, or None where it cannot be read: only an explanation is lost then."""
    with suppress(OSError, ValueError, KeyError):
        description = _Description.model_validate_json(file.read_bytes())
        return StageKey(description.components["stage"], description.components, description.key)
    return None


def parse_key(folder: str, content: bytes) -> StageKey:
    """Read the key from the description in a folder `<stage>/<key>` that is not trusted.

    Raises:
        ValueError: the content is no description, or the key does not follow from its components and the folder.
    """
    description = _Description.model_validate_json(content)
    components, hexdigest = description.components, description.key
    stage, short = folder.split("/")
    if not all(isinstance(components.get(group), dict) for group in GROUPS):
        raise ValueError(f"{folder} describes no key")
    if digest(components) != hexdigest or not hexdigest.startswith(short) or components.get("stage") != stage:
        raise ValueError(f"{folder}: the key is not that of its components or its folder")
    return StageKey(stage, components, hexdigest)


def write_key(key: StageKey, folder: Path) -> None:
    """Describe a key in the folder of its segments, which is made, unless it is described there already."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / KEY_FILE).exists():
        write_atomically(folder / KEY_FILE, format_key(key))


def format_key(key: StageKey) -> str:
    """The description of a key as JSON."""
    return json.dumps({"key": key.hexdigest, "components": key.components}, indent=2, ensure_ascii=False) + "\n"

"""Keys: canonical digests of everything that decides a result, and of nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stages.base import Stage

SHORT = 16


def canonical_json(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, plain ASCII, no NaN.

    Raises:
        TypeError: for anything that is not plain JSON, such as a set, whose order differs between processes.
        ValueError: for NaN and infinities.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def digest(value: Any) -> str:
    """sha256 of a value's canonical JSON, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


@dataclass(frozen=True, slots=True)
class StageKey:
    """The key of a stage with its components in clear, so that two keys can be compared word by word."""

    stage: str
    components: Mapping[str, Any]
    hexdigest: str

    @property
    def short(self) -> str:
        """The name of the stage's folder in the cache."""
        return self.hexdigest[:SHORT]


def stage_key(stage: Stage[Any], upstream: Mapping[str, StageKey]) -> StageKey:
    """Key of a stage: name, version, semantic settings, models, tools, numerics, and the stages it reads.

    Raises:
        StageError: a model or tool that the stage needs is missing.
    """
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

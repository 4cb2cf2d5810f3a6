"""The file of a grounder: safetensors with the weights that are not zero, and in its header everything else."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from ita_pipeline.core.errors import UsageError
from ita_pipeline.grounding.grounder import GROUNDER_VERSION, Grounder
from ita_pipeline.grounding.linear import BITS, Logistic
from ita_pipeline.grounding.metrics import TypePrior

# In a folder of its own, since an exported run has the tagger's weights in the run's folder.
NAME = "grounder/grounder.safetensors"

# Places and weights of both regressions take at most half of this.
MAX_BYTES = 4 * 8 << BITS

_PARTS = ("visible", "box")

_PRIORS = TypeAdapter(dict[str, TypePrior])


def save_grounder(grounder: Grounder, folder: Path) -> None:
    """Write a grounder to its file in a run's folder."""
    from safetensors.numpy import save_file

    tensors: dict[str, np.ndarray] = {}
    header = {"version": str(GROUNDER_VERSION), "priors": _PRIORS.dump_json(grounder.priors).decode()}
    for name in _PARTS:
        part: Logistic = getattr(grounder, name)
        places = np.flatnonzero(part.weights)
        tensors[f"{name}.places"] = places.astype(np.int32)
        tensors[f"{name}.weights"] = part.weights[places]
        header[f"{name}.temperature"] = json.dumps(part.temperature)
    (folder / NAME).parent.mkdir(exist_ok=True)
    save_file(tensors, folder / NAME, header)


def load_grounder(folder: Path) -> Grounder | None:
    """Read the grounder of a run's folder, None if it has none.

    Raises:
        UsageError: the file is not a valid file of a run.
    """
    file = folder / NAME
    if not file.is_file():
        return None
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ValueError("it is too large")
        return _read(file)
    except Exception as error:  # readers raise anything on damaged data
        raise UsageError(f"{file} is not a valid file of a run", "train it again") from error


def _read(file: Path) -> Grounder:
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as opened:
        header = opened.metadata() or {}
        if header["version"] != str(GROUNDER_VERSION):
            raise ValueError("written by another version")
        parts: list[Logistic] = []
        for name in _PARTS:
            places, values = opened.get_tensor(f"{name}.places"), opened.get_tensor(f"{name}.weights")
            weights = np.zeros(1 << BITS, np.float32)
            if (
                places.shape != values.shape
                or places.ndim != 1
                or places.min(initial=0) < 0
                or not np.isfinite(values).all()
            ):
                raise ValueError("its weights are damaged")
            weights[places] = values
            temperature = float(json.loads(header[f"{name}.temperature"]))
            if not (math.isfinite(temperature) and temperature > 0):
                raise ValueError("its temperature is damaged")
            parts.append(Logistic(weights, temperature))
    return Grounder(*parts, priors=_PRIORS.validate_json(header["priors"]))

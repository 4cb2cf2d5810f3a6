"""TensorBoard, Weights & Biases, MLflow and the others that `transformers.Trainer` reports to, where one is wanted.

Their packages are not ours: each is installed by whoever wants it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ita_pipeline.errors import MissingError, UsageError, nearest

# In the folder of the run: where TensorBoard's files are written, which knows no server.
TENSORBOARD = "tensorboard"


def reporters(names: Sequence[str], folder: Path) -> list[Any]:
    """A callback for each name; those that write files do so below `folder`.

    Raises:
        UsageError: there is no reporter of that name.
        MissingError: its package is not installed.
    """
    return [reporter(name, folder) for name in dict.fromkeys(names)]


def reporter(name: str, folder: Path) -> Any:
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    if name not in INTEGRATION_TO_CALLBACK:
        known = sorted(INTEGRATION_TO_CALLBACK)
        raise UsageError(
            f"nobody is called {name} to report to", nearest(name, known) or f"known are {', '.join(known)}"
        )
    try:
        made = INTEGRATION_TO_CALLBACK[name]()
    except (RuntimeError, ImportError) as error:
        raise MissingError(
            f"--report-to {name} needs a package that is not installed", f"pip install {name}"
        ) from error
    if name == TENSORBOARD and made.logging_dir is None:
        made.logging_dir = str(folder / TENSORBOARD)
    return made

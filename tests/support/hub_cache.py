"""A simulated cache of the Hugging Face hub."""

from __future__ import annotations

import shutil
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def cache_model(cache: Path, model: str, folder: Path, reference: str = "main") -> Path:
    """Store a model's folder in the cache as if it was downloaded; return the cache's folder of the model."""
    cached = cache / f"models--{model.replace('/', '--')}"
    (cached / "refs" / reference).parent.mkdir(parents=True)
    (cached / "refs" / reference).write_text(COMMIT)
    shutil.copytree(folder, cached / "snapshots" / COMMIT)
    return cached

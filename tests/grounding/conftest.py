"""GMNER as published, if it is here."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from ita_pipeline.corpus.datasets import Dataset, load_dataset

GMNER = Path(__file__).parents[3] / "shared/data/gmner"


@pytest.fixture(scope="session")
def gmner(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    if not GMNER.is_dir():
        pytest.skip("the published files are not here")
    folder = tmp_path_factory.mktemp("gmner")
    with tarfile.open(GMNER / "xml.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    for name in ("train", "dev", "test"):
        (folder / f"{name}.txt").symlink_to(GMNER / ("dev.txt" if name == "test" else f"{name}.txt"))
    return load_dataset("gmner", folder, Path("data"))

"""Shared caches of three kinds, and the stores of two machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from ita_pipeline.cache.shared.store import SharedCache
from ita_pipeline.cache.store import Store
from tests.support.s3_server import URL
from tests.support.s3_server import one_server as one_server  # a fixture
from tests.support.s3_server import server as server  # a fixture


@pytest.fixture(params=["s3", "memory", "file"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> SharedCache:
    if request.param == "s3":
        request.getfixturevalue("server")
        return SharedCache(URL)
    if request.param == "memory":
        return SharedCache(f"memory://{tmp_path.name}/ita-cache")
    return SharedCache(f"file://{tmp_path}/mnt/ita-cache")


@pytest.fixture
def here(tmp_path: Path) -> Store:
    return Store(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> Store:
    return Store(tmp_path / "there")

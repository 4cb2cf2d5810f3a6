"""Shared caches of three kinds, the stores of two machines, and two ways to fill an index."""

from __future__ import annotations

from pathlib import Path

import pytest

from ita_pipeline.cache.shared.store import SharedCache
from ita_pipeline.cache.store import Store
from tests.support.s3_server import URL
from tests.support.s3_server import one_server as one_server  # a fixture
from tests.support.s3_server import server as server  # a fixture
from tests.support.segments import OpenStore


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


@pytest.fixture(params=["as they come", "in bulk"], scope="module")
def open_store(request: pytest.FixtureRequest) -> OpenStore:
    """Both ways into the table: each segment on its own, and all new segments together."""

    def open_it(root: Path) -> Store:
        store = Store(root)
        if request.param == "in bulk":
            store.index.bulk_bytes = -1
        return store

    return open_it

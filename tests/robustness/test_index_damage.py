"""An index damaged at random: every answer is right all the same, and the file is built again at most once.

`ITA_INDEX_DAMAGES=500` damages it that often, and `ITA_INDEX_SEED` chooses other places.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
from pathlib import Path

import pytest

from ita_pipeline.cache.compaction import compact
from ita_pipeline.cache.plan import make_plan
from ita_pipeline.cache.records import Record
from ita_pipeline.cache.store import Store
from ita_pipeline.sources.identify import identify
from ita_pipeline.sources.local import LocalFile, hash_file
from ita_pipeline.sources.refs import ImageRef
from stages.base import Failure, FailureKind
from tests.support.segments import KEY, STAGE, put, value

COUNT = int(os.environ.get("ITA_INDEX_DAMAGES", "40"))
SEED = int(os.environ.get("ITA_INDEX_SEED", "1"))
PICTURES = 300


def build(root: Path) -> dict[str, Record]:
    """A workspace with an index that knows its pictures and their records; return these."""
    (root / "images").mkdir(parents=True)
    for number in range(PICTURES):
        (root / "images" / f"{number}.jpg").write_bytes(b"picture %d" % number)
    store = Store(root / ".ita", settled_seconds=0)
    images = identified(root, store)
    failure = Failure(kind=FailureKind.RESOURCE, reason="too large")
    found = [
        Record(image.key, failure, 0.5) if n % 9 == 0 else value(image.key, n) for n, image in enumerate(images)
    ]
    put(store, *found[:200])
    put(store, *found[200:])
    assert make_plan([STAGE], images, store).stages[0].fresh == PICTURES - len(range(0, PICTURES, 9))
    return {record.image: record for record in found}


def identified(root: Path, store: Store) -> list[ImageRef]:
    sources = [LocalFile(root / "images" / f"{number}.jpg") for number in range(PICTURES)]
    return [image for image in identify(sources, store.manifest) if isinstance(image, ImageRef)]


def damage(file: Path, chance: random.Random) -> None:
    """Flip bytes, cut the end off, exchange two pages, or fill one with something else."""
    content = bytearray(file.read_bytes())
    size = int.from_bytes(content[16:18], "big")
    pages = [content[start : start + size] for start in range(0, len(content), size)]
    match chance.randrange(5):
        case 0:
            content[chance.randrange(len(content))] ^= chance.randrange(1, 256)
        case 1:
            for _ in range(chance.randrange(2, 200)):
                content[chance.randrange(len(content))] ^= chance.randrange(1, 256)
        case 2:
            content = content[: chance.randrange(len(content))]
        case 3:
            one, other = chance.sample(range(len(pages)), 2)
            pages[one], pages[other] = pages[other], pages[one]
            content = bytearray().join(pages)
        case _:
            start = chance.randrange(len(content))
            content[start : start + 64] = chance.randbytes(min(64, len(content) - start))
    file.write_bytes(content)


@pytest.mark.parametrize("number", range(COUNT))
def test_a_damaged_index_changes_no_answer(
    number: int, workspace: tuple[Path, dict[str, Record]], caplog, tmp_path
):
    template, expected = workspace
    root = tmp_path / "copy"
    shutil.copytree(template / ".ita", root / ".ita")
    (root / "images").symlink_to(template / "images")
    chance = random.Random(SEED * 1_000_003 + number)
    damage(root / ".ita" / "index.sqlite", chance)
    store = Store(root / ".ita", settled_seconds=0)
    with caplog.at_level(logging.WARNING):
        planned = make_plan([STAGE], identified(root, store), store).stages[0]
        assert not planned.damage
        keys = {hash_file(root / "images" / f"{number}.jpg") for number in range(PICTURES)}
        assert keys == expected.keys()
        failed = {each.item.key: each.failure for each in planned.failed}
        stale = {each.item.key for each in planned.stale}
        assert stale | failed.keys() <= keys
        assert all(expected[key].result == failure for key, failure in failed.items())
        put(store, *(expected[key] for key in stale))  # a record that was lost from sight is made again
        assert store.results(STAGE, KEY) == expected
        by_image = store.iterate_results(STAGE, store.folder(KEY))
        assert {record.image: record for record in by_image} == expected
        assert len(list(compact(store))) == 1
    assert len([record for record in caplog.records if "built again" in record.message]) <= 1
    assert Store(root / ".ita", settled_seconds=0).results(STAGE, KEY) == expected


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Record]]:
    root = tmp_path_factory.mktemp("workspace")
    return root, build(root)

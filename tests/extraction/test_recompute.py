"""Tests of recomputed results: equal, near or different, and the cache does not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ita_pipeline.cache.plan import make_plan
from ita_pipeline.cache.store import Store
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.engines.executor import InProcessExecutor
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.extraction.recompute import Agreement, Recomputation, are_near, compare_results, recompute
from ita_pipeline.sources.identify import identify
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef
from stages.base import Failure, FailureKind, Stage
from stages.ocr.schema import OcrValue, Word
from tests.support.fakes import DoubleStage, SizeStage, SizeValue, draw


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    found = [draw(tmp_path / "in" / f"{n}.png", "red", (10 + n, 10)) for n in range(6)]
    store = Store(tmp_path)
    images = [image for image in identify(map(LocalFile, found), store.manifest) if isinstance(image, ImageRef)]
    plan = make_plan([SizeStage(), DoubleStage()], images, store)
    LocalEngine(InProcessExecutor()).run(plan, store, NoProgress())
    return found


def again(tmp_path: Path, *stages: Stage[Any], count: int = 4, seed: int = 0) -> list[Recomputation]:
    return list(recompute(stages, Store(tmp_path), InProcessExecutor(), NoProgress(), count, seed))


def test_unchanged_results_are_equal(tmp_path: Path, paths: list[Path]):
    before = sorted((path, path.read_bytes()) for path in tmp_path.glob("cache/*/*/*.jsonl"))
    size, double = again(tmp_path, DoubleStage(), SizeStage())
    assert [found.key.stage for found in (size, double)] == ["size", "double"]
    for found in (size, double):
        assert found.count(Agreement.EQUAL) == len(found.agreements) == 4
        assert (found.different, found.lost) == ([], 0)
    assert sorted((path, path.read_bytes()) for path in tmp_path.glob("cache/*/*/*.jsonl")) == before


def test_another_seed_selects_other_images(tmp_path: Path, paths: list[Path]):
    drawn = {frozenset(again(tmp_path, SizeStage(), count=2, seed=seed)[0].agreements) for seed in range(8)}
    assert len(drawn) > 1
    assert all(pictures <= set(paths) for pictures in drawn)


def test_different_results_are_listed_by_image(tmp_path: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(SizeStage, "measure", lambda self, item: self.value_type(width=99, height=10))
    (found,) = again(tmp_path, SizeStage(), count=9)
    assert sorted(found.different) == paths
    monkeypatch.setattr(SizeStage, "measure", lambda self, item: Failure(kind=FailureKind.PERMANENT, reason="no"))
    assert sorted(again(tmp_path, SizeStage(), count=9)[0].different) == paths


def test_missing_and_changed_images_are_counted_as_lost(tmp_path: Path, paths: list[Path]):
    paths[0].unlink()
    draw(paths[1], "blue", (9, 9))
    (found,) = again(tmp_path, SizeStage(), count=6)
    assert (len(found.agreements), found.lost) == (4, 2)


def test_without_records_nothing_is_recomputed(tmp_path: Path):
    (found,) = again(tmp_path, SizeStage())
    assert (found.agreements, found.lost) == ({}, 0)


def words(*found: tuple[str, float, tuple[int, int, int, int]]) -> OcrValue:
    made = tuple(Word(text=text, confidence=sure, box=box, line=0) for text, sure, box in found)
    return OcrValue(width=100, height=100, words=made)


ONE = ("OPEN", 0.9, (1, 2, 30, 40))


def test_results_with_equal_words_and_similar_numbers_are_near():
    assert compare_results(words(ONE), words(ONE)) is Agreement.EQUAL
    assert compare_results(words(ONE), words(("OPEN", 0.905, (1, 2, 31, 40)))) is Agreement.NEAR
    for other in (
        words(("OPEN", 0.7, (1, 2, 30, 40))),
        words(("OPEM", 0.9, (1, 2, 30, 40))),
        words(("OPEN", 0.9, (1, 2, 33, 40))),
        words(ONE, ONE),
        SizeValue(width=1, height=1),
        Failure(kind=FailureKind.TRANSIENT, reason="busy"),
    ):
        assert compare_results(words(ONE), other) is Agreement.DIFFERENT


@pytest.mark.parametrize(
    ("before", "after"),
    [(None, 0), (True, 1), (0, False), ("1", 1), ({"a": 1}, [1]), ({"a": 1}, {"b": 1}), (1.0, None), ([1], 1)],
)
def test_values_of_different_types_are_not_near(before: object, after: object):
    assert not are_near(before, after)

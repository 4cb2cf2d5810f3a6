"""What trials share: images whose content is known, records, and what a command may say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ita_pipeline.cache.plan import PlanOptions, make_plan
from ita_pipeline.cache.store import Store
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.engines.executor import InProcessExecutor
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.sources.identify import identify
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef
from stages.base import FailureKind
from tests.support.fakes import Answer, SizeStage, draw

OCR = ("--preset", "bundled", "--stage", "ocr", "--set", "ocr.workers=1")


def draw_sized(path: Path, width: int) -> None:
    """Draw an image whose content is known by its width. All files have 2,000 bytes, which one call writes."""
    draw(path, "red", (width, 3))
    content = path.read_bytes()
    path.write_bytes(content + bytes(2000 - len(content)))


def measure(workspace: Path, folder: Path, stage: SizeStage | None = None, *, retry: bool = False) -> None:
    """Run the stage on the images of a folder."""
    options = PlanOptions(retry=frozenset(FailureKind) if retry else frozenset())
    store = Store(workspace / ".ita")
    images = identify(map(LocalFile, sorted(folder.iterdir())), store.manifest)
    plan = make_plan([stage or SizeStage()], [ref for ref in images if isinstance(ref, ImageRef)], store, options)
    LocalEngine(InProcessExecutor()).run(plan, store, NoProgress())


def read_values(workspace: Path, stage: str = "size") -> Iterator[tuple[str, dict[str, int]]]:
    """Yield the key and the value of each record."""
    for segment in sorted(workspace.glob(f".ita/cache/{stage}/*/*.jsonl")):
        for record in map(json.loads, segment.read_bytes().splitlines()):
            if "value" in record:
                yield record["image"], record["value"]


def check_said(answer: Answer, *codes: int) -> None:
    """Check that a command ended with one of these codes, and an error with a sentence and a hint."""
    assert answer.code in codes, answer
    assert "Traceback" not in answer.err, answer.err
    assert "internal error" not in answer.err, answer.err
    if answer.code in (2, 3, 4):
        assert "hint: " in answer.err, answer.err

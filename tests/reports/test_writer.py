"""Tests of the pages' files, and of datasets and pictures that are moved or have odd names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.reports.build import make_report
from ita_pipeline.reports.thumbnails import Pictures
from ita_pipeline.reports.writer import ReportWriter
from ita_pipeline.sources.local import hash_file
from tests.support.fakes import draw
from tests.support.report_pages import report
from tests.support.report_site import build_site, key_of, objects, remember


def test_paths_of_training_are_resolved_in_another_workspace():
    run = build_site(Path(), posts=15)
    record = run.record()
    for name in ("mine", "runs", ".ita"):
        Path("elsewhere").mkdir(exist_ok=True)
        shutil.move(name, f"elsewhere/{name}")
    data, lines = report("mine", workspace=Path("elsewhere"))
    assert lines == ["run elsewhere/runs/mine/0123456789abcdef"]
    assert (record.source, len(data["pictures"])) == ("mine", 15)


def test_a_run_without_its_dataset_has_words_and_mentions():
    run = build_site(Path(), posts=15)
    shutil.move("mine", "moved")
    data, lines = report(run.folder)
    assert "the pictures of mine were not found" in lines[0]
    assert len(data["entries"]) == 15
    assert "".join(data["entries"][0]["parts"]) == "hi kim"
    assert data["entries"][0]["tags"] == ["right", "changed", "helped", "error:right", "pair:PER>PER", "no-picture"]
    again, lines = report(run.folder, dataset="moved")
    assert lines == []
    assert len(again["pictures"]) == 15
    with pytest.raises(MissingError, match="no dataset movde"):
        report(run.folder, dataset="movde")


def test_file_names_with_invalid_bytes_and_with_markup():
    names = [b'"><img src=x onerror=alert(1)>.png', b"a\nb.png", b"caf\xe9.png", b"\x1b[2J.png"]
    for number, name in enumerate(names):
        path = Path(os.fsdecode(b"images/" + name))
        draw(path, size=(30 + number, 30))
        remember(Path(), key_of("objects"), {hash_file(path): objects("cat")})
    data, _ = report("images", pictures=Pictures.BESIDE)
    shown = {entry["id"] for entry in data["entries"]}
    assert shown == {'"><img src=x onerror=alert(1)>.png', "a␊b.png", "caf\\xe9.png", "␛[2J.png"}
    assert len(list(Path("page_pictures").iterdir())) == 4


def test_a_folder_is_refused_as_page():
    with pytest.raises(UsageError, match="is a folder") as caught:
        make_report("mine", ReportWriter(Path()))
    assert "report.html" in caught.value.hint

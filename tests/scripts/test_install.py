"""Set-up of the environment: CPU builds of torch are reused, and uv gets pip's settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import install


def make_base(folder: Path, *versions: str) -> str:
    """A Python that has torch and torchvision of these versions, as far as they have files."""
    for name, version in zip(install.TORCH, versions, strict=False):
        metadata = folder / f"{name}-{version}.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (metadata / "RECORD").write_text(f"{name}/__init__.py,,\n{metadata.name}/METADATA,,\n../../bin/{name},,\n")
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(f"version = {version!r}\n")
    base = folder / "python"
    base.write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} -S "$@"\n')
    base.chmod(0o755)
    return str(base)


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(install.sysconfig, "get_path", lambda _: str(tmp_path / "packages"))
    return tmp_path / "packages"


def test_cpu_builds_are_linked(tmp_path: Path, packages: Path, capsys: pytest.CaptureFixture[str]):
    base = make_base(tmp_path / "base", "2.14.1+cpu", "0.29.1+cpu")
    assert install.link_torch(base)
    assert install.link_torch(base)
    assert (packages / "torch/__init__.py").samefile(tmp_path / "base/torch/__init__.py")
    assert sorted(path.name for path in packages.iterdir()) == [
        "torch",
        "torch-2.14.1+cpu.dist-info",
        "torchvision",
        "torchvision-0.29.1+cpu.dist-info",
    ]
    assert "using torch 2.14.1+cpu" in capsys.readouterr().out


@pytest.mark.parametrize("versions", [(), ("2.14.1+cpu",), ("2.14.1", "0.29.1"), ("2.14.1+cpu", "0.29.1+cu130")])
def test_other_builds_are_not_linked(versions: tuple[str, ...], tmp_path: Path, packages: Path):
    (tmp_path / "base").mkdir()
    assert not install.link_torch(make_base(tmp_path / "base", *versions))
    assert not packages.exists()


def test_uv_gets_the_settings_of_pip_unless_it_has_its_own(monkeypatch: pytest.MonkeyPatch):
    listed = "global.index-url='https://host/simple'\n:env:.find-links='/wheels'\nglobal.timeout='60'\n"
    done = subprocess.CompletedProcess([], 0, stdout=listed)
    monkeypatch.setattr(install.subprocess, "run", lambda *_, **__: done)
    monkeypatch.setenv("UV_FIND_LINKS", "/own")
    settings = install.uv_settings()
    assert settings["UV_DEFAULT_INDEX"] == "https://host/simple"
    assert settings["UV_FIND_LINKS"] == "/own"

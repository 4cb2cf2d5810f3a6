"""The wheel that this checkout builds: what is in it, and that it runs with nothing of the checkout around it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.fakes import draw

ROOT = Path(__file__).parents[1]
RUN_ITA = "import sys; from ita_pipeline.cli import main; sys.argv[0] = 'ita'; main()"
IMPORT_EVERYTHING = """
import importlib, pkgutil
import ita_pipeline, stages
for package in (ita_pipeline, stages):
    print(package.__name__)
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
            print(module.name.replace(".", "/"))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", str(place), str(ROOT)], check=True)
    (found,) = place.glob("*.whl")
    return found


def files(folder: str, pattern: str) -> set[str]:
    return {file.relative_to(ROOT).as_posix() for file in (ROOT / folder).rglob(pattern) if file.is_file()}


def test_everything_that_is_looked_up_is_in_it(wheel: Path):
    held = set(zipfile.ZipFile(wheel).namelist())
    code = files("ita_pipeline", "*.py") | files("stages", "*.py")
    data = (
        files("stages", "*.yaml")
        | files("stages/objects/weights", "*")
        | files("stages/knowledge/prompts", "*")
        | files("ita_pipeline/reports/templates", "*")
        | files("ita_pipeline/runs/templates", "*")
    )
    data |= files("stages", "*.sh")
    assert code | data | {"ita_pipeline/py.typed", "stages/py.typed"} <= held
    inside = files("configs", "*.yaml") | files("examples/posts", "*")
    assert {f"ita_pipeline/{name}" for name in inside} <= held
    licences = {Path(name).name for name in held if "/licenses/" in name}
    assert {"LICENSE", "NOTICE", "NOTICE.md"} <= licences


def test_nothing_else_is(wheel: Path):
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top.partition("-")[0] for top in tops} == {"ita_pipeline", "stages"}
    assert not any("__pycache__" in name or "/tests/" in name for name in zipfile.ZipFile(wheel).namelist())


def test_it_runs_without_the_checkout(wheel: Path, tmp_path: Path):
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--target", str(site), str(wheel)], check=True)
    assert all(os.access(site / program, os.X_OK) for program in files("stages", "*.sh"))
    draw(Path("images/a.png"))

    def run(*arguments: str, code: str = RUN_ITA) -> str:
        command = [sys.executable, "-c", code, *arguments]
        environment = {**os.environ, "PYTHONPATH": str(site)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    packages = {file.removesuffix("/__init__.py") for file in files("ita_pipeline", "__init__.py")}
    assert packages <= set(run(code=IMPORT_EVERYTHING).split())
    assert f"example: in {site}/ita_pipeline/examples/posts" in run("data", "list")
    # The stage runs in a process of its own, which has to find the wheel as well.
    table = run("extract", "images", "--preset", "bundled").splitlines()
    assert [row.split()[:4] for row in table[1:]] == [
        [name, "0", "1", "0"] for name in ("objects", "ocr", "caption")
    ]

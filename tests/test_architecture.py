"""The floor plan holds: imports run downwards only, and a forbidden import is found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_ROOT_ENTRIES = 13


def lint_imports(checkout: Path) -> subprocess.CompletedProcess[str]:
    """Run `lint-imports` on the packages of a checkout."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)


def copy_packages(to: Path) -> None:
    for name in ("ita_pipeline", "stages"):
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", to)


def test_imports_run_downwards():
    run = lint_imports(ROOT)
    assert run.returncode == 0, run.stdout
    assert "0 broken" in run.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("ita_pipeline/core/errors.py", "from ita_pipeline.cache.keys import digest"),
        ("ita_pipeline/cli/extract.py", "from ita_pipeline.runs.run import Run"),
        ("ita_pipeline/cache/keys.py", "from ita_pipeline.corpus.posts import Post"),
        ("ita_pipeline/ner/tags.py", "from ita_pipeline.cache.store import Store"),
        ("ita_pipeline/api/extract.py", "from ita_pipeline.server.serve import serve"),
        ("ita_pipeline/grounding/metrics.py", "from ita_pipeline.extraction.contexts import PostContexts"),
        ("ita_pipeline/engines/local.py", "from stages.ocr import OcrStage"),
        ("ita_pipeline/corpus/posts.py", "if TYPE_CHECKING:\n    from ita_pipeline.runs.run import Run"),
        ("stages/base.py", "from ita_pipeline.core.errors import UserError"),
        ("stages/objects/schema.py", "from stages.objects.stage import ObjectsStage"),
    ],
)
def test_a_forbidden_import_fails(tmp_path: Path, file: str, line: str):
    copy_packages(tmp_path)
    with (tmp_path / file).open("a", encoding="utf-8") as opened:
        opened.write(f"\n{line}\n")
    run = lint_imports(tmp_path)
    assert run.returncode == 1, run.stdout
    assert "BROKEN" in run.stdout


def test_each_module_of_the_api_has_its_twin_in_the_command_line():
    api, cli = ({path.stem for path in (ROOT / "ita_pipeline" / name).glob("*.py")} for name in ("api", "cli"))
    assert api <= cli


def test_the_root_stays_small():
    entries = {
        path.stem
        for path in (ROOT / "ita_pipeline").iterdir()
        if not path.name.startswith(("_", ".")) and (path.is_dir() or path.suffix == ".py")
    } - {"configs", "examples"}  # in a wheel these travel inside the package
    assert len(entries) <= MAX_ROOT_ENTRIES, sorted(entries)


def test_the_page_and_its_diagram_show_every_package():
    page, diagram = ((ROOT / "docs" / name).read_text("utf-8") for name in ("architecture.md", "architecture.svg"))
    for path in (ROOT / "ita_pipeline").glob("*/__init__.py"):
        assert f">{path.parent.name}/</text>" in diagram
        assert f"{path.parent.name}/" in page


def test_every_package_says_what_it_is_for():
    packages = [path for top in ("ita_pipeline", "stages") for path in (ROOT / top).rglob("__init__.py")]
    assert len(packages) > 20
    assert not [str(path) for path in packages if not path.read_text("utf-8").startswith('"""')]

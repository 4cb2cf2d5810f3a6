"""The lock of the stages' versions, on a small checkout and through the script that `make lint` runs."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "stage_versions.py"

PROJECT = """
[project.entry-points."ita.stages"]
size = "stages.size:SizeStage"
tint = "stages.tint:TintStage"
"""

FILES = {
    "pyproject.toml": PROJECT,
    "stages/__init__.py": "",
    "stages/base.py": "class Stage:\n    pass\n",
    "stages/size.py": '''"""How large."""
from stages.base import Stage

class SizeStage(Stage):
    """A stage."""
    name = "size"
    version = 1

    def run(self, pictures):
        """One size a picture."""
        return [picture.size for picture in pictures]  # width, height
''',
    "stages/tint.py": """from typing import ClassVar
from stages.base import Stage

class TintStage(Stage):
    name = "tint"
    version: ClassVar[int] = 3

    def run(self, pictures):
        from . import colours
        return [colours.tint(picture) for picture in pictures]
""",
    "stages/colours.py": "from .numbers import mean\n\ndef tint(picture):\n    return mean(picture.colours)\n",
    "stages/numbers.py": "def mean(numbers):\n    return sum(numbers) / len(numbers)\n",
    "stages/unused.py": "nobody = 'imports this'\n",
}


@dataclass(frozen=True)
class Checkout:
    root: Path

    def change(self, file: str, old: str, new: str) -> None:
        text = (self.root / file).read_text("utf-8")
        assert old in text
        (self.root / file).write_text(text.replace(old, new), "utf-8")

    def check(self, *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(SCRIPT), "--root", str(self.root), *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def passes(self, *options: str) -> str:
        done = self.check(*options)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def fails(self, *options: str) -> str:
        done = self.check(*options)
        assert (done.returncode, done.stdout) == (1, "")
        assert "Traceback" not in done.stderr
        return done.stderr

    @property
    def lock(self) -> Path:
        return self.root / "stages" / "versions.lock"


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    locked = Checkout(tmp_path)
    locked.passes("--acknowledge")
    return locked


def test_the_lock_has_one_entry_a_stage_with_the_files_that_it_imports(checkout: Checkout):
    assert "2 stages" in checkout.passes()
    locked = json.loads(checkout.lock.read_text("utf-8"))
    assert {stage: entry["version"] for stage, entry in locked.items()} == {"size": 1, "tint": 3}
    common = {"stages/__init__.py", "stages/base.py"}
    assert set(locked["size"]["files"]) == {*common, "stages/size.py"}
    assert set(locked["tint"]["files"]) == {
        *common,
        *(f"stages/{name}.py" for name in ("tint", "colours", "numbers")),
    }


def test_a_package_that_only_re_exports_names_is_followed_to_their_modules_and_not_locked(checkout: Checkout):
    exports = '"""Tints."""\nfrom stages.tint.stage import TintStage\n\n__all__ = ["TintStage"]\n'
    files = {
        "stages/tint/__init__.py": exports,
        "stages/tint/stage.py": FILES["stages/tint.py"].replace("from . import", "from stages import"),
        "stages/tint/other.py": "unused = True\n",
        "stages/size.py": FILES["stages/size.py"] + "\nfrom stages.tint import TintStage\n",
    }
    (checkout.root / "stages/tint.py").unlink()
    (checkout.root / "stages/tint").mkdir()
    for name, text in files.items():
        (checkout.root / name).write_text(text, "utf-8")
    checkout.passes("--acknowledge")
    locked = json.loads(checkout.lock.read_text("utf-8"))
    common = {
        "stages/__init__.py",
        "stages/base.py",
        "stages/tint/stage.py",
        "stages/colours.py",
        "stages/numbers.py",
    }
    assert locked["tint"]["version"] == 3
    assert set(locked["tint"]["files"]) == common
    assert set(locked["size"]["files"]) == {*common, "stages/size.py"}
    checkout.change("stages/tint/stage.py", "colours.tint(picture)", "picture")
    assert "tint: stages/tint/stage.py changed, and version is still 3" in checkout.fails()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# width, height", "# first the width"),
        ('"""How large."""', '"""How large it is."""\n\nfrom __future__ import annotations\n'),
        ('"""One size a picture."""\n', "\n"),
        ('"""A stage."""\n', '"""A stage."""\n    pass\n'),
        (
            "[picture.size for picture in pictures]",
            "[\n            picture.size\n            for picture in pictures\n        ]",
        ),
        ('"size"', "u'si' 'ze'"),
    ],
)
def test_comments_docstrings_and_layout_are_no_code(checkout: Checkout, old: str, new: str):
    checkout.change("stages/size.py", old, new)
    checkout.passes()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("picture.size", "picture.side"),
        ('"size"', '"sizes"'),
        ("[picture.size for picture in pictures]", "(picture.size for picture in pictures)"),
        ("    version = 1", "    version = 1\n    fast = True"),
        ("def run(self, pictures):", "def run(self, pictures=None):"),
    ],
)
def test_changed_code_is_named_with_its_stage_and_what_to_do(checkout: Checkout, old: str, new: str):
    checkout.change("stages/size.py", old, new)
    said = checkout.fails()
    assert "error: size: stages/size.py changed, and version is still 1" in said
    assert "raise `version`" in said
    assert "--acknowledge" in said
    assert "tint" not in said


@pytest.mark.parametrize("helper", ["colours", "numbers"])
def test_a_helper_concerns_only_the_stages_that_import_it(checkout: Checkout, helper: str):
    checkout.change(f"stages/{helper}.py", "return ", "return 2 * ")
    said = checkout.fails()
    assert f"error: tint: stages/{helper}.py changed, and version is still 3" in said
    assert "size" not in said


def test_what_no_stage_imports_concerns_none(checkout: Checkout):
    checkout.change("stages/unused.py", "this", "that")
    checkout.passes()


def test_a_module_newly_imported_is_named(checkout: Checkout):
    checkout.change(
        "stages/size.py", "from stages.base import Stage", "import stages.unused\nfrom stages.base import Stage"
    )
    assert "size: stages/size.py, stages/unused.py changed" in checkout.fails()


def test_acknowledged_code_passes_and_the_lock_shows_which(checkout: Checkout):
    before = checkout.lock.read_text("utf-8").splitlines()
    checkout.change("stages/size.py", "picture.size", "(picture.width, picture.height)")
    assert "acknowledged: size: stages/size.py changed" in checkout.passes("--acknowledge")
    checkout.passes()
    (line,) = set(checkout.lock.read_text("utf-8").splitlines()) - set(before)
    assert '"stages/size.py"' in line


def test_a_raised_version_asks_for_the_lock(checkout: Checkout):
    checkout.change("stages/size.py", "picture.size", "picture.side")
    checkout.change("stages/size.py", "version = 1", "version = 2")
    said = checkout.fails()
    assert "size: version was raised from 1 to 2" in said
    assert "hint: write it down: python scripts/stage_versions.py --acknowledge" in said
    checkout.passes("--acknowledge")
    checkout.passes()


def test_a_version_is_no_code_of_the_stages_that_import_it(checkout: Checkout):
    checkout.change("stages/tint.py", "from stages.base", "from stages.size import SizeStage\nfrom stages.base")
    checkout.passes("--acknowledge")
    checkout.change("stages/size.py", "version = 1", "version = 2")
    assert "tint" not in checkout.fails()


def test_a_lowered_version_is_not_even_acknowledged(checkout: Checkout):
    before = checkout.lock.read_bytes()
    checkout.change("stages/tint.py", "= 3", "= 2")
    for options in ((), ("--acknowledge",)):
        assert "tint: version went down from 3 to 2" in checkout.fails(*options)
    assert checkout.lock.read_bytes() == before


def test_stages_that_come_and_go_are_told(checkout: Checkout):
    checkout.change("pyproject.toml", 'size = "', 'area = "')
    said = checkout.fails()
    assert "area: stages/versions.lock does not have this stage yet" in said
    assert "size: pyproject.toml no longer has this stage" in said
    checkout.passes("--acknowledge")
    checkout.passes()


def test_without_a_lock_every_stage_is_new(checkout: Checkout):
    checkout.lock.unlink()
    assert checkout.fails().count("does not have this stage yet") == 2


@pytest.mark.parametrize("text", ["<<<<<<< HEAD\n", "[]", '{"size": {"version": 1}}', '{"size": 3}'])
def test_a_damaged_lock_is_never_overwritten(checkout: Checkout, text: str):
    checkout.lock.write_text(text, "utf-8")
    for options in ((), ("--acknowledge",)):
        assert "stages/versions.lock is damaged" in checkout.fails(*options)
    assert checkout.lock.read_text("utf-8") == text


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "stages/size.py",
            "    version = 1\n",
            "",
            "no class stages.size:SizeStage that says `version = <number>`",
        ),
        ("stages/size.py", "class SizeStage", "class LargeStage", "no class stages.size:SizeStage"),
        ("stages/size.py", "return", "retrun", "stages/size.py is not Python"),
        ("pyproject.toml", "stages.size:", "stages.length:", "no class stages.length:SizeStage"),
        ("pyproject.toml", "ita.stages", "ita.others", "pyproject.toml names no stages"),
    ],
)
def test_what_cannot_be_checked_is_told_in_a_sentence(checkout: Checkout, file: str, old: str, new: str, said: str):
    checkout.change(file, old, new)
    assert said in checkout.fails()

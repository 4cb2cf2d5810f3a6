"""The public names of the package, which are imported on first use."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import ita_pipeline as ita


def loaded(statement: str) -> str:
    code = f"import sys; {statement}; print('torch' in sys.modules, 'pydantic' in sys.modules)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_package_imports_nothing_heavy():
    assert loaded("import ita_pipeline") == "False False"
    assert loaded("import ita_pipeline.api.extract") == "False True"


def test_every_public_name_can_be_imported():
    assert all(getattr(ita, name) is not None for name in ita.__all__)
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        getattr(ita, "nothing_of_the_kind")  # noqa: B009


def test_no_module_has_the_name_of_a_function():
    """Importing it would take the function away."""
    assert not {module.name for module in pkgutil.iter_modules(ita.__path__)} & set(ita.__all__)


def test_dir_lists_the_public_names():
    import ita_pipeline as ita

    assert {"extract", "train", "predict", "Options"} <= set(dir(ita))

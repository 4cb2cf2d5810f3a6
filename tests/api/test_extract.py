"""The Python twin of the commands."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import ita_pipeline as ita
from ita_pipeline.core.errors import MissingError
from tests.support.fakes import draw


def loaded(statement: str) -> str:
    code = f"import sys; {statement}; print('torch' in sys.modules, 'pydantic' in sys.modules)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_costs_nothing_that_is_not_used():
    assert loaded("import ita_pipeline") == "False False"
    assert loaded("import ita_pipeline.api.extract") == "False True"


def test_every_name_is_there():
    assert all(getattr(ita, name) is not None for name in ita.__all__)
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        ita.nothing_of_the_kind  # noqa: B018


def test_no_module_has_the_name_of_a_function():
    """Importing it would take the function away."""
    assert not {module.name for module in pkgutil.iter_modules(ita.__path__)} & set(ita.__all__)


def test_extract_reads_as_the_command_does():
    draw(Path("images/a.png"))
    options = ita.Options(preset="bundled", stages=("objects",))
    first, second = ita.extract("images/", options), ita.extract("images/", options)
    assert [(outcome.fresh, outcome.done) for outcome in first.stages] == [(0, 1)]
    assert [(outcome.fresh, outcome.done) for outcome in second.stages] == [(1, 0)]
    assert first.clean


def test_a_run_that_is_not_there_is_an_error_to_catch():
    with pytest.raises(MissingError):
        ita.load("nowhere")


def test_a_post_from_a_text():
    post = ita.Post.from_text("hi @ada!", "pictures/7.jpg")
    assert post.words == ("hi", "@ada", "!")
    assert (post.image_id, post.picture) == ("7", Path("pictures/7.jpg"))
    assert post.gold is None

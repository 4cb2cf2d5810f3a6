"""A grounder in its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from ita_pipeline.core.errors import UsageError
from ita_pipeline.grounding.files import NAME, load_grounder, save_grounder
from ita_pipeline.grounding.grounder import Grounder
from ita_pipeline.grounding.linear import Logistic
from ita_pipeline.grounding.metrics import TypePrior

GROUNDER = Grounder(
    Logistic(Logistic.from_prior({"bias": 3.0, "x": -1.0}).weights, 1.25),
    priors={"PER": TypePrior(shown=0.5, box=(0, 0, 1, 1), hits=0.25)},
)


def test_a_grounder_is_read_as_it_was_written(tmp_path: Path):
    save_grounder(GROUNDER, tmp_path)
    found = load_grounder(tmp_path)
    assert found is not None
    assert (found.visible.weights == GROUNDER.visible.weights).all()
    assert (found.box.weights == GROUNDER.box.weights).all()
    assert (found.visible.temperature, found.priors) == (1.25, GROUNDER.priors)
    assert (tmp_path / NAME).stat().st_size < 4000


def test_a_run_without_one_has_none(tmp_path: Path):
    assert load_grounder(tmp_path) is None


@pytest.mark.parametrize("cut", [0, 7, 200, -1])
def test_a_damaged_file_is_named(tmp_path: Path, cut: int):
    save_grounder(GROUNDER, tmp_path)
    content = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(content[:cut])
    with pytest.raises(UsageError, match=NAME):
        load_grounder(tmp_path)

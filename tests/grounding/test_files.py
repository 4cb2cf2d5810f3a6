"""A grounder in its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ita_pipeline.core.errors import UsageError
from ita_pipeline.grounding.files import MAX_BYTES, NAME, load_grounder, save_grounder
from ita_pipeline.grounding.grounder import GROUNDER_VERSION, Grounder
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


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path):
    save_grounder(GROUNDER, tmp_path)
    with (tmp_path / NAME).open("r+b") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(UsageError, match=NAME) as caught:
        load_grounder(tmp_path)
    assert "too large" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("places", np.array([-1], np.int32)),
        ("places", np.array([1 << 18], np.int32)),
        ("places", np.array([[1]], np.int32)),
        ("weights", np.array([np.nan], np.float32)),
        ("weights", np.array([1, 2], np.float32)),
    ],
)
def test_tensors_of_strangers_are_checked(tmp_path: Path, name: str, tensor: np.ndarray):
    tensors = {f"{part}.places": np.array([1], np.int32) for part in ("visible", "box")}
    tensors |= {f"{part}.weights": np.array([1], np.float32) for part in ("visible", "box")} | {
        f"box.{name}": tensor
    }
    header = {"version": str(GROUNDER_VERSION), "visible.temperature": "1", "box.temperature": "1", "priors": "{}"}
    (tmp_path / NAME).parent.mkdir()
    save_file(tensors, tmp_path / NAME, header)
    with pytest.raises(UsageError, match=NAME):
        load_grounder(tmp_path)

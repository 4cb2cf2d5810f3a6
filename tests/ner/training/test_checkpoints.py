"""Killed after any update and started again, a training ends where it would have ended."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from ita_pipeline.core.errors import UsageError
from ita_pipeline.ner.training.checkpoints import Workdir
from ita_pipeline.ner.training.trainer import TaggerTrainer
from tests.support.tiny_tagger import QUICK, Bench, bench

EPOCHS = QUICK.model_copy(update={"epochs": 3})
UPDATES = 18


class KilledError(Exception):
    """Stands for a process that ends in the middle of an update."""


@pytest.fixture(scope="module")
def undisturbed(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    made = bench(encoder_folder, tmp_path_factory.mktemp("undisturbed"), EPOCHS)
    made.train()
    return made


def kill_at(step: int, made: Bench) -> None:
    """Train up to an update and fail in it, its gradient half summed up."""
    whole = TaggerTrainer.accumulate_gradient

    def half(self: TaggerTrainer, model: object, posts: list[int], of: int) -> dict[str, float] | None:
        if self.state.global_step == step:
            whole(self, model, posts[:1], of)
            raise KilledError
        return whole(self, model, posts, of)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TaggerTrainer, "accumulate_gradient", half)
        with pytest.raises(KilledError):
            made.train()


def losses(made: Bench) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in made.desk.log.read_text().splitlines()]
    return [(line["step"], line["loss"]) for line in lines if line["event"] == "update"]


def assert_equal(one: Bench, other: Bench) -> None:
    state, expected = one.tagger.state_dict(), other.tagger.state_dict()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert losses(one) == losses(other)
    ends = [made.desk.newest_checkpoint() for made in (one, other)]
    assert ends[0] is not None
    assert ends[1] is not None
    assert ends[0].progress.history == ends[1].progress.history
    moments = [end.tensors("optimizer") for end in ends if end]
    assert all(torch.equal(moments[0][name], moments[1][name]) for name in moments[1])


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(step=st.integers(0, UPDATES - 1), every=st.integers(0, 5), again=st.integers(0, UPDATES - 1))
@example(step=8, every=1, again=17)
@example(step=6, every=0, again=5)
def test_a_killed_training_ends_with_the_same_weights_and_losses(
    encoder_folder: Path,
    undisturbed: Bench,
    tmp_path_factory: pytest.TempPathFactory,
    step: int,
    every: int,
    again: int,
):
    desk = tmp_path_factory.mktemp("killed")
    kill_at(step, bench(encoder_folder, desk, EPOCHS, every))
    if again > step:
        kill_at(again, bench(encoder_folder, desk, EPOCHS, every))
    resumed = bench(encoder_folder, desk, EPOCHS, every)
    resumed.train()
    assert_equal(resumed, undisturbed)
    last = max(step, again)
    behind = max([last - last % 6, last - last % every if every else 0])
    where = (
        f"the end of epoch {behind // 6}" if behind % 6 == 0 else f"update {behind % 6} of epoch {behind // 6 + 1}"
    )
    assert resumed.lines == ([f"resuming from {where}"] if behind else [])


SCRIPT = """
import os, signal, sys
from pathlib import Path
from ita_pipeline.ner.training.trainer import TaggerTrainer
from tests.support.tiny_tagger import bench
from tests.ner.training.test_checkpoints import EPOCHS

whole = TaggerTrainer.accumulate_gradient
def gradient(self, model, posts, of):
    if self.state.global_step == 10:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(self, model, posts, of)
TaggerTrainer.accumulate_gradient = gradient
bench(Path(sys.argv[1]), Path(sys.argv[2]), EPOCHS, every=4).train()
"""


def test_a_training_killed_by_the_system_is_resumed_by_the_next_process(
    encoder_folder: Path, undisturbed: Bench, tmp_path: Path
):
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", SCRIPT, str(encoder_folder), str(tmp_path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    resumed = bench(encoder_folder, tmp_path, EPOCHS)
    resumed.train()
    assert resumed.lines == ["resuming from update 2 of epoch 2"]
    assert_equal(resumed, undisturbed)


def test_a_finished_training_is_not_trained_again(encoder_folder: Path, undisturbed: Bench):
    again = bench(encoder_folder, undisturbed.desk.folder, EPOCHS)
    before = losses(undisturbed)
    history = again.train()
    assert len(history) == 3
    assert losses(again) == before


def test_a_checkpoint_is_one_folder_of_safetensors_and_json(undisturbed: Bench):
    (folder,) = undisturbed.desk.checkpoints.iterdir()
    assert {file.name for file in folder.iterdir()} == {
        "model.safetensors",
        "optimizer.safetensors",
        "random.safetensors",
        "trainer_state.json",
        "progress.json",
    }
    for file in folder.iterdir():
        if file.suffix == ".json":
            json.loads(file.read_text())
        else:
            assert load_file(file)


def copied(undisturbed: Bench, to: Path) -> Path:
    (folder,) = undisturbed.desk.checkpoints.iterdir()
    place = to / "checkpoints" / folder.name
    place.mkdir(parents=True)
    for file in folder.iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    return place


def test_an_incomplete_checkpoint_is_never_chosen(undisturbed: Bench, tmp_path: Path):
    names = [
        "model.safetensors",
        "optimizer.safetensors",
        "random.safetensors",
        "trainer_state.json",
        "progress.json",
    ]
    for name in names:
        folder = copied(undisturbed, tmp_path / name)
        assert Workdir(folder.parents[1]).newest_checkpoint() is not None
        content = (folder / name).read_bytes()
        for cut in (0, 1, len(content) // 2, len(content) - 2):
            (folder / name).write_bytes(content[:cut])
            assert Workdir(folder.parents[1]).newest_checkpoint() is None
        (folder / name).unlink()
        assert Workdir(folder.parents[1]).newest_checkpoint() is None
        folder.rename(folder.parent / ".draft")
        assert Workdir(folder.parents[1]).newest_checkpoint() is None
    assert Workdir(tmp_path / "nowhere").newest_checkpoint() is None


def test_an_older_complete_checkpoint_is_preferred_to_a_newer_truncated_one(undisturbed: Bench, tmp_path: Path):
    good = copied(undisturbed, tmp_path)
    torn = good.with_name("step-00000099")
    torn.mkdir()
    (torn / "progress.json").write_text((good / "progress.json").read_text().replace('"step": 18', '"step": 99'))
    found = Workdir(good.parents[1]).newest_checkpoint()
    assert found is not None
    assert found.folder == good


def test_a_checkpoint_that_does_not_fit_is_refused(encoder_folder: Path, tmp_path: Path):
    made = bench(encoder_folder, tmp_path, EPOCHS, every=4)
    kill_at(5, made)
    (folder,) = made.desk.checkpoints.iterdir()
    random = load_file(folder / "random.safetensors")
    original = (folder / "random.safetensors").read_bytes()
    same_size = {("torcH" if name == "torch" else name): tensor for name, tensor in random.items()}
    save_file(same_size, folder / "random.safetensors")
    with pytest.raises(UsageError, match="lacks the random state of torch"):
        bench(encoder_folder, tmp_path, EPOCHS).train()
    (folder / "random.safetensors").write_bytes(original)
    progress = (folder / "progress.json").read_text()
    (folder / "progress.json").write_text(progress.replace('"device": "cpu"', '"device": "cuda"'))
    with pytest.raises(UsageError, match="was made on cuda, this is cpu"):
        bench(encoder_folder, tmp_path, EPOCHS).train()
    (folder / "progress.json").write_text(progress)
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights.replace(b'"crf.ends"', b'"crf.endz"'))
    with pytest.raises(UsageError, match="those of another model"):
        bench(encoder_folder, tmp_path, EPOCHS).train()

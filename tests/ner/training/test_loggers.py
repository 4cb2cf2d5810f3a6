"""Training logs and reporters: a resumed training has the log of one that was not interrupted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback
from transformers.integrations import integration_utils

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.ner.training.checkpoints import Workdir
from ita_pipeline.ner.training.loggers import TrainingLog, create_reporters
from ita_pipeline.ner.training.loop import train
from tests.support.tiny_encoder import build_bert
from tests.support.tiny_tagger import QUICK, bench


def test_rewinding_drops_later_lines_and_truncated_ones():
    log = TrainingLog(Path("desk/log.jsonl"))
    log.rewind(0)
    for step in range(1, 6):
        log.write("update", step, {"loss": step / 3})
    before = log.file.read_text().splitlines(keepends=True)
    for cut in range(len(before[-1]) + 1):
        log.file.write_text("".join(before[:-1]) + before[-1][:cut])
        log.rewind(4)
        assert log.file.read_text() == "".join(before[:4])
    log.rewind(2)
    log.write("epoch", 3, {})
    assert [json.loads(line)["step"] for line in log.file.read_text().splitlines()] == [1, 2, 3]
    log.file.write_text('no json\n[]\n{"step": "x"}\n')
    log.rewind(9)
    assert log.file.read_text() == ""


class Recorder(TrainerCallback):
    """Stands in for a reporter whose package is not installed here."""

    heard: list[tuple[int, dict[str, float]]]
    logging_dir: str | None = None

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        self.heard.append((state.global_step, dict(logs)))


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = Recorder()
    made.heard = []
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "tensorboard", lambda: made)
    return made


def test_updates_and_epochs_are_reported(tmp_path: Path, recorder: Recorder):
    made = bench(build_bert(tmp_path / "bert"), tmp_path, QUICK.model_copy(update={"epochs": 2}))
    desk = Workdir(tmp_path / "desk", report_to=("tensorboard",))
    history = train(made.tagger, made.examples, made.examples, made.config, made.pad, desk)
    assert recorder.logging_dir == str(desk.folder / "tensorboard")
    epochs = [logs for _, logs in recorder.heard if "epoch_loss" in logs]
    assert [logs["dev_f1_text"] for logs in epochs] == [epoch.text_f1 for epoch in history]
    assert [logs["epoch_loss"] for logs in epochs] == [epoch.loss for epoch in history]
    updates = [step for step, logs in recorder.heard if "learning_rate" in logs]
    assert updates == [step for step in range(1, updates[-1] + 1) if step % 10 == 0]


def test_an_unknown_reporter_is_refused_with_the_nearest_name(tmp_path: Path):
    with pytest.raises(UsageError, match="no logger tensorbord") as caught:
        create_reporters(["tensorbord"], tmp_path)
    assert "tensorboard" in caught.value.hint


def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(integration_utils, "is_wandb_available", lambda: False)
    with pytest.raises(MissingError, match="wandb needs a package") as caught:
        create_reporters(["wandb"], tmp_path)
    assert caught.value.hint == "pip install wandb"

"""Several processes of a launcher train one run together, through the real command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ita_pipeline.core.errors import UsageError
from ita_pipeline.ner.training.distributed import World
from ita_pipeline.runs.run import Run
from tests.support import fakes
from tests.support.tiny_encoder import build_bert

LAUNCHER = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port")
TRAIN = ("train", "--dataset", "mine", "--preset", "bundled", "--encoder", "bert", "--checkpoint-every", "1")
SETTINGS = ("epochs=3", "batch_size=5", "learning_rate=0.003", "word_dropout=0")
COMMAND = (*TRAIN, *(part for setting in SETTINGS for part in ("--set", f"training.{setting}")))


def prepare(folder: Path) -> None:
    """An encoder without dropout, and eleven posts to train on: the last update has a single one."""
    build_bert(folder / "bert")
    config = folder / "bert" / "config.json"
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config.write_text(json.dumps(json.loads(config.read_text()) | still))
    (folder / "mine").mkdir()
    lines = [
        {
            "text": f"hi {name}",
            "split": "dev" if number >= 13 else "test" if number >= 11 else "train",
            "mentions": [{"start": 3, "end": 3 + len(name), "type": ("PER", "LOC")[number % 2]}],
        }
        for number, name in enumerate(["kim", "lou", "max", "zoe", "tim"] * 3)
    ]
    (folder / "mine" / "tweets.jsonl").write_text("\n".join(map(json.dumps, lines)))


def launch(port: int) -> subprocess.Popen[str]:
    """Both processes, in a group of their own."""
    return subprocess.Popen(
        [*LAUNCHER, str(port), "-m", "ita_pipeline", *COMMAND],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_two_processes_killed_and_resumed_train_the_run_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    killed = launch(free_port())
    while not list(Path("runs").glob("mine/.*/checkpoints/step-*")) and killed.poll() is None:
        time.sleep(0.02)
    for pid in children(killed.pid):
        os.kill(pid, signal.SIGKILL)
    _, said = killed.communicate()
    assert killed.returncode != 0, said
    both = launch(free_port())
    out, said = both.communicate()
    assert both.returncode == 0, said
    assert said.count("resuming from") == 1, said
    assert out.count("report  ") == 1
    (folder,) = (path for path in Path("runs/mine").iterdir() if not path.name.startswith("."))
    together = Run(folder.rename(tmp_path / "together"))
    assert together.record().processes == 2

    alone = fakes.ita(*COMMAND)
    assert alone.code == 0, alone.err
    one = Run(Path("runs/mine") / folder.name)
    for mine, theirs in zip(together.history(), one.history(), strict=True):
        assert mine.model_dump() == pytest.approx(theirs.model_dump(), rel=1e-3)
    assert together.scores() == one.scores()


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def test_a_launcher_that_splits_the_model_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UsageError, match="FSDP splits the model"):
        World.connect()

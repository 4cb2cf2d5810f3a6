"""The work folder of an unfinished training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.ner.training.checkpoints import Checkpoints


@dataclass(frozen=True, slots=True)
class Workdir:
    """The files of an unfinished training, from which it can resume.

    The trainer writes a checkpoint at the end of each epoch and, if `checkpoint_every` is positive, after so many
    updates. `report_to` names reporters of `transformers`, which get updates and epochs.
    """

    folder: Path
    checkpoint_every: int = 0
    report_to: tuple[str, ...] = ()

    @property
    def checkpoints(self) -> Checkpoints:
        """The checkpoints of the training."""
        return Checkpoints(self.folder / "checkpoints")

    @property
    def log(self) -> Path:
        """The log of updates and epochs, as JSON lines."""
        return self.folder / "log.jsonl"

    def model(self, epoch: int) -> Path:
        """The weights of an epoch, in Hugging Face format, which exist until a later epoch is better."""
        return self.folder / "best" / f"epoch-{epoch:03d}"

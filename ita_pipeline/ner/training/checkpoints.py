"""Checkpoints of a training: safetensors and JSON, whole or not there at all.

    step-00000250/
        model.safetensors      the weights
        optimizer.safetensors  Adam's moments, `<parameter>:<name>`
        random.safetensors     the state of every generator of random numbers
        trainer_state.json     what `transformers.Trainer` counts
        progress.json          everything else, and the size of each file

A checkpoint is written under a name that begins with a dot, synced to the disk, and renamed. So whatever kills
the process, a folder `step-…` is complete.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.files import sync_folder
from ita_pipeline.ner.training.history import EpochScore
from stages.base import Frozen

if TYPE_CHECKING:
    from torch import Tensor


PREFIX = "step-"

PROGRESS = "progress.json"


class RandomState(Frozen):
    """What is no array in the states of Python's and NumPy's generators."""

    python_version: int
    python_gauss: float | None
    numpy_position: int
    numpy_has_gauss: int
    numpy_gauss: float


class TrainingProgress(Frozen):
    """How far a training has come. `step` counts updates, of which an epoch has `steps_per_epoch`.

    `micro_batch` is the number of posts that fit into memory at once. `sums` are the sums over the posts of the
    epoch begun, of the loss and its parts. `learning_rates` are those of the optimizer's groups, `scheduler` the
    state of the schedule. `sizes` are the bytes of the other files of the checkpoint.
    """

    format: Literal["ita.checkpoint/1"] = "ita.checkpoint/1"
    step: int
    steps_per_epoch: int
    device: str
    micro_batch: int
    history: tuple[EpochScore, ...]
    sums: Mapping[str, float]
    learning_rates: tuple[float, ...]
    scheduler: Mapping[str, Any]
    random: RandomState
    sizes: Mapping[str, int] = {}

    def __str__(self) -> str:
        epoch, inside = divmod(self.step, self.steps_per_epoch)
        return f"update {inside} of epoch {epoch + 1}" if inside else f"the end of epoch {epoch}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint."""

    folder: Path
    progress: TrainingProgress

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The tensors of one file.

        Raises:
            UsageError: the file is no safetensors file.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(self.folder / f"{name}.safetensors")
        except (OSError, SafetensorError) as error:
            raise self.damaged(f"{name}.safetensors cannot be read: {error}") from error

    def damaged(self, what: str) -> UsageError:
        return UsageError(f"the checkpoint {self.folder} is damaged: {what}", "remove it, and train again")


class Checkpoints:
    """The checkpoints of one training, of which the newest complete one is kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def newest(self) -> Checkpoint | None:
        """The complete checkpoint of the highest step. What a killed process left half written is none."""
        found = [read_checkpoint(folder) for folder in self.folder.glob(f"{PREFIX}*")]
        return max(filter(None, found), key=lambda checkpoint: checkpoint.progress.step, default=None)

    def save(
        self, progress: TrainingProgress, tensors: Mapping[str, Mapping[str, Tensor]], texts: Mapping[str, str]
    ) -> None:
        """Write a checkpoint, and once it is complete remove the others and what killed processes left.

        Raises:
            OSError: the disk is full or fails; the checkpoint before still stands.
        """
        from safetensors.torch import save_file

        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=self.folder) as name:
            draft = Path(name) / "draft"
            draft.mkdir()
            for part, content in tensors.items():
                with convert_save_errors():
                    save_file(dict(content), draft / f"{part}.safetensors")
            for part, text in texts.items():
                (draft / part).write_text(text, "utf-8")
            sizes = {file.name: file.stat().st_size for file in sorted(draft.iterdir())}
            full = progress.model_copy(update={"sizes": sizes})
            (draft / PROGRESS).write_text(full.model_dump_json(indent=2) + "\n", "utf-8")
            sync_files(draft)
            place = self.folder / f"{PREFIX}{progress.step:08d}"
            shutil.rmtree(place, ignore_errors=True)
            draft.rename(place)
            sync_folder(self.folder)
        remove_all_but(self.folder, place.name)


@contextmanager
def convert_save_errors() -> Iterator[None]:
    """What safetensors says of a full or failing disk, as any other writer would say it.

    Raises:
        OSError: in place of its own error.
    """
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        raise OSError(f"weights cannot be written: {error}") from error


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The checkpoint in a folder, or nothing where a file is missing or cut."""
    try:
        progress = TrainingProgress.model_validate_json((folder / PROGRESS).read_bytes())
        complete = all((folder / name).stat().st_size == size for name, size in progress.sizes.items())
    except (OSError, ValidationError):
        return None
    return Checkpoint(folder, progress) if complete else None


def sync_files(folder: Path) -> None:
    for file in folder.iterdir():
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    sync_folder(folder)


def remove_all_but(folder: Path, *names: str) -> None:
    for path in folder.iterdir():
        if path.name not in names:
            shutil.rmtree(path, ignore_errors=True)

"""The work folder of an unfinished training, and its checkpoints as safetensors and JSON.

    step-00000250/
        model.safetensors      the weights
        optimizer.safetensors  Adam's moments, `<parameter>:<name>`
        random.safetensors     the states of all random number generators
        trainer_state.json     the state of `transformers.Trainer`
        progress.json          everything else, and the size of each file

A checkpoint is written under a name that begins with a dot, synced to disk, and renamed. A folder `step-…` is thus
complete even if the process is killed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.files import sync_to_disk
from ita_pipeline.ner.metrics.scores import EpochScore
from stages.base import Frozen

if TYPE_CHECKING:
    from torch import Tensor


PREFIX = "step-"

PROGRESS = "progress.json"


class RandomState(Frozen):
    """The parts of the states of Python's and NumPy's generators that are no arrays."""

    python_version: int
    python_gauss: float | None
    numpy_position: int
    numpy_has_gauss: int
    numpy_gauss: float


class TrainingProgress(Frozen):
    """The progress of a training. `step` counts updates; an epoch has `steps_per_epoch` of them.

    `micro_batch` is the number of posts that fit into memory at once. `sums` are the sums of the loss and its terms
    over the posts of the current epoch. `learning_rates` are those of the optimizer's groups, `scheduler` is the
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
        """Read the tensors of one file.

        Raises:
            UsageError: the file is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(self.folder / f"{name}.safetensors")
        except (OSError, SafetensorError) as error:
            raise self.damaged(f"{name}.safetensors cannot be read: {error}") from error

    def damaged(self, what: str) -> UsageError:
        """The error that a damaged checkpoint raises."""
        return UsageError(f"the checkpoint {self.folder} is damaged: {what}", "remove it, and train again")


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
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.folder / "checkpoints"

    @property
    def log(self) -> Path:
        """The log of updates and epochs, as JSON lines."""
        return self.folder / "log.jsonl"

    def model(self, epoch: int) -> Path:
        """The weights of an epoch, in Hugging Face format, which exist until a later epoch is better."""
        return self.folder / "best" / f"epoch-{epoch:03d}"

    def newest_checkpoint(self) -> Checkpoint | None:
        """The complete checkpoint of the highest step."""
        checkpoints = [_read_checkpoint(folder) for folder in self.checkpoints.glob(f"{PREFIX}*")]
        return max(filter(None, checkpoints), key=lambda checkpoint: checkpoint.progress.step, default=None)

    def save_checkpoint(
        self, progress: TrainingProgress, tensors: Mapping[str, Mapping[str, Tensor]], texts: Mapping[str, str]
    ) -> None:
        """Write a checkpoint, and remove the others once it is complete.

        Raises:
            OSError: the disk is full or fails; the previous checkpoint remains.
        """
        from safetensors.torch import save_file

        self.checkpoints.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=self.checkpoints) as name:
            draft = Path(name) / "draft"
            draft.mkdir()
            for part, content in tensors.items():
                with convert_save_errors():
                    save_file(dict(content), draft / f"{part}.safetensors")
            for part, text in texts.items():
                (draft / part).write_text(text, "utf-8")
            sizes = {file.name: file.stat().st_size for file in sorted(draft.iterdir())}
            sized = progress.model_copy(update={"sizes": sizes})
            (draft / PROGRESS).write_text(sized.model_dump_json(indent=2) + "\n", "utf-8")
            sync_files(draft)
            final = self.checkpoints / f"{PREFIX}{progress.step:08d}"
            shutil.rmtree(final, ignore_errors=True)
            draft.rename(final)
            sync_to_disk(self.checkpoints)
        remove_others(self.checkpoints, final.name)


@contextmanager
def convert_save_errors() -> Iterator[None]:
    """Convert the error of safetensors for a full or failing disk to the usual one.

    Raises:
        OSError: weights cannot be written.
    """
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        raise OSError(f"weights cannot be written: {error}") from error


def _read_checkpoint(folder: Path) -> Checkpoint | None:
    """The checkpoint in a folder, or None if a file is missing or truncated."""
    try:
        progress = TrainingProgress.model_validate_json((folder / PROGRESS).read_bytes())
        complete = all((folder / name).stat().st_size == size for name, size in progress.sizes.items())
    except (OSError, ValidationError):
        return None
    return Checkpoint(folder, progress) if complete else None


def sync_files(folder: Path) -> None:
    """Sync the files of a folder, and their names, to disk."""
    for path in (*folder.iterdir(), folder):
        sync_to_disk(path)


def remove_others(folder: Path, name: str) -> None:
    """Remove all folders in `folder` but the one called `name`."""
    for path in folder.iterdir():
        if path.name != name:
            shutil.rmtree(path, ignore_errors=True)

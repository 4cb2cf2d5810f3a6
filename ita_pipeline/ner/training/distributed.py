"""The processes that a launcher such as torchrun starts for one training; without a launcher, a single process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from ita_pipeline.core.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

# Variables by which accelerate's launcher requests that the model is divided among processes.
SPLITTING = ("FSDP", "DEEPSPEED", "MEGATRON_LM")

# The other processes wait while the first one extracts contexts, which may take long.
TIMEOUT = timedelta(days=7)


def runs_on_cpu() -> bool:
    """Whether several processes would compute on CPUs, because there is no accelerator that they could share."""
    import torch

    device = torch.accelerator.current_accelerator(check_available=True)
    return device is None or device.type == "mps"


@dataclass(frozen=True, slots=True)
class World:
    """The rank of this process and the number of processes. Only the main process writes files and messages."""

    rank: int = 0
    size: int = 1

    @classmethod
    def connect(cls) -> World:
        """Connect the processes that the launcher's environment describes.

        Raises:
            UsageError: they cannot be connected, or the launcher divides the model.
        """
        for kind in SPLITTING:
            if os.environ.get(f"ACCELERATE_USE_{kind}", "").lower() in ("1", "true", "yes"):
                what = f"{kind} splits the model among processes, and ita train gives each a whole one"
                raise UsageError(what, "accelerate launch --multi_gpu …, or none; see docs/cluster.md")
        size = int(os.environ.get("WORLD_SIZE") or 1)
        if size == 1:
            return cls()
        from accelerate import PartialState

        state = PartialState(cpu=runs_on_cpu(), timeout=TIMEOUT)
        if state.num_processes != size:
            what = f"{size} processes cannot be connected on this kind of device"
            raise UsageError(what, "start ita without a launcher")
        return cls(state.process_index, state.num_processes)

    @property
    def is_main(self) -> bool:
        """Whether this is the first process."""
        return self.rank == 0

    def broadcast(self, value: T) -> T:
        """Return the main process's value in all processes. They wait for it."""
        if self.size == 1:
            return value
        from torch import distributed

        values: list[T] = [value]
        distributed.broadcast_object_list(values, src=0)
        return values[0]

    def barrier(self) -> None:
        """Wait until all processes arrive here."""
        if self.size > 1:
            from torch import distributed

            distributed.barrier()

    def all_reduce(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over all processes, with the same bits in each."""
        if self.size > 1:
            from torch import distributed

            distributed.all_reduce(tensor)

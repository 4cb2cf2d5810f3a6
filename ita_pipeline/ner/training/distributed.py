"""The processes that a launcher such as torchrun started for one training; without one, a single process."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from ita_pipeline.core.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor


Thing = TypeVar("Thing")


# How accelerate's launcher asks for it in the environment.
SPLITTING = ("FSDP", "DEEPSPEED", "MEGATRON_LM")

# Others wait while the first one looks at pictures, which may take long.
PATIENCE = timedelta(days=7)


def runs_on_cpu() -> bool:
    """Whether several processes would compute on CPUs: no accelerator is there that they could share."""
    import torch

    device = torch.accelerator.current_accelerator(check_available=True)
    return device is None or device.type == "mps"


@dataclass(frozen=True, slots=True)
class World:
    """`number` of this process, from 0, out of `count`. Only the first one writes files and speaks."""

    rank: int = 0
    size: int = 1

    @classmethod
    def connect(cls) -> World:
        """As the launcher's environment has it; the processes are connected on first use.

        Raises:
            UsageError: they cannot be connected, or the launcher was told to split the model.
        """
        for kind in SPLITTING:
            if os.environ.get(f"ACCELERATE_USE_{kind}", "").lower() in ("1", "true", "yes"):
                what = f"{kind} splits the model among processes, and ita train gives each a whole one"
                raise UsageError(what, "accelerate launch --multi_gpu …, or none; docs/cluster.md says more")
        count = int(os.environ.get("WORLD_SIZE") or 1)
        if count == 1:
            return cls()
        from accelerate import PartialState

        state = PartialState(cpu=runs_on_cpu(), timeout=PATIENCE)
        if state.num_processes != count:
            what = f"{count} processes cannot be connected on this kind of device"
            raise UsageError(what, "start ita without a launcher")
        return cls(state.process_index, state.num_processes)

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def broadcast(self, thing: Thing) -> Thing:
        """What the first process gives here, in all of them; the others wait for it."""
        if self.size == 1:
            return thing
        from torch import distributed

        box: list[Thing] = [thing]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def barrier(self) -> None:
        """Until all of them are here."""
        if self.size > 1:
            from torch import distributed

            distributed.barrier()

    def all_reduce(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, with the same bits in each."""
        if self.size > 1:
            from torch import distributed

            for tensor in tensors:
                distributed.all_reduce(tensor)

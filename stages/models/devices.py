"""Choose the device and the data type that a model runs with."""

from __future__ import annotations

from stages.base import StageError


def pick_device(device: str) -> str:
    """Return `device` if torch has it. `auto` is a CUDA device if there is one, else the CPU.

    Raises:
        StageError: This machine has no such device.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise StageError(f"there is no device {device} here", "use device=auto or device=cpu") from error
    return device


def pick_dtype(dtype: str, device: str) -> str:
    """Return the name of a torch type. `auto` is half precision on a CUDA device and float32 on all others.

    Raises:
        StageError: This machine has no such device.
    """
    if dtype != "auto":
        return dtype
    import torch

    if not pick_device(device).startswith("cuda"):
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"

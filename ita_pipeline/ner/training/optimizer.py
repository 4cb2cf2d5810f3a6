"""Parameter groups of the optimizer, and its state as plain tensors for checkpoints."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ita_pipeline.ner.config import TrainingConfig
from ita_pipeline.ner.tagger import Tagger
from ita_pipeline.ner.training.checkpoints import Checkpoint, RandomState


def capture_random_state() -> tuple[RandomState, dict[str, Tensor]]:
    """The states of the random number generators of Python, NumPy, torch, and of every GPU in use."""
    version, numbers, gauss = random.getstate()
    numpy_state: Any = np.random.get_state(legacy=False)
    tensors = {
        "torch": torch.get_rng_state(),
        "python": torch.tensor(numbers),
        "numpy": torch.tensor(numpy_state["state"]["key"].astype(np.int64)),
    }
    if torch.cuda.is_initialized():
        tensors |= {f"cuda.{number}": state for number, state in enumerate(torch.cuda.get_rng_state_all())}
    state = RandomState(
        python_version=version,
        python_gauss=gauss,
        numpy_position=int(numpy_state["state"]["pos"]),
        numpy_has_gauss=int(numpy_state["has_gauss"]),
        numpy_gauss=float(numpy_state["gauss"]),
    )
    return state, tensors


def restore_random_state(checkpoint: Checkpoint) -> None:
    """Set all random number generators to the states of a checkpoint.

    Raises:
        UsageError: a generator in use has no state in the checkpoint.
    """
    state, tensors = checkpoint.progress.random, checkpoint.tensors("random")
    gpus = torch.cuda.device_count() if torch.cuda.is_initialized() else 0
    for name in ("torch", "python", "numpy", *(f"cuda.{number}" for number in range(gpus))):
        if name not in tensors:
            raise checkpoint.damaged(f"it lacks the random state of {name}")
    random.setstate((state.python_version, tuple(tensors["python"].tolist()), state.python_gauss))
    keys = tensors["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, state.numpy_position, state.numpy_has_gauss, state.numpy_gauss))
    torch.set_rng_state(tensors["torch"])
    for number in range(gpus):
        torch.cuda.set_rng_state(tensors[f"cuda.{number}"], number)


def optimizer_tensors(optimizer: Any, tagger: Tagger) -> dict[str, Tensor]:
    """The optimizer's state, by `<parameter>:<name>`."""
    names = parameter_names(tagger)
    return {
        f"{names[id(parameter)]}:{name}": value
        for parameter, values in optimizer.state.items()
        for name, value in values.items()
    }


def restore_optimizer(
    optimizer: Any, tagger: Tagger, tensors: Mapping[str, Tensor], rates: Sequence[float]
) -> None:
    """Restore the optimizer's state and the learning rates of its groups.

    Raises:
        KeyError: a parameter lacks its name.
        ValueError: the tensors belong to another optimizer.
    """
    by_name: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        parameter, _, name = key.rpartition(":")
        by_name.setdefault(parameter, {})[name] = tensor
    names, state = parameter_names(tagger), optimizer.state_dict()
    order = [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
    state["state"] = {number: by_name[name] for number, name in enumerate(order) if name in by_name}
    if len(state["state"]) != len(by_name):
        raise ValueError("the optimizer has other parameters")
    for group, rate in zip(state["param_groups"], rates, strict=True):
        group["lr"] = rate
    optimizer.load_state_dict(state)


def parameter_groups(tagger: Tagger, config: TrainingConfig) -> list[dict[str, Any]]:
    """Parameter groups with ITA's rates: one for the encoder, one for new layers, a far higher one for the CRF."""
    new = config.linear_learning_rate
    rates = {"linear.": new, "shapes.": new, "crf.": config.crf_learning_rate}
    groups: dict[float, list[Tensor]] = {}
    for name, parameter in tagger.named_parameters():
        rate = next((rate for prefix, rate in rates.items() if name.startswith(prefix)), config.learning_rate)
        groups.setdefault(rate, []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": config.weight_decay}
        for rate, parameters in groups.items()
    ]


def unique_weights(tagger: Tagger) -> dict[str, Tensor]:
    """The state of the tagger, each tensor once, under its first name."""
    unique: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in tagger.state_dict(keep_vars=True).items():
        unique.setdefault(id(tensor), (name, tensor))
    return {name: tensor.detach().contiguous() for name, tensor in unique.values()}


def parameter_names(tagger: Tagger) -> dict[int, str]:
    """Names of the parameters by `id`."""
    return {id(parameter): name for name, parameter in tagger.named_parameters()}

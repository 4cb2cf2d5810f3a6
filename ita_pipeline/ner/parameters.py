"""The tagger's parameters: how fast each learns, and what a checkpoint calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from ita_pipeline.ner.tagger import Tagger
    from ita_pipeline.ner.training import TrainingConfig


def parameter_groups(tagger: Tagger, config: TrainingConfig) -> list[dict[str, Any]]:
    """ITA's rates: one for the encoder, one for new layers, a far higher one for the CRF's transitions."""
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


def weights(tagger: Tagger) -> dict[str, Tensor]:
    """The state of the tagger, each tensor once, however many names it has."""
    first = {id(tensor): name for name, tensor in reversed(tagger.state_dict(keep_vars=True).items())}
    return {
        name: tensor.detach().contiguous()
        for name, tensor in tagger.state_dict(keep_vars=True).items()
        if first[id(tensor)] == name
    }


def names(tagger: Tagger) -> dict[int, str]:
    """Names of the parameters by their identity."""
    return {id(parameter): name for name, parameter in tagger.named_parameters()}

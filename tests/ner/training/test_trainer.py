"""Updates: as many posts as were asked for, in parts that fit into memory, each part learning at its own rate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ita_pipeline.core.errors import UsageError
from ita_pipeline.ner.config import ObjectiveConfig, TrainingConfig
from ita_pipeline.ner.tagger import Tagger, alignment_loss
from ita_pipeline.ner.training.batching import Batcher
from ita_pipeline.ner.training.checkpoints import Workdir
from ita_pipeline.ner.training.distributed import World
from ita_pipeline.ner.training.trainer import TaggerTrainer
from tests.support.messages import logged_messages
from tests.support.tiny_tagger import QUICK, bench


def trainer(encoder_folder: Path, folder: Path, config: TrainingConfig) -> TaggerTrainer:
    """A trainer without any dropout, whose gradients are thus the same every time."""
    made = bench(encoder_folder, folder, config.model_copy(update={"word_dropout": 0.0}))
    for module in made.tagger.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    usable = [example for example in made.examples if example.post.words]
    # Some without a context, so that the parts differ in how many views they have.
    usable = [type(e)(e.post, e.text, None if n % 3 else e.context) for n, e in enumerate(usable)]
    batcher = Batcher(made.tagger.config.scheme, usable, made.pad)
    return TaggerTrainer(made.tagger, batcher, made.config, Workdir(folder), World())


def gradients(found: TaggerTrainer) -> tuple[dict[str, float] | None, list[torch.Tensor]]:
    found.tagger.zero_grad()
    parts = found.accumulate_gradient(found.tagger, list(range(13)), list(range(13)))
    return parts, [p.grad.clone() for p in found.tagger.parameters() if p.grad is not None]


@pytest.mark.parametrize(
    ("units", "precision", "logged"),
    [({}, "bf16", True), ({"amx_bf16": True}, "bf16", False), ({}, "fp32", False)],
)
def test_bf16_on_a_processor_without_units_for_it_is_reported(
    units: dict[str, bool],
    precision: str,
    logged: bool,
    encoder_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False, **units})
    with logged_messages() as messages:
        trainer(encoder_folder, tmp_path / "a", QUICK.model_copy(update={"precision": precision}))
    assert any("no bf16 units" in message for message in messages) is logged


def test_in_bf16_the_encoder_rounds_and_weights_and_gradients_do_not(encoder_folder: Path, tmp_path: Path):
    exact = trainer(encoder_folder, tmp_path / "fp32", QUICK)
    lowered = trainer(encoder_folder, tmp_path / "bf16", QUICK.model_copy(update={"precision": "bf16"}))
    (whole, _), (half, grads) = gradients(exact), gradients(lowered)
    assert whole is not None
    assert half is not None
    assert half["loss"] != whole["loss"]
    assert half["loss"] == pytest.approx(whole["loss"], rel=0.02)
    assert {grad.dtype for grad in grads} == {torch.float32}
    assert {parameter.dtype for parameter in lowered.tagger.parameters()} == {torch.float32}


def test_the_environment_does_not_change_the_precision(
    encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    found = trainer(encoder_folder, tmp_path, QUICK)
    assert found.accelerator.mixed_precision == "no"


@pytest.mark.parametrize("micro_batch", [1, 4, 5])
def test_an_update_in_parts_is_the_update_in_one(encoder_folder: Path, tmp_path: Path, micro_batch: int):
    found = trainer(encoder_folder, tmp_path, QUICK.model_copy(update={"batch_size": 13}))
    whole, at_once = gradients(found)
    found.micro_batch = micro_batch
    parts, summed = gradients(found)
    assert whole is not None
    assert parts == pytest.approx(whole, rel=1e-5)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(summed, at_once, strict=True))


def reference_update(tagger: Tagger, batcher: Batcher, count: int, goal: ObjectiveConfig) -> tuple[float, Any]:
    """Loss and gradient as the reference code computes them: one instance at a time, averaged over instances."""
    tagger.zero_grad()
    instances: list[torch.Tensor] = []
    for number in range(count):
        batch = batcher([number])
        tags, mask = batch["tags"], batch["mask"]
        text = tagger.emissions(**batch["text"])
        nll_text = -tagger.crf.log_likelihood(text, tags, mask).sum()
        if batch["context"] is None:
            instances.append(nll_text)
            continue
        both = tagger.emissions(**batch["context"])
        nll_both = -tagger.crf.log_likelihood(both, tags, mask).sum()
        student, teacher = (tagger.crf.log_marginals(view, mask)[1] for view in (text, both))
        gap = alignment_loss(student, teacher, mask, goal.temperature).sum()
        if goal.text:
            instances.append(goal.text * nll_text)
        if goal.context or goal.alignment:
            instances.append(goal.context * nll_both + goal.alignment * gap)
    loss = torch.stack(instances).sum() / len(instances)
    loss.backward()
    return float(loss.detach()), [p.grad.clone() for p in tagger.parameters() if p.grad is not None]


@pytest.mark.parametrize(
    "weights", [(1, 0.5, 0.5), (1, 1, 0), (0, 1, 0), (0, 1, 0.02), (1, 0, 0), (1, 0, 1)], ids=str
)
def test_loss_and_gradient_have_the_scale_of_the_reference(
    encoder_folder: Path, tmp_path: Path, weights: tuple[float, float, float]
):
    goal = ObjectiveConfig(**dict(zip(("text", "context", "alignment"), weights, strict=True)))
    found = trainer(encoder_folder, tmp_path, QUICK.model_copy(update={"batch_size": 13, "objective": goal}))
    expected, by_hand = reference_update(found.tagger, found.batcher, 13, goal)
    losses, grads = gradients(found)
    assert losses is not None
    assert losses["loss"] == pytest.approx(expected, rel=1e-5)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(grads, by_hand, strict=True))


def test_without_contexts_the_loss_is_the_likelihood_of_the_text(encoder_folder: Path, tmp_path: Path):
    found = trainer(encoder_folder, tmp_path, QUICK)
    found.batcher.examples = [type(e)(e.post, e.text, None) for e in found.batcher.examples]
    losses, _ = gradients(found)
    assert losses is not None
    assert losses["loss"] == pytest.approx(losses["nll_text"])


class Narrow(Tagger):
    """Says that memory does not suffice for more than three posts at a time."""

    most = 3
    seen: list[int]

    def forward(self, tags: Any = None, **batch: Any) -> dict[str, torch.Tensor]:
        self.seen.append(len(tags))
        found = super().forward(tags=tags, **batch)
        if len(tags) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 TiB")
        return found


def narrow(encoder_folder: Path, folder: Path, most: int, batch_size: int, accumulation: int) -> Any:
    config = QUICK.model_copy(update={"epochs": 2, "batch_size": batch_size, "accumulation": accumulation})
    made = bench(encoder_folder, folder, config)
    made.tagger.__class__ = Narrow
    made.tagger.seen, made.tagger.most = [], most
    return made


def test_out_of_memory_halves_the_posts_at_once_and_keeps_the_update(encoder_folder: Path, tmp_path: Path):
    made = narrow(encoder_folder, tmp_path, 3, batch_size=8, accumulation=2)
    made.train()
    assert made.lines == [
        "out of memory: 4 posts at a time from here, 16 an update as before",
        "out of memory: 2 posts at a time from here, 16 an update as before",
    ]
    # 24 posts in two updates an epoch, of 16 and of 8.
    trained = made.tagger.seen[2:]
    assert trained == [2] * 24
    end = made.desk.newest_checkpoint()
    assert (end.progress.step, end.progress.micro_batch) == (4, 2)
    lines = [json.loads(line) for line in made.desk.log.read_text().splitlines()]
    assert [line["micro_batch"] for line in lines if line["event"] == "update"] == [2] * 4


def test_a_single_post_that_exceeds_memory_ends_the_training(encoder_folder: Path, tmp_path: Path):
    made = narrow(encoder_folder, tmp_path, 0, batch_size=2, accumulation=1)
    with pytest.raises(UsageError, match="not enough memory to train on one post at a time") as caught:
        made.train()
    assert "--encoder" in caught.value.hint


def test_other_errors_than_memory_are_raised(encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("shapes do not match")

    found = trainer(encoder_folder, tmp_path, QUICK)
    monkeypatch.setattr(found.tagger, "forward", fail)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        found.accumulate_gradient(found.tagger, [0], [0])


def test_a_loss_of_nan_ends_the_training(encoder_folder: Path, tmp_path: Path):
    made = bench(encoder_folder, tmp_path)
    torch.nn.init.constant_(made.tagger.linear.bias, float("nan"))
    with pytest.raises(UsageError, match="the loss is nan at update 1"):
        made.train()

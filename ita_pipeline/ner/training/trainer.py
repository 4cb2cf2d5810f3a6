"""`transformers.Trainer` for the tagger: updates that fit into memory, and checkpoints without pickle.

Several processes share the posts of each update and add up their gradients, so that the update equals that of one
process.

Trainer's own checkpoints contain pickled optimizers and random states, and are written in place. Its hooks for
saving and loading are therefore replaced by those of `checkpoints`; loop, schedule and clipping are Trainer's.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainingArguments

from ita_pipeline.core.errors import UsageError
from ita_pipeline.ner.config import TrainingConfig
from ita_pipeline.ner.metrics.scores import EpochScore
from ita_pipeline.ner.tagger import Tagger
from ita_pipeline.ner.training.batching import Batcher, BucketSampler
from ita_pipeline.ner.training.checkpoints import Checkpoint, TrainingProgress, Workdir
from ita_pipeline.ner.training.distributed import World, runs_on_cpu
from ita_pipeline.ner.training.loggers import create_reporters
from ita_pipeline.ner.training.optimizer import (
    capture_random_state,
    optimizer_tensors,
    parameter_groups,
    restore_optimizer,
    restore_random_state,
    unique_weights,
)
from stages.batching import batched

logger = logging.getLogger(__name__)

LOSS_PARTS = ("loss", "nll_text", "nll_context", "alignment")


class OneDevice(TrainingArguments):
    """Arguments for one device, since word positions count in the whole batch, which cannot be scattered."""

    @property
    def n_gpu(self) -> int:
        """The number of GPUs that Trainer uses."""
        return 1


class TaggerTrainer(Trainer):
    """A trainer whose step is one update: a batch of posts, computed in as many parts as memory requires."""

    def __init__(
        self, tagger: Tagger, batcher: Batcher, config: TrainingConfig, workdir: Workdir, world: World
    ) -> None:
        self.tagger, self.batcher, self.config = tagger, batcher, config
        self.workdir, self.world = workdir, world
        self.history: list[EpochScore] = []
        self.micro_batch = config.batch_size
        self.epoch_sums: Counter[str] = Counter()
        self.last_losses: dict[str, float] = {}
        super().__init__(model=tagger, args=_create_arguments(config, workdir, len(batcher.examples), world))
        if config.precision == "bf16" and self.args.device.type == "cpu" and not has_bf16_units():
            logger.info("this processor has no bf16 units, so training.precision=bf16 is slower than fp32")
        self.remove_callback(PrinterCallback)
        for reporter in create_reporters(workdir.report_to, workdir.folder) if world.is_main else ():
            self.add_callback(reporter)

    def get_train_dataloader(self) -> Any:
        """Load the posts of one update at a time."""
        lengths = [example.length for example in self.batcher.examples]
        size, seed = self.config.posts_per_update, self.config.seed
        sampler = BucketSampler(lengths, size, seed, lambda: self.state.global_step)
        self.steps_per_epoch = len(sampler)
        indices: Any = range(len(lengths))
        return DataLoader(indices, batch_sampler=sampler, collate_fn=lambda posts: {"posts": posts})

    @property
    def schedule(self) -> LRScheduler:
        """The schedule of the learning rates."""
        assert isinstance(self.lr_scheduler, LRScheduler)
        return self.lr_scheduler

    def create_optimizer(self, model: Any = None) -> Any:
        """Create Adam with the learning rates of `parameter_groups`."""
        groups = parameter_groups(self.tagger, self.config)
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-6, fused=True)
        return self.optimizer

    def floating_point_ops(self, inputs: Any) -> int:
        """Zero: counting them would visit all parameters at every step for an unused number."""
        return 0

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Compute the gradient of one update, however many posts fit into memory at once.

        Raises:
            UsageError: not even one post fits, or the loss is not finite.
        """
        posts, world = inputs["posts"], self.world
        own = posts[world.rank :: world.size]
        if world.size > 1:
            # Each process has its own dropout, which follows from the step, so that no state needs saving.
            torch.manual_seed(hash((self.config.seed, self.state.global_step, world.rank)) % 2**63)
        # Trainer's wrapped model would add up the gradients of the processes after each part.
        while (losses := self.reduce(self.accumulate_gradient(self.tagger, own, posts))) is None:
            self._halve_micro_batch(model)
        if not math.isfinite(losses["loss"]):
            what = f"the loss is {losses['loss']} at update {self.state.global_step + 1}"
            raise UsageError(what, "try smaller steps: --set training.learning_rate=…")
        self.last_losses = losses
        self.epoch_sums.update({name: value * len(posts) for name, value in losses.items()}, posts=len(posts))
        return torch.tensor(losses["loss"], device=self.args.device)

    def reduce(self, losses: dict[str, float] | None) -> dict[str, float] | None:
        """Add up gradients and losses over the processes. Returns None if one of them ran out of memory."""
        if self.world.size == 1:
            return losses
        device = self.tagger.linear.weight.device
        sums = torch.tensor(
            [float(losses is None), *((losses or {}).get(name, 0.0) for name in LOSS_PARTS)],
            dtype=torch.float32 if device.type == "mps" else torch.float64,
            device=device,
        )
        self.world.all_reduce(sums)
        failed, *values = sums.tolist()
        if failed:
            return None
        for parameter in self.tagger.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                self.world.all_reduce(parameter.grad)
        return dict(zip(LOSS_PARTS, values, strict=True))

    def accumulate_gradient(self, model: Any, own: Sequence[int], posts: Sequence[int]) -> dict[str, float] | None:
        """Add up the gradients over parts of `own`, this process's share of the posts of an update.

        The loss is averaged over the trained views of all posts, as in the reference code, where each view is an
        instance of its own: `clip` then has the same meaning for one view and for two. Returns the loss, and its
        terms averaged over posts, or None if memory does not suffice.
        """
        views = self.batcher.count_views(posts, self.config.objective)
        # The encoder may compute in half precision. CRF and weights stay in fp32.
        half = self.config.precision == "bf16"
        model.train()
        losses: Counter[str] = Counter()
        try:
            for part in batched(own, self.micro_batch):
                with torch.autocast(self.args.device.type, torch.bfloat16, enabled=half):
                    outputs = model(**self._prepare_inputs(self.batcher(part)))
                loss = outputs.pop("loss") * (len(part) / views)
                self.accelerator.backward(loss)
                terms: dict[str, Any] = {
                    name: float(value) * len(part) / len(posts) for name, value in outputs.items()
                }
                losses.update(terms | {"loss": float(loss.detach())})
        except RuntimeError as error:
            if not (isinstance(error, torch.OutOfMemoryError) or should_reduce_batch_size(error)):
                raise
            return None
        return dict(losses)

    def _halve_micro_batch(self, model: Any) -> None:
        if self.micro_batch == 1:
            hint = "take a smaller encoder (--encoder), or shorter rows: --set training.max_length=128"
            raise UsageError("not enough memory to train on one post at a time", hint)
        model.zero_grad()
        clear_device_cache(garbage_collection=True)
        self.micro_batch = max(1, self.micro_batch // 2)
        posts = self.config.posts_per_update
        logger.info(f"out of memory: {self.micro_batch} posts at a time from here, {posts} an update as before")

    def epoch_means(self) -> dict[str, float]:
        """Means of the loss and its terms over the posts of the epoch, whose sums are reset."""
        means = {name: self.epoch_sums[name] / self.epoch_sums["posts"] for name in LOSS_PARTS}
        self.epoch_sums.clear()
        return means

    def resume_from(self, checkpoint: Checkpoint) -> None:
        """Take over the progress of a checkpoint. `train` then loads its tensors.

        Raises:
            UsageError: another kind of device wrote it, whose random numbers differ.
        """
        progress, device = checkpoint.progress, self.args.device.type
        if progress.device != device:
            what = f"the checkpoint {checkpoint.folder} was made on {progress.device}, this is {device}"
            raise UsageError(what, "train where it was started, or remove the checkpoint to start over")
        self.resumed = checkpoint
        self.history[:] = progress.history
        self.micro_batch = progress.micro_batch
        self.epoch_sums = Counter(progress.sums)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Save a checkpoint in the main process."""
        if not self.world.is_main:
            return
        random, random_tensors = capture_random_state()
        progress = TrainingProgress(
            step=self.state.global_step,
            steps_per_epoch=self.steps_per_epoch,
            device=self.args.device.type,
            micro_batch=self.micro_batch,
            history=tuple(self.history),
            sums=dict(self.epoch_sums),
            learning_rates=tuple(group["lr"] for group in self.optimizer.param_groups),
            scheduler={name: value for name, value in self.schedule.state_dict().items() if name != "lr_lambdas"},
            random=random,
        )
        tensors = {
            "model": unique_weights(self.tagger),
            "optimizer": optimizer_tensors(self.optimizer, self.tagger),
            "random": random_tensors,
        }
        state = json.dumps(dataclasses.asdict(self.state), indent=2, sort_keys=True)
        self.workdir.save_checkpoint(progress, tensors, {"trainer_state.json": state + "\n"})

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Load the weights of the checkpoint of `resume_from`."""
        tensors = self.resumed.tensors("model")
        if tensors.keys() != unique_weights(self.tagger).keys():
            raise self.resumed.damaged("its weights are those of another model")
        try:
            self.tagger.load_state_dict(tensors, strict=False)
        except RuntimeError as error:
            raise self.resumed.damaged("its weights have other shapes than the model's") from error

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Load the states of the optimizer and the schedule."""
        if checkpoint is None:
            return
        progress = self.resumed.progress
        try:
            tensors = self.resumed.tensors("optimizer")
            restore_optimizer(self.optimizer, self.tagger, tensors, progress.learning_rates)
        except (KeyError, ValueError) as error:
            raise self.resumed.damaged("its optimizer is that of another model") from error
        functions = self.schedule.state_dict()["lr_lambdas"]
        self.schedule.load_state_dict({**progress.scheduler, "lr_lambdas": functions})

    def _load_scaler(self, checkpoint: str | None) -> None:
        """Load nothing: training in half precision would need a scaler; bfloat16 does not."""

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Load the states of all random number generators."""
        if checkpoint is not None:
            restore_random_state(self.resumed)


def has_bf16_units() -> bool:
    """Whether the processor computes in bfloat16, as far as torch knows."""
    return any(supported for name, supported in torch.cpu.get_capabilities().items() if "bf16" in name)


def _create_arguments(config: TrainingConfig, workdir: Workdir, posts: int, world: World) -> TrainingArguments:
    """Trainer's arguments: ITA's schedule, and none of Trainer's files and logs.

    An update is one step for Trainer, which therefore does not accumulate gradients.
    """
    updates = math.ceil(posts / config.posts_per_update) * config.epochs
    arguments = OneDevice(
        output_dir=str(workdir.checkpoints),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.posts_per_update,
        lr_scheduler_type="linear",
        warmup_steps=round(config.warmup * updates),
        max_grad_norm=config.clip,
        seed=config.seed,
        remove_unused_columns=False,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        # Connects several processes without GPUs; a single process selects its device by itself.
        use_cpu=world.size > 1 and runs_on_cpu(),
    )
    # The default comes from the environment, which is not part of the run's key.
    arguments.mixed_precision = "no"
    return arguments

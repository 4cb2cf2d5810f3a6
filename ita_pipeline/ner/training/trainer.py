"""`transformers.Trainer` for the tagger: whole updates that fit into memory, and checkpoints without pickle.

Several processes share the posts of each update, whose gradients are added up: the update is that of one process.

Trainer's own checkpoints hold pickled optimizers and random states, and are written in place. Its hooks for saving
and loading are therefore replaced, by those of `checkpoints`; loop, schedule, clipping and precision are its own.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import logging
import math
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils.memory import should_reduce_batch_size
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainingArguments

from ita_pipeline.core.errors import UsageError
from ita_pipeline.ner.training.batching import Batcher, BucketSampler
from ita_pipeline.ner.training.checkpoints import Checkpoint, Checkpoints, TrainingProgress
from ita_pipeline.ner.training.distributed import World, runs_on_cpu
from ita_pipeline.ner.training.history import EpochScore
from ita_pipeline.ner.training.loggers import create_reporters
from ita_pipeline.ner.training.optimizer import (
    names,
    optimizer_tensors,
    parameter_groups,
    random_state,
    restore_optimizer,
    restore_random_state,
    weights,
)

if TYPE_CHECKING:
    from torch import Tensor

    from ita_pipeline.ner.config import TrainingConfig
    from ita_pipeline.ner.tagger import Tagger


STATE = "trainer_state.json"

PARTS = ("loss", "nll_text", "nll_context", "alignment")

ALONE = World()


class OneDevice(TrainingArguments):
    """Words are found by their place in the whole batch, so a batch cannot be scattered over devices."""

    @property
    def n_gpu(self) -> int:
        return 1


logger = logging.getLogger(__name__)


class TaggerTrainer(Trainer):
    """One step is one update: a batch of posts, computed in as many parts as memory asks for."""

    def __init__(
        self,
        tagger: Tagger,
        batcher: Batcher,
        config: TrainingConfig,
        checkpoints: Checkpoints,
        processes: World = ALONE,
        report_to: Sequence[str] = (),
    ) -> None:
        self.processes = processes
        self.tagger, self.batcher, self.config = tagger, batcher, config
        self.checkpoints = checkpoints
        self.history: list[EpochScore] = []
        self.micro_batch = config.batch_size
        self.sums: Counter[str] = Counter()
        self.update: dict[str, float] = {}
        on_cpus = processes.size > 1 and runs_on_cpu()
        super().__init__(model=tagger, args=arguments(config, checkpoints, len(batcher.examples), on_cpus))
        self.remove_callback(PrinterCallback)
        for reporter in create_reporters(report_to, checkpoints.folder.parent) if processes.is_main else ():
            self.add_callback(reporter)

    def get_train_dataloader(self) -> Any:
        lengths = [example.length for example in self.batcher.examples]
        buckets = BucketSampler(
            lengths, self.config.posts_an_update, self.config.seed, lambda: self.state.global_step
        )
        self.steps_per_epoch = len(buckets)
        numbers: Any = range(len(lengths))
        return DataLoader(numbers, batch_sampler=buckets, collate_fn=lambda posts: {"posts": posts})

    @property
    def schedule(self) -> LRScheduler:
        assert isinstance(self.lr_scheduler, LRScheduler)
        return self.lr_scheduler

    def create_optimizer(self, model: Any = None) -> Any:
        if self.optimizer is None:
            groups = parameter_groups(self.tagger, self.config)
            self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-6, fused=True)
        return self.optimizer

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: Trainer would walk over all parameters at every step for a number that nobody reads."""
        return 0

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """The gradient of one update, whatever number of posts memory holds at once.

        Raises:
            UsageError: not even one post fits, or the loss is no number any more.
        """
        posts = inputs["posts"]
        own = posts[self.processes.rank :: self.processes.size]
        if self.processes.size > 1:
            # Dropout of its own for each, which follows from the step, so that nothing is to be remembered.
            torch.manual_seed(hash((self.config.seed, self.state.global_step, self.processes.rank)) % 2**63)
        while True:
            # Not the model as the Trainer wrapped it: that would add up gradients part by part.
            parts = self.together(self.gradient(self.tagger, own, len(posts)))
            if parts is not None:
                break
            self.shrink(model)
        if not math.isfinite(parts["loss"]):
            what = f"the loss is {parts['loss']} at update {self.state.global_step + 1}"
            raise UsageError(what, "try smaller steps: --set training.learning_rate=…")
        self.update = parts
        self.sums.update({name: value * len(posts) for name, value in parts.items()}, posts=len(posts))
        return torch.tensor(parts["loss"], device=self.args.device)

    def together(self, parts: dict[str, float] | None) -> dict[str, float] | None:
        """Add up gradients and losses over the processes; nothing where memory did not suffice for one of them."""
        if self.processes.size == 1:
            return parts
        device = self.tagger.linear.weight.device
        sums = torch.tensor(
            [float(parts is None), *((parts or {}).get(name, 0.0) for name in PARTS)],
            dtype=torch.float32 if device.type == "mps" else torch.float64,
            device=device,
        )
        self.processes.all_reduce([sums])
        failed, *values = sums.tolist()
        if failed:
            return None
        parameters = [parameter for parameter in self.tagger.parameters() if parameter.requires_grad]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.processes.all_reduce(parameter.grad for parameter in parameters if parameter.grad is not None)
        return dict(zip(PARTS, values, strict=True))

    def gradient(self, model: Any, posts: Sequence[int], of: int | None = None) -> dict[str, float] | None:
        """Add up the gradient over parts of a batch of `of` posts, all by default; the loss and its parts likewise.

        Nothing is returned where memory does not suffice.
        """
        of = of or len(posts)
        model.train()
        sums: Counter[str] = Counter()
        try:
            for start in range(0, len(posts), self.micro_batch):
                part = posts[start : start + self.micro_batch]
                share = len(part) / of
                batch = self._prepare_inputs(self.batcher(part))
                with self.lowered():
                    outputs = model(**batch)
                self.accelerator.backward(outputs["loss"] * share)
                sums.update({name: float(value.detach()) * share for name, value in outputs.items()})
        except RuntimeError as error:
            if not (isinstance(error, torch.OutOfMemoryError) or should_reduce_batch_size(error)):
                raise
            return None
        return dict(sums)

    def lowered(self) -> AbstractContextManager[Any]:
        """Where the encoder computes in half the bits, if it was asked to. CRF and weights keep all of theirs."""
        if self.config.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.args.device.type, torch.bfloat16)

    def shrink(self, model: Any) -> None:
        if self.micro_batch == 1:
            hint = "take a smaller encoder (--encoder), or shorter rows: --set training.max_length=128"
            raise UsageError("memory does not suffice to train on one post at a time", hint)
        model.zero_grad()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.micro_batch = max(1, self.micro_batch // 2)
        posts = self.config.posts_an_update
        logger.info(f"out of memory: {self.micro_batch} posts at a time from here, {posts} an update as before")

    def epoch_means(self) -> dict[str, float]:
        """Means over the posts of the epoch that ends, of the loss and its parts."""
        means = {name: self.sums[name] / self.sums["posts"] for name in PARTS}
        self.sums.clear()
        return means

    def take_up(self, checkpoint: Checkpoint) -> None:
        """What is to be known before the training goes on from a checkpoint.

        Raises:
            UsageError: it was made on another kind of device, where random numbers are others.
        """
        progress = checkpoint.progress
        if progress.device != self.args.device.type:
            what = (
                f"the checkpoint {checkpoint.folder} was made on {progress.device}, this is {self.args.device.type}"
            )
            raise UsageError(what, "train where it was begun, or remove the checkpoint to start over")
        self.resumed = checkpoint
        self.history[:] = progress.history
        self.micro_batch = progress.micro_batch
        self.sums = Counter(progress.sums)

    # From here on Trainer's own hooks.

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if not self.processes.is_main:
            return
        state, tensors = random_state()
        schedule = {name: value for name, value in self.schedule.state_dict().items() if name != "lr_lambdas"}
        progress = TrainingProgress(
            step=self.state.global_step,
            steps_per_epoch=self.steps_per_epoch,
            device=self.args.device.type,
            micro_batch=self.micro_batch,
            history=tuple(self.history),
            sums=dict(self.sums),
            learning_rates=tuple(group["lr"] for group in self.optimizer.param_groups),
            scheduler=schedule,
            random=state,
        )
        self.checkpoints.save(
            progress,
            {
                "model": weights(self.tagger),
                "optimizer": optimizer_tensors(self.optimizer, names(self.tagger)),
                "random": tensors,
            },
            {STATE: json.dumps(dataclasses.asdict(self.state), indent=2, sort_keys=True) + "\n"},
        )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        tensors = self.resumed.tensors("model")
        if tensors.keys() != weights(self.tagger).keys():
            raise self.resumed.damaged("its weights are those of another model")
        try:
            self.tagger.load_state_dict(tensors, strict=False)
        except RuntimeError as error:
            raise self.resumed.damaged("its weights have other shapes than the model's") from error

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        progress = self.resumed.progress
        try:
            tensors = self.resumed.tensors("optimizer")
            restore_optimizer(self.optimizer, tensors, names(self.tagger), progress.learning_rates)
        except (KeyError, ValueError) as error:
            raise self.resumed.damaged("its optimizer is that of another model") from error
        functions = self.schedule.state_dict()["lr_lambdas"]
        self.schedule.load_state_dict({**progress.scheduler, "lr_lambdas": functions})

    def _load_scaler(self, checkpoint: str | None) -> None:
        """There is none: half precision is not trained in."""

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            restore_random_state(self.resumed)


def arguments(config: TrainingConfig, checkpoints: Checkpoints, posts: int, on_cpus: bool) -> TrainingArguments:
    """The Trainer's own settings: ITA's schedule, and none of its files or logs.

    Updates are steps of one batch, so Trainer knows nothing of accumulation.
    """
    updates = math.ceil(posts / config.posts_an_update) * config.epochs
    made = OneDevice(
        output_dir=str(checkpoints.folder),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.posts_an_update,
        lr_scheduler_type="linear",
        warmup_steps=round(config.warmup * updates),
        max_grad_norm=config.clip,
        seed=config.seed,
        remove_unused_columns=False,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        # Said to connect several processes without GPUs; one process finds its device by itself.
        use_cpu=on_cpus,
    )
    # Read from the environment otherwise, which no run's key knows.
    made.mixed_precision = "no"
    return made

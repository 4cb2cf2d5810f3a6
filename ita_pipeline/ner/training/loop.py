"""Training: both views in one batch, the best epoch by the mean of both dev scores; resumed where it was killed."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ita_pipeline.ner.config import TrainingConfig
from ita_pipeline.ner.prediction import predict_views, score_views
from ita_pipeline.ner.training.batching import Batcher
from ita_pipeline.ner.training.checkpoints import Checkpoints, convert_save_errors, remove_all_but, sync_files
from ita_pipeline.ner.training.distributed import World
from ita_pipeline.ner.training.history import EpochScore, best_epoch, should_stop
from ita_pipeline.ner.training.loggers import TrainingLog
from ita_pipeline.ner.views import EncodedPost

if TYPE_CHECKING:
    from ita_pipeline.ner.tagger import Tagger
    from ita_pipeline.ner.training.trainer import TaggerTrainer


logger = logging.getLogger(__name__)

# Updates between two that reporters hear of: they may be on another machine.
REPORTED_EVERY = 10


@dataclass(frozen=True, slots=True)
class Workdir:
    """Where an unfinished training keeps what it has, so that it can be taken up again.

    A checkpoint is made at the end of each epoch, and with `every` after each so many updates. Those that
    `report_to` names, of the reporters that `transformers` has, hear of updates and epochs.
    """

    folder: Path
    checkpoint_every: int = 0
    report_to: tuple[str, ...] = ()

    @property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.folder / "checkpoints")

    @property
    def log(self) -> Path:
        return self.folder / "log.jsonl"

    def model(self, epoch: int) -> Path:
        """The weights of an epoch, in Hugging Face format, as long as no later one is better."""
        return self.folder / "best" / f"epoch-{epoch:03d}"


def train(
    tagger: Tagger,
    examples: Sequence[EncodedPost],
    dev: Sequence[EncodedPost],
    config: TrainingConfig,
    pad: int,
    workdir: Workdir,
) -> list[EpochScore]:
    """Train, or go on with what lies on the desk, and leave the best epoch's weights there.

    Posts without words are left out. Returns the history, one
    entry an epoch. On a CPU, with as many threads, a
    training that was killed and resumed ends with the very weights and losses of one that was not.

    Where a launcher started several processes, each of them calls this with the same arguments: they share the
    posts of every update, and only the first writes to the workdir.

    Raises:
        UsageError: memory does not suffice for one post, the loss is no number any more, or a checkpoint cannot
            be used.
    """
    from transformers import set_seed

    from ita_pipeline.ner.training.trainer import TaggerTrainer

    set_seed(config.seed)
    usable = [example for example in examples if example.post.words]
    batcher = Batcher(tagger.config.scheme, usable, pad)
    processes = World.connect()
    trainer = TaggerTrainer(tagger, batcher, config, workdir.checkpoints, processes, workdir.report_to)
    checkpoint = workdir.checkpoints.newest()
    log = TrainingLog(workdir.log, silent=not processes.is_main)
    log.rewind(checkpoint.progress.step if checkpoint else 0)
    if checkpoint:
        trainer.take_up(checkpoint)
        logger.info(f"resuming from {checkpoint.progress}")
        log.write("resume", checkpoint.progress.step, {})
    trainer.add_callback(watch(trainer, dev, pad, workdir, log))
    if len(trainer.history) < config.epochs and not should_stop(trainer.history, config.patience):
        trainer.train(resume_from_checkpoint=str(checkpoint.folder) if checkpoint else None)
    return trainer.history


def watch(
    trainer: TaggerTrainer,
    dev: Sequence[EncodedPost],
    pad: int,
    desk: Workdir,
    log: TrainingLog,
) -> Any:
    """What is done after each update and each epoch, as a callback of the trainer."""
    from transformers import TrainerCallback

    tagger, config, history = trainer.tagger, trainer.config, trainer.history
    processes = trainer.processes

    class Watch(TrainerCallback):
        began = time.monotonic()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            now = time.monotonic()
            about = {
                "learning_rate": trainer.schedule.get_last_lr()[0],
                "micro_batch": trainer.micro_batch,
                "seconds": round(now - self.began, 3),
            }
            log.write("update", state.global_step, {**trainer.update, **about})
            self.began = now
            if desk.report_to and state.global_step % REPORTED_EVERY == 0:
                trainer.log({**trainer.update, "learning_rate": about["learning_rate"]})
            # The end of an epoch has a checkpoint of its own, with the epoch's scores.
            inside = state.global_step % trainer.steps_per_epoch
            control.should_save = bool(
                desk.checkpoint_every and inside and state.global_step % desk.checkpoint_every == 0
            )

        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            found = score_views(dev, predict_views(tagger, dev, pad)) if processes.is_main else None
            text_f1, context_f1 = processes.broadcast(tuple(view.micro.f1 for view in found or ()))
            epoch = EpochScore(
                epoch=len(history) + 1, **trainer.epoch_means(), text_f1=text_f1, context_f1=context_f1
            )
            history.append(epoch)
            if processes.is_main and best_epoch(history) == len(history) - 1:
                with convert_save_errors():
                    tagger.save_pretrained(desk.model(epoch.epoch))
                sync_files(desk.model(epoch.epoch))
            log.write("epoch", state.global_step, epoch.model_dump())
            if desk.report_to:
                trainer.log({"dev_f1_text": text_f1, "dev_f1_text_image": context_f1, "epoch_loss": epoch.loss})
            logger.info(
                f"epoch {epoch.epoch} of {config.epochs}: loss {epoch.loss:.2f}, "
                f"dev F1 T {100 * epoch.text_f1:.2f}, I+T {100 * epoch.context_f1:.2f}"
            )
            control.should_save = True
            if should_stop(history, config.patience) and len(history) < config.epochs:
                logger.info(f"stopping early: epoch {best_epoch(history) + 1} is the best")
                control.should_training_stop = True
            self.began = time.monotonic()

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if history and processes.is_main:
                best = desk.model(best_epoch(history) + 1)
                remove_all_but(best.parent, best.name)

    return Watch()

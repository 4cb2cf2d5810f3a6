"""Train a tagger on both views, keep the epoch with the best mean of both dev scores, and resume if interrupted."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from transformers import TrainerCallback, set_seed

from ita_pipeline.core.progress import activity, show_activity
from ita_pipeline.ner.config import TrainingConfig
from ita_pipeline.ner.metrics.scores import EpochScore, best_epoch, score_views, should_stop
from ita_pipeline.ner.prediction import predict_views
from ita_pipeline.ner.runtimes import TorchRuntime
from ita_pipeline.ner.tagger import Tagger
from ita_pipeline.ner.training.batching import Batcher
from ita_pipeline.ner.training.checkpoints import Workdir, convert_save_errors, remove_others, sync_files
from ita_pipeline.ner.training.distributed import World
from ita_pipeline.ner.training.loggers import TrainingLog
from ita_pipeline.ner.training.trainer import TaggerTrainer
from ita_pipeline.ner.views import EncodedPost

logger = logging.getLogger(__name__)

# Updates between two that are reported: a reporter may send them to another machine.
REPORT_EVERY = 10


def train(
    tagger: Tagger,
    examples: Sequence[EncodedPost],
    dev: Sequence[EncodedPost],
    config: TrainingConfig,
    pad: int,
    workdir: Workdir,
) -> list[EpochScore]:
    """Train, or resume from the newest checkpoint, and write the best epoch's weights to the work folder.

    Posts without words are left out. Returns the history, one entry per epoch. On a CPU with the same number of
    threads, a training that was killed and resumed ends with exactly the weights and losses of one that was not.

    If a launcher started several processes, each of them calls this function with the same arguments. They share
    the posts of every update, and only the main process writes files.

    Raises:
        UsageError: memory does not suffice for one post, the loss is not finite, or a checkpoint cannot be used.
    """
    set_seed(config.seed)
    batcher = Batcher(tagger.config.scheme, [example for example in examples if example.post.words], pad)
    world = World.connect()
    trainer = TaggerTrainer(tagger, batcher, config, workdir, world)
    checkpoint = workdir.newest_checkpoint()
    log = TrainingLog(workdir.log, is_silent=not world.is_main)
    log.rewind(checkpoint.progress.step if checkpoint else 0)
    if checkpoint:
        trainer.resume_from(checkpoint)
        logger.info(f"resuming from {checkpoint.progress}")
        log.write("resume", checkpoint.progress.step, {})
    trainer.add_callback(TrainingCallback(trainer, dev, log))
    if len(trainer.history) < config.epochs and not should_stop(trainer.history, config.patience):
        trainer.train(resume_from_checkpoint=str(checkpoint.folder) if checkpoint else None)
    return trainer.history


class TrainingCallback(TrainerCallback):
    """Logs updates, scores epochs on the dev posts, saves the best epoch, and requests checkpoints."""

    def __init__(self, trainer: TaggerTrainer, dev: Sequence[EncodedPost], log: TrainingLog) -> None:
        self.trainer, self.dev, self.workdir, self.log = trainer, dev, trainer.workdir, log
        self.last_time = self.first_update = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Log an update, and request a checkpoint at the configured interval."""
        trainer, step, every = self.trainer, state.global_step, self.workdir.checkpoint_every
        now = time.monotonic()
        learning_rate = float(trainer.schedule.get_last_lr()[0])
        values = {
            **trainer.last_losses,
            "learning_rate": learning_rate,
            "micro_batch": trainer.micro_batch,
            "seconds": round(now - self.last_time, 3),
        }
        self.log.write("update", step, values)
        self._show_progress(step, now)
        self.last_time = now
        if self.workdir.report_to and step % REPORT_EVERY == 0:
            trainer.log({**trainer.last_losses, "learning_rate": learning_rate})
        # The checkpoint at the end of an epoch is saved later, with the epoch's scores.
        is_epoch_end = step % trainer.steps_per_epoch == 0
        control.should_save = bool(every and not is_epoch_end and step % every == 0)

    def _show_progress(self, step: int, now: float) -> None:
        """Show how many updates of the epoch are done, and how long the others will take."""
        total = self.trainer.steps_per_epoch
        done = (step - 1) % total + 1
        if done == 1:
            self.first_update = now
        seconds = (now - self.first_update) * (total - done) / (done - 1) if done > 1 else 0.0
        left = f", {seconds:.0f} s left" if seconds else ""
        show_activity(f"epoch {len(self.trainer.history) + 1}: {done} of {total} updates{left}")

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Score an epoch, save its weights if it is the best, and stop if no better one comes."""
        config, history = self.trainer.config, self.trainer.history
        with activity(f"epoch {len(history) + 1}: scoring the dev posts"):
            epoch = self._score_epoch()
        history.append(epoch)
        if self.trainer.world.is_main and best_epoch(history) == len(history) - 1:
            folder = self.workdir.model(epoch.epoch)
            with convert_save_errors():
                self.trainer.tagger.save_pretrained(folder)
            sync_files(folder)
        self.log.write("epoch", state.global_step, epoch.model_dump())
        if self.workdir.report_to:
            f1 = {"dev_f1_text": epoch.text_f1, "dev_f1_text_image": epoch.context_f1}
            self.trainer.log({**f1, "epoch_loss": epoch.loss})
        logger.info(
            f"epoch {epoch.epoch} of {config.epochs}: loss {epoch.loss:.2f}, "
            f"dev F1 T {100 * epoch.text_f1:.2f}, I+T {100 * epoch.context_f1:.2f}"
        )
        control.should_save = True
        if should_stop(history, config.patience) and len(history) < config.epochs:
            logger.info(f"stopping early: epoch {best_epoch(history) + 1} is the best")
            control.should_training_stop = True
        self.last_time = time.monotonic()

    def _score_epoch(self) -> EpochScore:
        """Score both views of the dev posts in the main process, which broadcasts the scores."""
        trainer = self.trainer
        f1 = (0.0, 0.0)
        if trainer.world.is_main:
            predictions = predict_views(TorchRuntime(trainer.tagger), self.dev, trainer.batcher.pad)
            text, context = score_views(self.dev, predictions)
            f1 = (text.micro.f1, context.micro.f1)
        text_f1, context_f1 = trainer.world.broadcast(f1)
        number = len(trainer.history) + 1
        return EpochScore(epoch=number, **trainer.epoch_means(), text_f1=text_f1, context_f1=context_f1)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Remove the weights of all epochs but the best, once a checkpoint is saved."""
        history = self.trainer.history
        if history and self.trainer.world.is_main:
            best = self.workdir.model(best_epoch(history) + 1)
            remove_others(best.parent, best.name)

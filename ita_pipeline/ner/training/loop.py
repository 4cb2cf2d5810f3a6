"""Train a tagger on both views, keep the epoch with the best mean of both dev scores, and resume if interrupted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ita_pipeline.ner.config import TrainingConfig
from ita_pipeline.ner.training.batching import Batcher
from ita_pipeline.ner.training.distributed import World
from ita_pipeline.ner.training.history import EpochScore, should_stop
from ita_pipeline.ner.training.loggers import TrainingLog
from ita_pipeline.ner.training.workdir import Workdir
from ita_pipeline.ner.views import EncodedPost

if TYPE_CHECKING:
    from ita_pipeline.ner.tagger import Tagger

logger = logging.getLogger(__name__)


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
    from transformers import set_seed

    from ita_pipeline.ner.training.callback import TrainingCallback
    from ita_pipeline.ner.training.trainer import TaggerTrainer

    set_seed(config.seed)
    batcher = Batcher(tagger.config.scheme, [example for example in examples if example.post.words], pad)
    world = World.connect()
    trainer = TaggerTrainer(tagger, batcher, config, workdir, world)
    checkpoint = workdir.checkpoints.newest()
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

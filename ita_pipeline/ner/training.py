"""Training on `transformers.Trainer`: both views in one batch, the best epoch by the mean of both dev scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.ner.alignment import ObjectiveConfig
from ita_pipeline.ner.encoding import View, ViewEncoder, collate, word_mask
from ita_pipeline.ner.prediction import Scored, tag_views
from ita_pipeline.ner.scoring import Scores, score
from stages.base import Frozen

if TYPE_CHECKING:
    from torch import Tensor

    from ita_pipeline.ner.tagger import Tagger

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class TrainingConfig(Frozen):
    """Settings of a run; all of them are part of the run's key."""

    epochs: Count = 10
    batch_size: Count = 1
    accumulation: Count = 4
    learning_rate: Positive = 5e-6
    linear_learning_rate: Positive = 5e-6
    crf_learning_rate: Positive = 0.05
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip: Positive = 5.0
    word_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    max_length: Annotated[int, Field(ge=16)] = 512
    seed: Annotated[int, Field(ge=0)] = 1
    objective: ObjectiveConfig = ObjectiveConfig()


@dataclass(frozen=True, slots=True)
class Example:
    """A post with both views; `context` is None where its picture said nothing."""

    post: Post
    text: View
    context: View | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Mentions of every post in both views; where there is no context, I+T is T."""

    text: list[list[Scored]]
    context: list[list[Scored]]


class EpochScore(Frozen):
    """One line of the training history; the loss and its parts are means over the epoch's batches.

    `alignment` is the divergence KL(I+T ‖ T), which is zero where both views agree.
    """

    epoch: int
    loss: float
    nll_text: float
    nll_context: float
    alignment: float
    text_f1: float
    context_f1: float

    @property
    def mean_f1(self) -> float:
        return (self.text_f1 + self.context_f1) / 2


def lay_out(posts: Iterable[tuple[Post, tuple[str, ...]]], encoder: ViewEncoder) -> list[Example]:
    """Both views of each post, given with the contexts of its picture."""
    return [
        Example(post, encoder.encode(post.words), encoder.encode(post.words, texts) if texts else None)
        for post, texts in posts
    ]


def evaluate(tagger: Tagger, examples: Sequence[Example], pad: int) -> Outcome:
    text = tag_views(tagger, [example.text for example in examples], pad)
    with_context = [index for index, example in enumerate(examples) if example.context is not None]
    views = [example.context for example in examples if example.context is not None]
    context = list(text)
    for index, mentions in zip(with_context, tag_views(tagger, views, pad), strict=True):
        context[index] = mentions
    return Outcome(text, context)


def both_scores(examples: Sequence[Example], outcome: Outcome) -> tuple[Scores, Scores]:
    """Scores of T and of I+T."""
    gold: list[Sequence[Span]] = [example.post.gold or () for example in examples]
    views = (outcome.text, outcome.context)
    text, context = (score(gold, [[m.span for m in found] for found in view]) for view in views)
    return text, context


def best_epoch(history: Sequence[EpochScore]) -> int:
    """Index of the epoch with the best mean of both views; of equal ones the later, as the reference does."""
    return max(range(len(history)), key=lambda index: (history[index].mean_f1, index))


class Batcher:
    """Makes a batch of training examples, given by their numbers."""

    def __init__(self, tagger: Tagger, examples: Sequence[Example], pad: int) -> None:
        self.scheme, self.examples, self.pad = tagger.config.scheme, examples, pad

    def __call__(self, rows: Sequence[Mapping[str, int]]) -> dict[str, Any]:
        import torch

        examples = [self.examples[row["example"]] for row in rows]
        mask = word_mask([len(example.post.words) for example in examples])
        tags = torch.zeros(mask.shape, dtype=torch.long)
        for number, example in enumerate(examples):
            encoded = self.scheme.encode(example.post.gold or (), len(example.post.words))
            tags[number, : len(encoded)] = torch.tensor(encoded)
        contexts = [example.context for example in examples if example.context is not None]
        return {
            "text": collate([example.text for example in examples], self.pad),
            "context": collate(contexts, self.pad) if contexts else None,
            "with_context": torch.tensor([example.context is not None for example in examples]),
            "tags": tags,
            "mask": mask,
        }


def train(
    tagger: Tagger,
    examples: Sequence[Example],
    dev: Sequence[Example],
    config: TrainingConfig,
    pad: int,
    folder: Path,
    tell: Callable[[EpochScore], None],
) -> list[EpochScore]:
    """Train, and leave the best epoch's weights in `folder`.

    Posts without words are left out. Returns the history, one entry an epoch.
    """
    from datasets import Dataset
    from transformers import PrinterCallback, Trainer, TrainerCallback, set_seed

    history: list[EpochScore] = []
    losses: list[dict[str, Tensor]] = []
    usable = [example for example in examples if example.post.words]

    class KeepBest(TrainerCallback):
        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            text, context = both_scores(dev, evaluate(tagger, dev, pad))
            epoch = EpochScore(
                epoch=len(history) + 1,
                **{name: mean(losses, name) for name in ("loss", "nll_text", "nll_context", "alignment")},
                text_f1=text.micro.f1,
                context_f1=context.micro.f1,
            )
            losses.clear()
            history.append(epoch)
            if best_epoch(history) == len(history) - 1:
                tagger.save_pretrained(folder)
            tagger.train()
            tell(epoch)

    class TaggerTrainer(Trainer):
        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            outputs = model(**inputs)
            losses.append({name: part.detach() for name, part in outputs.items()})
            return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

        def create_optimizer(self, model: Any = None) -> Any:
            import torch

            if self.optimizer is None:
                groups = parameter_groups(tagger, config)
                self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-6, fused=True)
            return self.optimizer

    set_seed(config.seed)
    trainer = TaggerTrainer(
        model=tagger,
        args=training_arguments(config, folder, len(usable)),
        train_dataset=Dataset.from_dict(
            {"example": list(range(len(usable))), "length": [length(example) for example in usable]}
        ),
        data_collator=Batcher(tagger, usable, pad),
        callbacks=[KeepBest()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return history


def training_arguments(config: TrainingConfig, folder: Path, posts: int) -> Any:
    """The Trainer's own settings: ITA's schedule, batches of like length, and none of its files or logs."""
    from transformers import TrainingArguments

    class OneDevice(TrainingArguments):
        # Words are found by their place in the whole batch, so a batch cannot be scattered over devices.
        @property
        def n_gpu(self) -> int:
            return 1

    updates = math.ceil(posts / config.batch_size / config.accumulation) * config.epochs
    return OneDevice(
        output_dir=str(folder),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulation,
        lr_scheduler_type="linear",
        warmup_steps=round(config.warmup * updates),
        max_grad_norm=config.clip,
        seed=config.seed,
        train_sampling_strategy="group_by_length",
        length_column_name="length",
        remove_unused_columns=False,
        logging_strategy="no",
        dataloader_pin_memory=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def mean(losses: Sequence[Mapping[str, Tensor]], name: str) -> float:
    values = [float(parts[name]) for parts in losses if name in parts]
    return sum(values) / len(values) if values else 0.0


def length(example: Example) -> int:
    """Sub-tokens of both views, by which batches are grouped."""
    views = [example.text, *([example.context] if example.context else [])]
    return sum(len(row) for view in views for row in view.rows)


def parameter_groups(tagger: Tagger, config: TrainingConfig) -> list[dict[str, Any]]:
    """ITA's rates: one for the encoder, one for the linear layer, a far higher one for the CRF's transitions."""
    rates = {"linear.": config.linear_learning_rate, "crf.": config.crf_learning_rate}
    groups: dict[float, list[Tensor]] = {}
    for name, parameter in tagger.named_parameters():
        rate = next((rate for prefix, rate in rates.items() if name.startswith(prefix)), config.learning_rate)
        groups.setdefault(rate, []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": config.weight_decay}
        for rate, parameters in groups.items()
    ]

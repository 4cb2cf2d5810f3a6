"""Settings of training and of its objective."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.base import Frozen

RuntimeName = Literal["auto", "onnx", "onnx-int8", "torch"]
"""What computes a tagger; see `ita_pipeline.ner.runtimes`."""

Positive = Annotated[float, Field(gt=0)]

Count = Annotated[int, Field(ge=1)]

# Names of objectives: as configured, both likelihoods without alignment, or I+T alone.
Objective = Literal["aligned", "both", "none"]

Weight = Annotated[float, Field(ge=0)]


class ObjectiveConfig(Frozen):
    """Weights of the objective.

    `text` and `context` weigh the negative log-likelihoods of the views T and I+T, `alignment` the divergence
    between them. `temperature` divides the log-marginals (ITA: 4, 2, 4 on Twitter-15, -17, SNAP).
    """

    text: Weight = 1.0
    context: Weight = 0.5
    alignment: Weight = 0.5
    temperature: Positive = 4.0

    def count_views(self, has_context: bool) -> int:
        """The number of views of a post that are trained, by which the reference code averages the loss."""
        if not has_context:
            return 1
        return max(1, bool(self.text) + bool(self.context or self.alignment))

    def without_alignment(self) -> ObjectiveConfig:
        """The objective of ITA's runs without cross-view alignment, which train on I+T alone."""
        return ObjectiveConfig(text=0.0, context=1.0, alignment=0.0, temperature=self.temperature)

    def with_both_likelihoods(self) -> ObjectiveConfig:
        """This objective without its alignment term: what learning from both views does alone.

        A view whose likelihood has no weight gets the weight 1.
        """
        return self.model_copy(update={"text": self.text or 1.0, "context": self.context or 1.0, "alignment": 0.0})


class TrainingConfig(Frozen):
    """Settings of a training. All of them are part of the run's key.

    An update uses `batch_size` × `accumulation` posts, of which `batch_size` are in memory at once, or fewer if
    memory does not suffice. With `patience`, training stops when the best epoch is that many epochs old.
    `word_shapes` feeds the encoder word shapes (`ner.word_shapes`), by default if its tokenizer drops capitals.
    With the `precision` bf16 the encoder computes in bfloat16 during training; weights, CRF and scoring stay in
    fp32.
    """

    epochs: Count = 10
    batch_size: Count = 1
    accumulation: Count = 4
    learning_rate: Positive = 5e-6
    linear_learning_rate: Positive = 5e-6
    crf_learning_rate: Positive = 0.05
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: Weight = 0.0
    clip: Positive = 5.0
    word_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    max_length: Annotated[int, Field(ge=16)] = 512
    word_shapes: bool | None = None
    patience: Annotated[int, Field(ge=0)] = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    objective: ObjectiveConfig = ObjectiveConfig()

    @property
    def posts_per_update(self) -> int:
        """The number of posts in an update."""
        return self.batch_size * self.accumulation

"""The tagger of ITA: encoder, first sub-token of each word, word dropout, one linear layer, CRF.

The training objective has the likelihoods of both views, and cross-view alignment between them (Wang et al., NAACL
2022). Its weights are configuration; the defaults are those of the reference code, which differ from the paper's
1 : 1 : 1 (Alibaba-NLP/KB-NER at d4a4a7f, flair/trainers/finetune_trainer.py and
flair/models/sequence_tagger_model.py).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel, initialization

from ita_pipeline.ner.config import ObjectiveConfig
from ita_pipeline.ner.crf import LinearChainCRF
from ita_pipeline.ner.tags import TagScheme
from ita_pipeline.ner.word_shapes import WordShape


class TaggerConfig(PreTrainedConfig):
    """Configuration of a tagger. `encoder` is the encoder's complete configuration."""

    model_type = "ita_tagger"

    encoder: dict[str, Any] | None = None
    types: list[str] | None = None
    word_dropout: float = 0.1
    max_length: int = 512
    word_shapes: bool = False

    @property
    def scheme(self) -> TagScheme:
        """The tag scheme of these types."""
        return TagScheme(tuple(self.types or ()))


class Tagger(PreTrainedModel):
    """A tagger, saved and loaded as any Hugging Face model: `Tagger.from_pretrained(folder)`."""

    config_class = TaggerConfig
    base_model_prefix = "encoder"

    def __init__(self, config: TaggerConfig, objective: ObjectiveConfig | None = None) -> None:
        super().__init__(config)
        encoder = dict(config.encoder or {})
        self.objective = objective or ObjectiveConfig()
        self.encoder = AutoModel.from_config(AutoConfig.for_model(encoder.pop("model_type"), **encoder))
        size = self.encoder.get_input_embeddings().weight.shape[1]
        self.shapes = nn.Embedding(len(WordShape), size, padding_idx=WordShape.NONE) if config.word_shapes else None
        self.linear = nn.Linear(self.encoder.config.hidden_size, len(config.scheme.labels))
        self.crf = _create_crf(config.scheme)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Embedding) and module is self.shapes:
            # The encoder starts as it was pretrained, and learns what capitals mean.
            initialization.zeros_(module.weight)
        if isinstance(module, LinearChainCRF):
            for parameter in module.parameters():
                initialization.zeros_(parameter)
            for name, buffer in _create_crf(self.config.scheme).named_buffers():
                initialization.copy_(getattr(module, name), buffer)

    def emissions(
        self, input_ids: Tensor, attention_mask: Tensor, positions: Tensor, shapes: Tensor | None = None
    ) -> Tensor:
        """Scores of every tag for every word, (B, L, K), from a batch of `collate`."""
        if self.shapes is None or shapes is None:
            inputs = {"input_ids": input_ids}
        else:
            inputs = {"inputs_embeds": self.encoder.get_input_embeddings()(input_ids) + self.shapes(shapes)}
        hidden = self.encoder(**inputs, attention_mask=attention_mask).last_hidden_state
        words = hidden.reshape(-1, hidden.shape[-1])[positions.clamp(min=0)]
        words = words * (positions >= 0)[:, :, None]
        if self.training and self.config.word_dropout:
            # Complete word vectors are set to zero and the others are not scaled up, as in the reference code.
            kept = torch.rand(positions.shape, device=positions.device) >= self.config.word_dropout
            words = words * kept[:, :, None]
        return self.linear(words)

    def forward(
        self,
        text: dict[str, Tensor],
        context: dict[str, Tensor] | None,
        with_context: Tensor,
        tags: Tensor,
        mask: Tensor,
    ) -> dict[str, Tensor]:
        """The objective of a batch of B tweets, summed over words and divided by B.

        `text` is the view T of all tweets. `context` is the view I+T of the tweets that `with_context` (B,) marks.
        `tags` and `mask` are (B, L). A tweet without contexts has its view T alone, with weight 1. The terms of the
        `loss` are returned for the training history.
        """
        goal, size = self.objective, len(tags)
        text_weight = torch.where(with_context, goal.text, 1.0)
        total, student = text_weight.new_zeros(()), None
        terms: dict[str, Tensor] = {}
        aligned = bool(goal.alignment) and context is not None
        if aligned or bool((text_weight > 0).any()):
            loss, student = self.view_loss(text, tags, mask, aligned)
            total = total + (text_weight * loss).sum() / size
            terms["nll_text"] = loss.detach().sum() / size
        if context is not None:
            rows, length = with_context.nonzero().squeeze(1), context["positions"].shape[1]
            context_mask = mask[rows, :length]
            loss, teacher = self.view_loss(context, tags[rows, :length], context_mask, aligned)
            total = total + goal.context * loss.sum() / size
            terms["nll_context"] = loss.detach().sum() / size
            if student is not None and teacher is not None:
                divergence = alignment_loss(student[rows, :length], teacher, context_mask, goal.temperature)
                mean_divergence = divergence.sum() / size
                total = total + goal.alignment * mean_divergence
                terms["alignment"] = mean_divergence.detach()
        return {"loss": total, **terms}

    def view_loss(
        self, view: dict[str, Tensor], tags: Tensor, mask: Tensor, aligned: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Negative log-likelihood of each tweet (B,), and if they are aligned, log-marginals (B, L, K)."""
        emissions = self.emissions(**view)
        log_z, log_marginals = self.crf.log_marginals(emissions, mask) if aligned else (None, None)
        return -self.crf.log_likelihood(emissions, tags, mask, log_z), log_marginals


def alignment_loss(student: Tensor, teacher: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """τ² · Σ over words of KL(teacher ‖ student), per sentence, (B,).

    Both are log-marginals (B, L, K), normalised or not, of the same words: `student` of T, `teacher` of I+T.
    Each is divided by the temperature and normalised again; no gradient reaches the teacher.
    """
    p = (student / temperature).log_softmax(dim=2)
    q = (teacher.detach() / temperature).log_softmax(dim=2)
    divergence = (q.exp() * (q - p)).sum(dim=2)
    return temperature**2 * divergence.masked_fill(~mask, 0).sum(dim=1)


def _create_crf(scheme: TagScheme) -> LinearChainCRF:
    return LinearChainCRF(len(scheme.labels), scheme.may_follow(), scheme.may_start(), scheme.may_end())


def new_tagger(
    encoder: Any,
    types: tuple[str, ...],
    word_dropout: float,
    max_length: int,
    objective: ObjectiveConfig,
    word_shapes: bool = False,
) -> Tagger:
    """Create a tagger from a pretrained encoder, with a new linear layer, CRF and word shapes."""
    config = TaggerConfig(
        encoder=encoder.config.to_dict(),
        types=list(types),
        word_dropout=word_dropout,
        max_length=max_length,
        word_shapes=word_shapes,
    )
    tagger = Tagger(config, objective)
    tagger.encoder = encoder
    return tagger


# The Auto classes, including that of the tokenizer, then recognize a saved run by its `config.json`.
AutoConfig.register(TaggerConfig.model_type, TaggerConfig, exist_ok=True)

AutoModel.register(TaggerConfig, Tagger, exist_ok=True)

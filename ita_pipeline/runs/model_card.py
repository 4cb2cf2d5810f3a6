"""Model card of an exported run: its use, scores, inputs and limits, from `templates/model_card.md`."""

from __future__ import annotations

import re

import yaml

from ita_pipeline.extraction.presets import list_models
from ita_pipeline.ner.metrics.scores import Score
from ita_pipeline.runs.run import RunRecord, RunScores

DIGEST_LENGTH = 12


def model_card(record: RunRecord, scores: RunScores) -> str:
    """Return the card as Markdown with the front matter that model hubs read."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ita_pipeline.runs"),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"escaped": escape_markdown, "percent": _percent, "percents": _percents}

    def component_digest(component: str, split: str) -> str:
        return str(record.components.get(component, {}).get(split, "unknown"))[:DIGEST_LENGTH]

    return environment.get_template("model_card.md").render(
        header=_front_matter(record, scores),
        record=record,
        scores=scores,
        digests=component_digest,
        training=yaml.safe_dump(record.training.model_dump(mode="json"), sort_keys=False),
        models=sorted(set(list_models(record.stages))),
    )


def _front_matter(record: RunRecord, scores: RunScores) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    test = scores.splits["test"]
    results = [
        EvalResult(
            task_type="token-classification",
            task_name="named entity recognition",
            dataset_type=record.dataset,
            dataset_name=record.dataset,
            dataset_split="test",
            metric_type="f1",
            metric_name=f"F1, {view}",
            metric_value=round(view_scores.micro.f1, 4),
        )
        for view, view_scores in (("text", test.text), ("text and picture", test.text_and_image))
    ]
    is_hub_name = "/" in record.encoder and not record.encoder.startswith((".", "/", "~"))
    return ModelCardData(
        library_name="ita-pipeline",
        pipeline_tag="token-classification",
        tags=["named-entity-recognition", "multimodal", "tweets", "crf"],
        base_model=record.encoder.partition("@")[0] if is_hub_name else None,
        model_name=f"{record.dataset} {record.key[:DIGEST_LENGTH]}",
        eval_results=results,
    ).to_yaml()


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _percents(score: Score) -> str:
    """Return the cells of precision, recall and F1."""
    return " | ".join(map(_percent, (score.precision, score.recall, score.f1)))


def escape_markdown(text: str) -> str:
    """Escape all markup, so that Markdown shows the text literally on one line."""
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", " ".join(text.split()))

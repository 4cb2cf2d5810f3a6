"""Responses of `POST /predict`, which are its OpenAPI description too."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ita_pipeline.corpus.posts import Box
from ita_pipeline.reports.findings import Findings
from ita_pipeline.reports.posts import PageExplanation
from stages.base import Frozen


def _is_unknown(value: object) -> bool:
    return value is None


class PredictedMention(Frozen):
    """A mention: characters from `start` up to, not including, `end`, counted in code points of `text`."""

    start: int
    end: int
    text: str
    type: str
    score: float = Field(description="the probability that the CRF gives to exactly this span and type, in 0..1")
    visible: float | None = Field(
        default=None,
        exclude_if=_is_unknown,
        description="with a grounder, the probability that the picture shows it",
    )
    boxes: tuple[Box, ...] | None = Field(
        default=None, exclude_if=_is_unknown, description="where the picture shows it, as xyxy in pixels"
    )
    why: str | None = Field(default=None, exclude_if=_is_unknown, description="the strongest evidence")


class Views(Frozen):
    """The mentions of both views. T reads the text alone, I+T also what was found in the picture."""

    text: tuple[PredictedMention, ...]
    text_and_image: tuple[PredictedMention, ...] | None = Field(
        serialization_alias="text+image", description="null without a picture"
    )


class PredictResponse(Frozen):
    """The mentions that a run finds in a post. `text` is the post with U+FFFD for each half of a character."""

    format: Literal["ita.answer/1"] = Field(default="ita.answer/1", serialization_alias="schema")
    text: str
    views: Views
    contexts: tuple[str, ...] = Field(description="the contexts appended to the text for I+T, in order")
    context_names: tuple[str, ...] = Field(description="the name of each of these contexts")
    found: Findings | None = Field(
        description="everything that the stages found in the picture; boxes are xyxy in pixels"
    )
    explanation: PageExplanation | None = Field(
        default=None, description="if asked for: the probabilities of mentions without each part of the contexts"
    )
    notes: tuple[str, ...] = Field(description="remarks on the reliability of the response")
    seconds: float


class ErrorResponse(Frozen):
    """The reason why a request failed, in a sentence."""

    format: Literal["ita.problem/1"] = Field(default="ita.problem/1", serialization_alias="schema")
    error: str

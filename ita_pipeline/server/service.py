"""Prediction service of the demo: findings in one picture and the mentions of both views."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import BinaryIO

from ita_pipeline.cache.keys import stage_keys
from ita_pipeline.corpus.contexts import render
from ita_pipeline.corpus.posts import Post
from ita_pipeline.extraction.contexts import Results
from ita_pipeline.extraction.options import require_consent
from ita_pipeline.reports.findings import collect_findings
from ita_pipeline.runs.predictions import Mention
from ita_pipeline.runs.predictor import Predictor
from ita_pipeline.server.schemas import PredictedMention, PredictResponse, Views
from ita_pipeline.server.stage_workers import StageWorkers
from ita_pipeline.sources.decode import find_image_problem
from ita_pipeline.sources.local import LocalFile, hash_file
from ita_pipeline.sources.refs import ImageRef
from stages.base import Failure, Subject


class RejectedPostError(Exception):
    """The post cannot be read; the message is the reason."""


class PredictionService:
    """A run in use by one thread at a time."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.config = predictor.record.contexts
        image_stages = [stage for stage in predictor.stages if stage.subject is Subject.PICTURE]
        self.stage_workers = StageWorkers(image_stages, predictor.limits)
        self._skipped = [stage.name for stage in predictor.stages if stage not in image_stages]
        self._folder = tempfile.TemporaryDirectory(prefix="ita-demo-")

    def open(self) -> None:
        """Load all models, so that the first prediction is as fast as the others.

        Raises:
            StageError: a model or tool is missing.
            UsageError: a stage sends pictures to another machine without consent.
        """
        stages = self.stage_workers.stages
        for stage in stages:
            require_consent(stage, "all", self.predictor.consent, self.predictor.confirm)
        self.predictor.note_stage_changes(stage_keys(stages))
        self.stage_workers.open()
        self.predictor.tag([(Post.from_text("ready"), ())])

    def close(self) -> None:
        """Stop all stages and remove temporary files."""
        self.stage_workers.close()
        self._folder.cleanup()

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on how predictions differ from those of `ita predict` or of training."""
        skipped = [f"{name} is not asked here, so mentions are found without it" for name in self._skipped]
        return (*skipped, *self.predictor.notes)

    def predict(self, text: str, picture: BinaryIO | None) -> PredictResponse:
        """Find the mentions of a post in both views.

        Raises:
            RejectedPostError: the post has neither text nor picture, or the picture cannot be read.
            StageError: a stage cannot work at all.
        """
        start = time.perf_counter()
        post = Post.from_text(text)
        if picture is None and not post.words:
            raise RejectedPostError("there is neither a text nor a picture")
        results = self._read_picture(picture) if picture is not None else {}
        contexts = render(results, self.config)
        text_mentions, both_mentions = self.predictor.tag([(post, ()), (post, contexts)])
        return PredictResponse(
            text=post.text,
            views=Views(
                text=_to_schema(text_mentions),
                text_and_image=_to_schema(both_mentions) if picture is not None else None,
            ),
            contexts=contexts,
            found=collect_findings(results, self.config, ()) if picture is not None else None,
            notes=self.notes,
            seconds=round(time.perf_counter() - start, 3),
        )

    def _read_picture(self, picture: BinaryIO) -> Results:
        """Run the stages on a picture, which is a temporary file meanwhile."""
        with tempfile.NamedTemporaryFile(dir=self._folder.name) as file:
            shutil.copyfileobj(picture, file)
            file.flush()
            path = Path(file.name)
            problem = find_image_problem(path, self.predictor.limits.megapixels * 1_000_000)
            if problem:
                raise RejectedPostError(f"the picture cannot be read: {problem}")
            results = self.stage_workers.run(ImageRef(hash_file(path), LocalFile(path)))
        failures = [result for result in results.values() if isinstance(result, Failure)]
        if failures and len(failures) == len(results):
            raise RejectedPostError(f"the picture cannot be read: {failures[0].reason}")
        return results


def _to_schema(mentions: tuple[Mention, ...]) -> tuple[PredictedMention, ...]:
    return tuple(PredictedMention.model_validate(mention.to_json()) for mention in mentions)

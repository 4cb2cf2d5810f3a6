"""Answers one post at a time: what is found in its picture, and the mentions of both views."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ita_pipeline.cache.plan import stage_keys
from ita_pipeline.corpus.contexts import render
from ita_pipeline.corpus.posts import Post
from ita_pipeline.extraction.consent import allow_sending
from ita_pipeline.extraction.contexts import Results
from ita_pipeline.reports.findings import findings
from ita_pipeline.runs.predictions import Mention
from ita_pipeline.runs.predictor import Predictor
from ita_pipeline.server.schemas import Answer, FoundMention, Views
from ita_pipeline.server.stage_workers import Eyes
from ita_pipeline.sources.decode import peek
from ita_pipeline.sources.local import LocalFile, file_digest
from ita_pipeline.sources.refs import ImageRef
from stages.base import Failure, Subject

MILLION = 1_000_000


class RefusedError(Exception):
    """What was asked cannot be answered, for the reason told."""


class Service:
    """A run at work. It belongs to one thread at a time."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.config = predictor.record.contexts
        looking = [stage for stage in predictor.stages if stage.subject is Subject.PICTURE]
        self.eyes = Eyes(looking, predictor.limits)
        self.left_out = [stage.name for stage in predictor.stages if stage not in looking]
        self.folder = tempfile.TemporaryDirectory(prefix="ita-demo-")

    def open(self) -> None:
        """Make everything ready, so that the first answer takes no longer than the others.

        Raises:
            StageError: a model or tool that a stage needs is missing.
            UsageError: a stage sends pictures to another machine, and nobody agreed to that.
        """
        for stage in self.eyes.stages:
            allow_sending(stage, "all", self.predictor.consent, self.predictor.confirm)
        self.predictor.note_stage_changes(stage_keys(self.eyes.stages))
        self.eyes.open()
        self.predictor.tag([(Post.from_text("ready"), ())])

    def close(self) -> None:
        self.eyes.close()
        self.folder.cleanup()

    @property
    def notes(self) -> tuple[str, ...]:
        left_out = [f"{name} is not asked here, so mentions are found without it" for name in self.left_out]
        return (*left_out, *self.predictor.notes)

    def answer(self, text: str, picture: BinaryIO | None) -> Answer:
        """
        Raises:
            RefusedError: there is neither text nor picture, or the picture cannot be read.
            StageError: a stage cannot work at all.
        """
        began = time.perf_counter()
        post = Post.from_text(text)
        if picture is None and not post.words:
            raise RefusedError("there is neither a text nor a picture")
        results = self.seen(picture) if picture is not None else {}
        contexts = render(results, self.config)
        alone, both = self.predictor.tag([(post, ()), (post, contexts)])
        return Answer(
            text=post.text,
            views=Views(text=as_found(alone), text_and_image=as_found(both) if picture is not None else None),
            contexts=contexts,
            found=findings(results, self.config, ()) if picture is not None else None,
            notes=self.notes,
            seconds=round(time.perf_counter() - began, 3),
        )

    def seen(self, picture: BinaryIO) -> Results:
        """What the stages say of a picture; of one that none of them could read there is nothing to say."""
        with self.kept(picture) as path:
            problem = peek(path, self.predictor.limits.megapixels * MILLION)
            if problem:
                raise RefusedError(f"the picture cannot be read: {problem}")
            results = self.eyes.look(ImageRef(file_digest(path), LocalFile(path)))
        failures = [result for result in results.values() if isinstance(result, Failure)]
        if failures and len(failures) == len(results):
            raise RefusedError(f"the picture cannot be read: {failures[0].reason}")
        return results

    @contextmanager
    def kept(self, picture: BinaryIO) -> Iterator[Path]:
        """A picture as a file of our own, for as long as it is looked at."""
        with tempfile.NamedTemporaryFile(dir=self.folder.name) as file:
            shutil.copyfileobj(picture, file)
            file.flush()
            yield Path(file.name)


def as_found(mentions: tuple[Mention, ...]) -> tuple[FoundMention, ...]:
    return tuple(
        FoundMention(start=m.start, end=m.end, text=m.text, type=m.type, score=round(m.score, 4)) for m in mentions
    )

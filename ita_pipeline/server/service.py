"""Prediction service of the demo: findings in one picture and the mentions of both views."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from ita_pipeline.cache.keys import sort_stages, stage_keys
from ita_pipeline.corpus.contexts import join_named_pieces, list_pieces
from ita_pipeline.corpus.posts import Picture, Post
from ita_pipeline.engines.batches import prepare_batch
from ita_pipeline.engines.executor import Limits
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.extraction.contexts import Results
from ita_pipeline.grounding.evidence import Evidence
from ita_pipeline.ner.prediction import BATCH_SIZE, TaggedView
from ita_pipeline.reports.explanations import character_place, format_explanation
from ita_pipeline.reports.findings import collect_findings
from ita_pipeline.runs.explanation import ExplanationInput, explain_posts
from ita_pipeline.runs.grounding import spans_of
from ita_pipeline.runs.predictions import Mention
from ita_pipeline.runs.predictor import Predictor
from ita_pipeline.runs.queries import MentionSearch
from ita_pipeline.server.schemas import PredictedMention, PredictResponse, Views
from ita_pipeline.sources.decode import find_image_problem
from ita_pipeline.sources.local import LocalFile, hash_file
from ita_pipeline.sources.refs import ImageRef
from stages.base import Failure, FailureKind, Postponed, Stage, Subject, Value

TaggedPost = tuple[Post, tuple[str, ...]]
Mentions = tuple[Mention, ...]

Piece = tuple[str, int]
"""The name of a context and the position of a piece in it."""


class RejectedPostError(Exception):
    """The post cannot be read; the message is the reason."""


class StageWorkers:
    """One process per stage, so that each keeps its model and a hostile image stops only its own process.

    Results are not written to the workspace's cache, because the image belongs to a visitor. Those of the last
    32 images stay in memory, for further texts about the same image.
    """

    def __init__(self, stages: Sequence[Stage[Any]], limits: Limits) -> None:
        self.stages = sort_stages(stages)
        self._executors = {stage.name: SubprocessExecutor(limits) for stage in stages}
        self._cache: OrderedDict[str, Results] = OrderedDict()

    def open(self) -> None:
        """Start every stage.

        Raises:
            StageError: a model or tool is missing.
        """
        for stage in self.stages:
            self._executors[stage.name].open(stage)

    def close(self) -> None:
        """Stop all processes."""
        for executor in self._executors.values():
            executor.close()

    def run(self, image: ImageRef) -> Results:
        """Run every stage on an image.

        Raises:
            StageError: a stage cannot work at all.
        """
        if image.key in self._cache:
            self._cache.move_to_end(image.key)
            return self._cache[image.key]
        results: dict[str, Value | Failure] = {}
        for stage in self.stages:
            results[stage.name] = self._run_stage(stage, image, results)
        # A failed stage may succeed next time.
        if not any(isinstance(result, Failure) for result in results.values()):
            self._cache[image.key] = results
            if len(self._cache) > 32:
                self._cache.popitem(last=False)
        return results

    def _run_stage(self, stage: Stage[Any], image: ImageRef, results: Results) -> Value | Failure:
        upstream = [(above, {image.key: results[above.name]}) for above in self.stages if above.name in stage.reads]
        batch = prepare_batch(stage, [image], upstream)
        if batch.inherited:
            return batch.inherited[0].failure
        result = self._executors[stage.name].run_task(batch.task).results[0]
        if isinstance(result, Postponed):
            return Failure(kind=FailureKind.TRANSIENT, reason=result.reason)
        return result


class PostBatcher:
    """Tags posts for several threads; those that arrive while others are tagged make up the next batch."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._lock = threading.Lock()
        self.waiting: deque[tuple[Sequence[TaggedPost], Future[list[Mentions]]]] = deque()

    def tag(self, posts: Sequence[TaggedPost]) -> list[Mentions]:
        """Return the mentions of each post, given with its contexts."""
        future: Future[list[Mentions]] = Future()
        self.waiting.append((posts, future))
        with self._lock:
            while not future.done():
                self._tag_batch()
        return future.result()

    def decode(self, posts: Sequence[TaggedPost]) -> list[TaggedView]:
        """Tag posts in a batch of their own, and keep the probabilities of all mentions."""
        with self._lock:
            return self._predictor.decode(posts)

    def _tag_batch(self) -> None:
        batch = [self.waiting.popleft()]
        while self.waiting and sum(len(posts) for posts, _ in batch) < BATCH_SIZE:
            batch.append(self.waiting.popleft())
        try:
            mentions = iter(self._predictor.tag([post for posts, _ in batch for post in posts]))
        except Exception as error:
            for _, future in batch:
                future.set_exception(error)
        else:
            for posts, future in batch:
                future.set_result(list(islice(mentions, len(posts))))


class PredictionService:
    """A run in use by several threads. Pictures are read one at a time, and texts are tagged in batches."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.config = predictor.record.contexts
        image_stages = [stage for stage in predictor.stages if stage.subject is Subject.PICTURE]
        self.stage_workers = StageWorkers(image_stages, predictor.limits)
        self._skipped = [stage.name for stage in predictor.stages if stage not in image_stages]
        self._folder = tempfile.TemporaryDirectory(prefix="ita-demo-")
        self._stage_lock = threading.Lock()
        self.search: MentionSearch | None = None
        self.batcher = PostBatcher(predictor)

    def open(self) -> None:
        """Load all models, so that the first prediction is as fast as the others.

        Raises:
            StageError: a model or tool is missing.
            UsageError: a stage sends pictures to another machine without consent.
        """
        stages = self.stage_workers.stages
        for stage in stages:
            self.predictor.consent.require(stage, "all")
        self.predictor.note_stage_changes(stage_keys(stages))
        self.stage_workers.open()
        if (search := self.predictor.search) is not None:
            self.search = replace(search, executor=SubprocessExecutor(self.predictor.limits))
            for stage in self.search.stages:
                self.search.executor.open(stage)
        self.predictor.tag([(Post.from_text("ready"), ())])

    def close(self) -> None:
        """Stop all stages and remove temporary files."""
        self.stage_workers.close()
        if self.search is not None:
            self.search.executor.close()
        self._folder.cleanup()

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on how predictions differ from those of `ita predict` or of training."""
        skipped = [f"{name} does not run in the demo, so mentions are found without it" for name in self._skipped]
        return (*skipped, *self.predictor.notes)

    def predict(
        self, text: str, picture: BinaryIO | None, without: Collection[Piece] = (), explain: bool = False
    ) -> PredictResponse:
        """Find the mentions of a post in both views.

        The pieces in `without` are not appended. With `explain`, the response has the probabilities without each
        part of the contexts.

        Raises:
            RejectedPostError: the post has neither text nor picture, or the picture cannot be read.
            StageError: a stage cannot work at all.
        """
        start = time.perf_counter()
        post = Post.from_text(text)
        if picture is None and not post.words:
            raise RejectedPostError("the post has neither a text nor a picture")
        with ExitStack() as files:
            image = files.enter_context(self._receive(picture)) if picture is not None else None
            return self._answer(post, image, without, explain, start)

    def _answer(
        self, post: Post, image: ImageRef | None, without: Collection[Piece], explain: bool, start: float
    ) -> PredictResponse:
        results = self._run_stages(image) if image is not None else None
        pieces = list_pieces(results or {}, self.config)
        appended = join_named_pieces(
            (piece for piece in pieces if (piece.context, piece.position) not in without), self.config
        )
        contexts = tuple(text for _, text in appended)
        # Without contexts, I+T equals T.
        views = self.batcher.tag([(post, ()), (post, contexts)] if contexts else [(post, ())])
        if image is not None and results is not None:
            views = self._ground(replace(post, pictures=(Picture("picture"),)), views, image, results)
        response = self._make_response(post, views, start, appended, results)
        if not explain or not pieces:
            return response
        (explanation,) = explain_posts([ExplanationInput(post, pieces)], self.config, self.batcher.decode)
        seconds = round(time.perf_counter() - start, 3)
        update = {"explanation": format_explanation(explanation, character_place), "seconds": seconds}
        return response.model_copy(update=update)

    def _ground(self, post: Post, views: Sequence[Mentions], image: ImageRef, results: Results) -> list[Mentions]:
        """Add to the mentions of each view where the picture shows them."""
        evidence = Evidence.from_results(results)
        if self.search is None:
            return [self.predictor.ground(post, mentions, evidence) for mentions in views]
        spans = [tuple(spans_of(post, mentions)) for mentions in views]
        with self._stage_lock:
            found = {asked: self.search.look(image, post, asked, evidence) for asked in dict.fromkeys(spans)}
        pairs = zip(views, spans, strict=True)
        return [self.predictor.ground(post, mentions, found[asked]) for mentions, asked in pairs]

    def predict_texts(self, texts: Sequence[str]) -> list[PredictResponse]:
        """Find the mentions of posts without pictures.

        Raises:
            RejectedPostError: a text has no words.
        """
        start = time.perf_counter()
        posts = [Post.from_text(text) for text in texts]
        for index, post in enumerate(posts):
            if not post.words:
                raise RejectedPostError(f"{index}: text: the post has no words")
        mentions = self.batcher.tag([(post, ()) for post in posts])
        return [self._make_response(post, [spans], start) for post, spans in zip(posts, mentions, strict=True)]

    def _make_response(
        self,
        post: Post,
        views: Sequence[Mentions],
        start: float,
        contexts: Sequence[tuple[str, str]] = (),
        results: Results | None = None,
    ) -> PredictResponse:
        """Make a response of the mentions in T and, with contexts, in I+T; `results` are those of a picture."""
        return PredictResponse(
            text=post.text,
            views=Views(
                text=_to_schema(views[0]), text_and_image=_to_schema(views[-1]) if results is not None else None
            ),
            contexts=tuple(text for _, text in contexts),
            context_names=tuple(name for name, _ in contexts),
            found=collect_findings(results, self.config, ()) if results is not None else None,
            notes=self.notes,
            seconds=round(time.perf_counter() - start, 3),
        )

    @contextmanager
    def _receive(self, picture: BinaryIO) -> Iterator[ImageRef]:
        """Keep a picture in a temporary file meanwhile."""
        with tempfile.NamedTemporaryFile(dir=self._folder.name) as file:
            shutil.copyfileobj(picture, file)
            file.flush()
            path = Path(file.name)
            with self._stage_lock:
                problem = find_image_problem(path, self.predictor.limits.megapixels * 1_000_000)
            if problem:
                raise RejectedPostError(f"the picture cannot be read: {problem}")
            yield ImageRef(hash_file(path), LocalFile(path))

    def _run_stages(self, image: ImageRef) -> Results:
        """Run the stages on a picture, one picture at a time."""
        with self._stage_lock:
            results = self.stage_workers.run(image)
        failures = [result for result in results.values() if isinstance(result, Failure)]
        if failures and len(failures) == len(results):
            raise RejectedPostError(f"the picture cannot be read: {failures[0].reason}")
        return results


def _to_schema(mentions: Mentions) -> tuple[PredictedMention, ...]:
    return tuple(PredictedMention.model_validate(mention.to_json()) for mention in mentions)

"""What models find when they look at pictures again for the mentions of their posts.

An open-vocabulary detector looks for the words and types of mentions (`grounding.query=mention`), and an image–text
model compares mentions with the objects that were detected (`grounding.similarity`).
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ita_pipeline.cache.keys import digest, stage_keys
from ita_pipeline.cache.store import Store
from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.core.text import format_count
from ita_pipeline.corpus.datasets import Dataset
from ita_pipeline.corpus.posts import Box, Post, Span
from ita_pipeline.engines.executor import Job, Limits, StageJobs
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.extraction.contexts import PostContexts
from ita_pipeline.extraction.items import PostSource, execute_plan, identify_images, plan_images
from ita_pipeline.extraction.presets import Preset
from ita_pipeline.grounding.config import NO_MODEL, GroundingConfig
from ita_pipeline.grounding.evidence import Candidate, Evidence, fold_words, is_person
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef, PostRef
from stages.base import Failure, Stage
from stages.objects.queries import QueriesConfig, QueriesStage
from stages.objects.schema import NANODET, ObjectsValue
from stages.objects.similarity import Comparison, SimilarityConfig, SimilarityStage, SimilarityValue

logger = logging.getLogger(__name__)

# What a detector is asked for beside the words of a mention. Other types are asked for by their own name.
_TYPE_WORDS = {"loc": "building", "location": "building", "org": "logo", "organization": "logo", "misc": "poster"}


def phrase(post: Post, span: Span) -> str:
    """The words of a mention as a query; a full stop would end it for some detectors."""
    words = " ".join(post.words[span.start : span.end]).replace(".", " ").replace("#", " ").replace("@", " ")
    return " ".join(words.split())


def list_queries(post: Post, spans: Iterable[Span]) -> tuple[str, ...]:
    """What to ask for in the picture of a post with these mentions: their words, and their types."""
    queries: dict[str, None] = {}
    for span in spans:
        own_name = span.type.replace("_", " ")
        kind = "person" if is_person(span.type) else _TYPE_WORDS.get(span.type.casefold(), own_name)
        queries |= dict.fromkeys(filter(None, (phrase(post, span), kind)))
    return tuple(queries)


def list_comparison(post: Post, spans: Iterable[Span], evidence: Evidence) -> Comparison:
    """The mentions of a post that are no people, and the boxes of objects that they are compared with.

    Image–text models do not know people by name: which of several people it is would be a guess.
    """
    names = (phrase(post, span) for span in spans if not is_person(span.type))
    boxes = dict.fromkeys(one.box for one in evidence.objects)
    return Comparison(texts=tuple(dict.fromkeys(filter(None, names))), boxes=tuple(boxes))


# Runs a stage for a text about the first picture of each post; an empty text has no result.
_Ask = Callable[[Stage[Any], Sequence[str]], list[object]]


@dataclass(frozen=True)
class MentionSearch:
    """Looks for mentions. Results are cached like those of any stage, by picture and question."""

    config: GroundingConfig
    queries: QueriesStage | None
    similarity: SimilarityStage | None
    store: Store
    executor: SubprocessExecutor

    @classmethod
    def open(
        cls, config: GroundingConfig, objects: Mapping[str, Any], store: Store, executor: SubprocessExecutor
    ) -> MentionSearch:
        """Set up the search, with the detector and the device of these settings of the stage `objects`.

        Raises:
            StageError: the detector cannot look for words, or a model is missing.
        """
        names = ("detector", "detector_revision", "device")
        settings = {name: objects[name] for name in names if name in objects}
        queries = similarity = None
        if config.query != "none":
            queries = QueriesStage(QueriesConfig.model_validate({"detector": NANODET} | settings))
        if config.similarity != NO_MODEL:
            device = {"device": settings["device"]} if "device" in settings else {}
            model = {"model": config.similarity, "model_revision": config.similarity_revision}
            similarity = SimilarityStage(SimilarityConfig.model_validate(model | device))
        search = cls(config, queries, similarity, store, executor)
        for stage in search.stages:
            stage.identity()
        return search

    @property
    def stages(self) -> list[Stage[Any]]:
        """The stages that look."""
        return [stage for stage in (self.queries, self.similarity) if stage is not None]

    @property
    def keys(self) -> dict[str, str]:
        """The keys of the stages that look, for the key of a run."""
        names = {QueriesStage.name: "query", SimilarityStage.name: "similarity"}
        return {names[name]: key.hexdigest for name, key in stage_keys(self.stages).items()}

    def extend(
        self, posts: Sequence[Post], spans: Sequence[Sequence[Span]], evidence: Sequence[Evidence]
    ) -> list[Evidence]:
        """Return the evidence of each post with what is found for its mentions."""
        return self._extend(posts, spans, evidence, functools.partial(self._ask_with_cache, posts))

    def look(self, image: ImageRef, post: Post, spans: Sequence[Span], evidence: Evidence) -> Evidence:
        """Return the evidence with what is found in an image for the mentions of a post, without the cache."""
        (found,) = self._extend([post], [spans], [evidence], functools.partial(self._ask_once, image, post))
        return found

    def _extend(
        self,
        posts: Sequence[Post],
        spans: Sequence[Sequence[Span]],
        evidence: Sequence[Evidence],
        ask: _Ask,
    ) -> list[Evidence]:
        found = list(evidence)
        if self.queries is not None:
            pairs = zip(posts, spans, strict=True)
            results = ask(self.queries, ["\n".join(list_queries(post, mentions)) for post, mentions in pairs])
            found = [one.add(_list_found(result)) for one, result in zip(found, results, strict=True)]
        if self.similarity is not None:
            comparisons = list(map(list_comparison, posts, spans, found))
            texts = [one.model_dump_json() if one.texts and one.boxes else "" for one in comparisons]
            rows = zip(found, comparisons, ask(self.similarity, texts), strict=True)
            found = [replace(one, shares=_list_shares(comparison, result)) for one, comparison, result in rows]
        return found

    def _ask_with_cache(self, posts: Sequence[Post], stage: Stage[Any], texts: Sequence[str]) -> list[object]:
        rows = enumerate(zip(posts, texts, strict=True))
        asked = {
            index: Post(f"{index}", text, (), (), pictures=post.pictures[:1])
            for index, (post, text) in rows
            if text and post.picture is not None
        }
        files = dict.fromkeys(post.files[0] for post in asked.values())
        images = identify_images([LocalFile(file) for file in files], self.store)
        plan = plan_images(images, [stage], self.store, None, PostSource(tuple(asked.values())))
        execute_plan(plan, self.store, LocalEngine(self.executor), NoProgress())
        refs = {index: plan.posts[post].key for index, post in asked.items()}
        records = self.store.results(stage, stage_keys([stage])[stage.name], list(refs.values()))
        found: list[object] = [None] * len(posts)
        for index, key in refs.items():
            found[index] = records[key].result if key in records else None
        _report_failures(stage, found)
        return found

    def _ask_once(self, image: ImageRef, post: Post, stage: Stage[Any], texts: Sequence[str]) -> list[object]:
        (text,) = texts
        if not text:
            return [None]
        job = Job(PostRef(digest([image.key, text]), post.id, text, image))
        results: list[object] = list(self.executor.run_task(StageJobs(stage, [job])).results)
        _report_failures(stage, results)
        return results


def _report_failures(stage: Stage[Any], results: Sequence[object]) -> None:
    """Warn of the pictures in which a stage could not look."""
    failures = [result for result in results if isinstance(result, Failure)]
    if failures:
        pictures = format_count(len(failures), "picture", "pictures")
        logger.warning(f"{stage.name}: mentions were not looked for in {pictures}: {failures[0].reason}")


def _list_found(result: object) -> tuple[Candidate, ...]:
    """The boxes of a result, none if it is a failure."""
    objects = result.objects if isinstance(result, ObjectsValue) else ()
    return tuple(Candidate(item.box, item.label, item.score, is_query=True) for item in objects)


def _list_shares(comparison: Comparison, result: object) -> tuple[tuple[tuple[str, ...], Box, float], ...]:
    """The probabilities of a result with the names and boxes that were compared, none if it is a failure."""
    rows = result.shares if isinstance(result, SimilarityValue) else ()
    return tuple(
        (fold_words(text.split()), box, share)
        for text, shares in zip(comparison.texts, rows, strict=False)
        for box, share in zip(comparison.boxes, shares, strict=False)
    )


@dataclass(frozen=True)
class EvidenceReader:
    """Reads what is known of the pictures of posts, and with a search, looks for their mentions."""

    contexts: PostContexts
    search: MentionSearch | None = None

    def read(self, posts: Sequence[Post], spans: Sequence[Sequence[Span]]) -> list[Evidence]:
        """The evidence for the mentions of each post."""
        found = [evidence_of(self.contexts, post) for post in posts]
        return found if self.search is None else self.search.extend(posts, spans, found)


def evidence_of(contexts: PostContexts, post: Post) -> Evidence:
    """What the stages found in the first picture of a post."""
    return Evidence.from_results(contexts.results(post)[0])


def have_boxes(posts: Iterable[Post]) -> bool:
    """Whether boxes of some mentions of these posts are known."""
    return any(span.boxes is not None for post in posts for span in post.gold or ())


def plan_search(
    dataset: Dataset, changes: Mapping[str, object], preset: Preset, store: Store, limits: Limits
) -> MentionSearch | None:
    """Set up the search that a training needs; None if the settings of the grounder do not ask for it.

    Raises:
        UsageError: a setting is wrong, or there are no boxes to learn from.
        StageError: the detector cannot look for words, or a model is missing.
    """
    config = GroundingConfig.parse(changes)
    if not config.looks:
        return None
    if not have_boxes(dataset.splits.get("train", ())):
        hint = "leave out the settings `grounding`, or give the mentions boxes; see docs/grounding.md"
        raise UsageError(f"dataset {dataset.name} has no boxes to train a grounder with", hint)
    return MentionSearch.open(config, preset.stages.get("objects", {}), store, SubprocessExecutor(limits))

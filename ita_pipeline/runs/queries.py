"""Boxes that an open-vocabulary detector finds for the words and types of mentions (`grounding.query=mention`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ita_pipeline.cache.keys import digest, stage_keys
from ita_pipeline.cache.store import Store
from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.progress import NoProgress
from ita_pipeline.corpus.datasets import Dataset
from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.engines.executor import Job, Limits, StageJobs
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.extraction.contexts import PostContexts
from ita_pipeline.extraction.items import PostSource, execute_plan, identify_images, plan_images
from ita_pipeline.extraction.presets import Preset
from ita_pipeline.grounding.config import GroundingConfig
from ita_pipeline.grounding.evidence import Candidate, Evidence, is_person
from ita_pipeline.sources.local import LocalFile
from ita_pipeline.sources.refs import ImageRef, PostRef
from stages.objects.queries import QueriesConfig, QueriesStage
from stages.objects.schema import NANODET, ObjectsValue

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


@dataclass(frozen=True)
class MentionSearch:
    """Asks a detector for mentions. Results are cached like those of any stage, by picture and queries."""

    stage: QueriesStage
    store: Store
    executor: SubprocessExecutor

    @classmethod
    def open(cls, objects: Mapping[str, Any], store: Store, executor: SubprocessExecutor) -> MentionSearch:
        """Set up the search with the detector of these settings of the stage `objects`.

        Raises:
            StageError: the detector cannot look for words, or is missing.
        """
        names = ("detector", "detector_revision", "device")
        settings = {name: objects[name] for name in names if name in objects}
        stage = QueriesStage(QueriesConfig.model_validate({"detector": NANODET} | settings))
        stage.identity()
        return cls(stage, store, executor)

    @property
    def key(self) -> str:
        """The key of the stage that asks."""
        return stage_keys([self.stage])[self.stage.name].hexdigest

    def find(self, posts: Sequence[Post], spans: Sequence[Sequence[Span]]) -> list[tuple[Candidate, ...]]:
        """Return the boxes that were found for each post's mentions. A post without a picture has none."""
        asked: dict[int, Post] = {}
        for index, (post, mentions) in enumerate(zip(posts, spans, strict=True)):
            queries = list_queries(post, mentions)
            if post.picture is not None and queries:
                asked[index] = Post(f"{index}", "\n".join(queries), (), (), pictures=post.pictures[:1])
        files = dict.fromkeys(post.files[0] for post in asked.values())
        images = identify_images([LocalFile(file) for file in files], self.store)
        plan = plan_images(images, [self.stage], self.store, None, PostSource(tuple(asked.values())))
        execute_plan(plan, self.store, LocalEngine(self.executor), NoProgress())
        refs = {index: plan.posts[post].key for index, post in asked.items()}
        records = self.store.results(self.stage, stage_keys([self.stage])[self.stage.name], list(refs.values()))
        found: list[tuple[Candidate, ...]] = [()] * len(posts)
        for index, key in refs.items():
            found[index] = _list_found(records[key].result if key in records else None)
        return found

    def look(self, image: ImageRef, post: Post, spans: Sequence[Span]) -> tuple[Candidate, ...]:
        """Return the boxes that are found in an image for the mentions of a post, without the cache."""
        queries = "\n".join(list_queries(post, spans))
        if not queries:
            return ()
        job = Job(PostRef(digest([image.key, queries]), post.id, queries, image))
        (result,) = self.executor.run_task(StageJobs(self.stage, [job])).results
        return _list_found(result)


def _list_found(result: object) -> tuple[Candidate, ...]:
    """The boxes of a result, none if it is a failure."""
    objects = result.objects if isinstance(result, ObjectsValue) else ()
    return tuple(Candidate(item.box, item.label, item.score, is_query=True) for item in objects)


@dataclass(frozen=True)
class EvidenceReader:
    """Reads what is known of the pictures of posts, and with a search, asks for their mentions."""

    contexts: PostContexts
    search: MentionSearch | None = None

    def read(self, posts: Sequence[Post], spans: Sequence[Sequence[Span]]) -> list[Evidence]:
        """The evidence for the mentions of each post."""
        found = [evidence_of(self.contexts, post) for post in posts]
        if self.search is None:
            return found
        return [one.add(asked) for one, asked in zip(found, self.search.find(posts, spans), strict=True)]


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
        StageError: the detector cannot look for words, or is missing.
    """
    if GroundingConfig.parse(changes).query == "none":
        return None
    if not have_boxes(dataset.splits.get("train", ())):
        hint = "leave out grounding.query, or give the mentions boxes; see docs/grounding.md"
        raise UsageError(f"dataset {dataset.name} has no boxes to train a grounder with", hint)
    return MentionSearch.open(preset.stages.get("objects", {}), store, SubprocessExecutor(limits))

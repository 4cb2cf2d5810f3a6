"""Prediction with a trained run.

Stages read the images of new posts as they did in training.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, overload

from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.store import Store
from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.plugins import stage_entry_points
from ita_pipeline.core.progress import NoProgress, Progress
from ita_pipeline.corpus.datasets import load_dataset
from ita_pipeline.corpus.formats.hf_datasets import posts_in
from ita_pipeline.corpus.posts import Post, require_posts
from ita_pipeline.corpus.tokenizer import TOKENIZATION
from ita_pipeline.engines.base import Engine
from ita_pipeline.engines.executor import Limits
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.extraction.contexts import ContextPlan, PostContexts, make_contexts, plan_contexts
from ita_pipeline.extraction.items import PostSource
from ita_pipeline.extraction.options import Consent, Options
from ita_pipeline.extraction.presets import (
    OPTIONAL_STAGES,
    Preset,
    build_context_stages,
    drop_personal,
    load_stage,
)
from ita_pipeline.grounding.evidence import NOTHING, Evidence
from ita_pipeline.grounding.files import load_grounder
from ita_pipeline.ner.config import RuntimeName
from ita_pipeline.ner.prediction import TaggedView, decode_views, tag_views
from ita_pipeline.ner.runtimes import load_tagger
from ita_pipeline.ner.views import View
from ita_pipeline.runs.explanation import Explanation, ExplanationInput, explain_posts
from ita_pipeline.runs.grounding import ground_mentions, spans_of
from ita_pipeline.runs.predictions import Mention, Prediction, TaggingInput, add_predictions
from ita_pipeline.runs.queries import MentionSearch, evidence_of
from ita_pipeline.runs.run import TEXT, TEXT_AND_IMAGE, Run
from stages.base import EXECUTION, Stage
from stages.batching import batched

CUT_NOTE = (
    "contexts of a post were cut: they have the room that the post leaves of {max_length} sub-tokens, at least half"
)


class Predictor:
    """Finds mentions with a run's model, which is loaded once; stages start when the first picture arrives."""

    def __init__(  # noqa: PLR0913
        self,
        run: Run,
        store: Store,
        limits: Limits | None = None,
        min_confidence: float = 0.0,
        consent: Consent | None = None,
        changes: Mapping[str, Mapping[str, Any]] | None = None,
        runtime: RuntimeName = "auto",
    ) -> None:
        """Load the model.

        Mentions less probable than `min_confidence` are left out. `changes` override the run's settings by stage,
        as far as they change no result. Without `consent`, only hosts that the user trusts are sent anything.
        `runtime` computes the tagger, as in `load_tagger`.

        Raises:
            MissingError: the run has no graph for this runtime.
            StageError: the model's files are incomplete, damaged, or do not belong together.
            UsageError: `min_confidence` is no probability.
        """
        if not 0 <= min_confidence <= 1:
            what = f"the minimum confidence must be between 0 and 1, not {min_confidence}"
            raise UsageError(what, "--min-confidence 0.5")
        self.min_confidence = min_confidence
        self.run, self.store, self.record = run, store, run.record()
        self.runtime: RuntimeName = runtime
        loaded = load_tagger(run.model, self.record.graphs, runtime)
        self.tagger, self.encoder = loaded.runtime, loaded.encoder
        self.grounder = load_grounder(run.folder)
        self.limits = limits or Limits()
        self.changes = changes or {}
        self.consent = consent or Consent(own=self.changes)
        self.executor = SubprocessExecutor(self.limits)
        self.notes = [loaded.note] if loaded.note else []
        if self.record.tokenization != TOKENIZATION:
            self.notes.append("this run was trained with another version of the rule that divides text into words")

    @classmethod
    def of(cls, run: Run, store: Store, options: Options, min_confidence: float = 0.0) -> Self:
        """Load the model of a run with the options of a command, as the constructor does."""
        consent = Consent.of(options)
        return cls(run, store, options.limits, min_confidence, consent, options.changes, options.runtime)

    @functools.cached_property
    def stages(self) -> list[Stage[Any]]:
        """The stages that the run's contexts need. The run's record is data: see `ita_pipeline.core.trust`."""
        record = self.record
        recorded = drop_personal(record.stages, str(self.run.folder / "run.json"))
        stages = {
            name: _replace_local_settings(name, settings, self.changes.get(name, {}))
            for name, settings in recorded.items()
        }
        preset = Preset(name=record.preset, about="", encoder=record.encoder, stages=stages)
        return build_context_stages(preset, record.contexts)

    @functools.cached_property
    def train(self) -> tuple[Post, ...]:
        """The run's training posts, if a stage selects examples from them.

        Raises:
            UserError: the dataset is no longer where it was.
        """
        if not any(stage.shots for stage in self.stages):
            return ()
        dataset = load_dataset(self.record.source, Path(self.record.folder), Path(self.record.folder))
        return dataset.splits.get("train", ())

    @overload
    def predict(
        self, posts: str, progress: Progress | None = None, *, image: Path | str | None = None
    ) -> Prediction: ...

    @overload
    def predict(self, posts: Sequence[Post], progress: Progress | None = None) -> list[Prediction]: ...

    def predict(
        self, posts: str | Sequence[Post], progress: Progress | None = None, *, image: Path | str | None = None
    ) -> Prediction | list[Prediction]:
        """Find the mentions in one text, optionally with its picture, or in several posts, in their order."""
        if isinstance(posts, str):
            return self.predict_all([Post.from_text(posts, image)], progress)[0]
        return self.predict_all(list(require_posts(posts)), progress)

    def predict_all(self, posts: Sequence[Post], progress: Progress | None = None) -> list[Prediction]:
        """Find the mentions in several posts, in their order."""
        contexts = self.make_contexts(self.plan(posts), progress or NoProgress())
        inputs = [TaggingInput(post, objects=contexts.select_objects(post)) for post in posts]
        return self.predict_inputs(self.add_contexts(inputs, contexts))

    def add_contexts(self, inputs: Sequence[TaggingInput], contexts: PostContexts) -> list[TaggingInput]:
        """Return inputs with what the tagger and a grounder read beside the text."""
        reasons = contexts.failure_reasons([item.post for item in inputs])
        added: list[TaggingInput] = []
        for item in inputs:
            texts, failed = contexts.render(item.post), reasons.get(item.post, "")
            evidence = evidence_of(contexts, item.post) if self.grounder is not None else NOTHING
            added.append(replace(item, contexts=texts, failed=failed, evidence=evidence))
        return added

    def explain(
        self, post: str | Post, progress: Progress | None = None, *, image: Path | str | None = None
    ) -> Explanation:
        """Find the mentions in a post, and how their probabilities move without each part of its contexts."""
        return self.explain_all([Post.from_text(post, image) if isinstance(post, str) else post], progress)[0]

    def explain_all(self, posts: Sequence[Post], progress: Progress | None = None) -> list[Explanation]:
        """Explain several posts, in their order; all posts without each part are tagged together."""
        contexts = self.make_contexts(self.plan(posts), progress or NoProgress())
        inputs = self.add_contexts([TaggingInput(post) for post in posts], contexts)
        parts = [ExplanationInput(item.post, contexts.pieces(item.post), item.failed) for item in inputs]
        explanations = explain_posts(parts, contexts.config, self.decode, self.min_confidence)
        grounded = self.ground_all(inputs, [one.prediction.mentions for one in explanations])
        return [one.with_boxes(mentions) for one, mentions in zip(explanations, grounded, strict=True)]

    def plan(self, posts: Sequence[Post]) -> ContextPlan:
        """Plan the stages that have to run before these posts can be tagged."""
        record = self.record
        # An optional stage gives a post without a picture contexts too.
        reads_posts = any(name in record.contexts.order and name in record.stages for name in OPTIONAL_STAGES)
        read = tuple(post for post in posts if post.files or reads_posts)
        stages, train = (self.stages, self.train) if read else ([], ())
        return plan_contexts(PostSource(read, train), stages, record.contexts, self.store, limits=self.limits)

    def make_contexts(self, plan: ContextPlan, progress: Progress, engine: Engine | None = None) -> PostContexts:
        """Run the stale stages of a plan, by default on this machine, and read the contexts.

        Raises:
            UsageError: a stage sends data to another machine without consent.
            StageError: a stage cannot work at all; finished records remain.
        """
        self.consent.require_for(plan.plan)
        contexts = make_contexts(plan, self.store, engine or LocalEngine(self.executor), progress)
        self.note_stage_changes(contexts.keys)
        return contexts

    def predict_dataset(self, dataset: Any, progress: Progress | None = None) -> Any:
        """Return a `datasets.Dataset` with two more columns, `predicted_mentions` and `predicted_view`.

        Words are read from a column `tokens` or `words`, or else texts from `text`, and pictures from `image`.
        Labels are ignored. A `DatasetDict` gives one with the same splits.

        Raises:
            UsageError: there is no column of words or texts.
        """
        if isinstance(dataset, Mapping):
            dataset_type: Any = type(dataset)
            return dataset_type({name: self.predict_dataset(rows, progress) for name, rows in dataset.items()})
        with posts_in({"post": dataset}) as posts:
            predictions: list[Prediction] = []
            for batch in batched(posts, 256):
                predictions += self.predict_all(batch, progress)
        return add_predictions(dataset, predictions)

    def predict_inputs(self, inputs: Sequence[TaggingInput]) -> list[Prediction]:
        """Find the mentions in posts whose contexts are known."""
        mentions = self.ground_all(inputs, self.tag([(item.post, item.contexts) for item in inputs]))
        return [
            Prediction(
                item.post,
                TEXT_AND_IMAGE if item.contexts else TEXT,
                item.contexts,
                spans,
                item.failed,
                item.objects,
            )
            for item, spans in zip(inputs, mentions, strict=True)
        ]

    def tag(self, posts: Sequence[tuple[Post, tuple[str, ...]]]) -> list[tuple[Mention, ...]]:
        """Find the mentions in posts, each given with its contexts; a post without contexts is read in view T."""
        scored = tag_views(self.tagger, self._encode(posts), self.encoder.pad)
        return [
            tuple(Mention.from_scored(post, span) for span in spans if span.score >= self.min_confidence)
            for (post, _), spans in zip(posts, scored, strict=True)
        ]

    def decode(self, posts: Sequence[tuple[Post, tuple[str, ...]]]) -> list[TaggedView]:
        """Find the mentions as `tag` does, as words of any probability, and keep those of all other mentions."""
        return decode_views(self.tagger, self._encode(posts), self.encoder.pad)

    def _encode(self, posts: Sequence[tuple[Post, tuple[str, ...]]]) -> list[View]:
        views = [self.encoder.encode(post.words, contexts) for post, contexts in posts]
        if any(view.trimmed for view in views):
            self._add_note(CUT_NOTE.format(max_length=self.encoder.max_length))
        return views

    @functools.cached_property
    def search(self) -> MentionSearch | None:
        """Looks for the mentions in their pictures, as in training; None if the run's grounder does not."""
        if self.grounder is None or not self.record.grounding.looks:
            return None
        objects = next((stage.config.model_dump() for stage in self.stages if stage.name == "objects"), {})
        return MentionSearch.open(self.record.grounding, objects, self.store, self.executor)

    def ground_all(
        self, inputs: Sequence[TaggingInput], tagged: Sequence[tuple[Mention, ...]]
    ) -> list[tuple[Mention, ...]]:
        """Ground the mentions of tagged posts, with what is found for them if the run looks for them."""
        evidence = [item.evidence for item in inputs]
        if self.search is not None:
            posts = [item.post for item in inputs]
            evidence = self.search.extend(posts, list(map(spans_of, posts, tagged)), evidence)
        rows = zip(inputs, tagged, evidence, strict=True)
        return [self.ground(item.post, mentions, found) for item, mentions, found in rows]

    def ground(self, post: Post, mentions: tuple[Mention, ...], evidence: Evidence) -> tuple[Mention, ...]:
        """Add to the mentions of a post where its picture shows them, if the run has a grounder."""
        return ground_mentions(self.grounder, post, mentions, evidence) if self.grounder is not None else mentions

    def note_stage_changes(self, keys: Mapping[str, StageKey]) -> None:
        """Add a note, once, for each stage that differs from the one used in training."""
        trained = self.record.stage_keys
        changed = [name for name, key in keys.items() if trained.get(name, key.hexdigest) != key.hexdigest]
        notes = [f"the stage {name} is not the one that the run was trained with" for name in changed]
        if self.record.captions and "caption" in keys:
            notes.append(f"the run was trained with captions from {self.record.captions}; here they are computed")
        for note in notes:
            self._add_note(note)

    def _add_note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def _replace_local_settings(name: str, settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A run's settings of a stage without those that it does not pass on, and with the changes to its execution."""
    entry_points = stage_entry_points()
    if name not in entry_points:
        return dict(settings)
    config_type = load_stage(entry_points[name]).config_type
    local, fields = config_type.list_local_settings(), config_type.model_fields
    execution = [field for field in changes if field in fields and EXECUTION in fields[field].metadata]
    recorded = {field: value for field, value in settings.items() if field not in local}
    return {**recorded, **{field: changes[field] for field in execution}}

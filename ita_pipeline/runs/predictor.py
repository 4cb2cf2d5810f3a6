"""A trained run at work on new posts: their pictures are looked at as the training's were."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.store import Store
from ita_pipeline.core.errors import UsageError
from ita_pipeline.core.plugins import stage_entry_points
from ita_pipeline.corpus.datasets import load_dataset
from ita_pipeline.corpus.formats.hf_datasets import posts_in
from ita_pipeline.corpus.posts import Post
from ita_pipeline.engines.base import Engine, Progress, Silent
from ita_pipeline.engines.executor import Limits
from ita_pipeline.engines.local import LocalEngine
from ita_pipeline.engines.sandbox import SubprocessExecutor
from ita_pipeline.extraction.consent import ask_consent
from ita_pipeline.extraction.contexts import ContextPlan, PostContexts, make_contexts, plan_contexts
from ita_pipeline.extraction.options import Listener, Mute
from ita_pipeline.extraction.presets import OPTIONAL, Preset, context_stages, load_stage
from ita_pipeline.ner.prediction import tag_views
from ita_pipeline.ner.views import ViewEncoder
from ita_pipeline.runs.predictions import Asked, Mention, Prediction, as_mention, with_predictions
from ita_pipeline.runs.run import Run, RunRecord
from ita_pipeline.sources.refs import ImageRef, PostRef
from stages.base import EXECUTION, Stage, StageError
from stages.models.devices import pick_device
from stages.models.loading import load_pretrained, load_weights

if TYPE_CHECKING:
    from ita_pipeline.ner.tagger import Tagger


AT_ONCE = 256


class Predictor:
    """Loads a run's model once; stages are built when the first picture comes."""

    def __init__(
        self,
        run: Run,
        store: Store,
        limits: Limits | None = None,
        min_confidence: float = 0.0,
        listener: Listener | None = None,
        consent: bool = False,
        changes: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Mentions less probable than `min_confidence` are left out. `changes` are settings by stage that go over
        the run's, as far as they change no result.

        Raises:
            StageError: the model's files are incomplete.
            UsageError: `min_confidence` is no probability.
        """
        if not 0 <= min_confidence <= 1:
            what = f"the least confidence is {min_confidence}, but a probability lies in 0..1"
            raise UsageError(what, "--min-confidence 0.5")
        self.min_confidence = min_confidence
        self.run, self.store, self.record = run, store, run.record()
        self.tagger, self.tokenizer = load_model(run)
        config = self.tagger.config
        self.encoder = ViewEncoder(self.tokenizer, config.max_length, config.word_shapes)
        self.limits = limits or Limits()
        self.listener, self.consent, self.changes = listener or Mute(), consent, changes or {}
        self.executor = SubprocessExecutor(self.limits)
        self.notes: list[str] = []

    @functools.cached_property
    def stages(self) -> list[Stage[Any]]:
        record = self.record
        stages = {
            name: with_execution(name, own, self.changes.get(name, {})) for name, own in record.stages.items()
        }
        preset = Preset(name=record.preset, about="", encoder=record.encoder, stages=stages)
        return context_stages(preset, record.contexts)

    @functools.cached_property
    def train(self) -> tuple[Post, ...]:
        """The posts that the run was trained on, where a stage takes examples from them.

        Raises:
            UserError: they are no longer where they were.
        """
        if not any(stage.shots for stage in self.stages):
            return ()
        found = load_dataset(self.record.source, Path(self.record.folder), Path(self.record.folder))
        return found.splits.get("train", ())

    @overload
    def predict(
        self, posts: str, progress: Progress | None = None, *, image: Path | str | None = None
    ) -> Prediction: ...

    @overload
    def predict(self, posts: Sequence[Post], progress: Progress | None = None) -> list[Prediction]: ...

    def predict(
        self, posts: str | Sequence[Post], progress: Progress | None = None, *, image: Path | str | None = None
    ) -> Prediction | list[Prediction]:
        """The mentions of one text, perhaps with its picture; or of several posts, in their order."""
        if isinstance(posts, str):
            return self.predict_all([Post.from_text(posts, image)], progress)[0]
        return self.predict_all(posts, progress)

    def predict_all(self, posts: Sequence[Post], progress: Progress | None = None) -> list[Prediction]:
        contexts = self.look(self.plan(posts), progress or Silent())
        reasons = troubles(posts, contexts)
        asked = [Asked(post, contexts.of(post), reasons.get(post, "")) for post in posts]
        return [one.answer(mentions) for one, mentions in zip(asked, self.mentions(asked), strict=True)]

    def plan(self, posts: Sequence[Post]) -> ContextPlan:
        """What has to be looked at before these posts can be tagged."""
        read = [post for post in posts if post.picture is not None or reads_posts(self.record)]
        stages, train = (self.stages, self.train) if read else ([], ())
        return plan_contexts(read, stages, self.record.contexts, self.store, limits=self.limits, train=train)

    def look(self, plan: ContextPlan, progress: Progress, engine: Engine | None = None) -> PostContexts:
        """Do what a plan says; on this machine, where there is no engine for it.

        Raises:
            UsageError: nobody agreed that something is sent to another machine.
            StageError: a stage cannot work at all; what was computed before is kept.
        """
        ask_consent(plan.plan, self.consent, self.listener)
        contexts = make_contexts(plan, self.store, engine or LocalEngine(self.executor), progress)
        self.notice(contexts.keys)
        return contexts

    def predict_dataset(self, dataset: Any, progress: Progress | None = None) -> Any:
        """A `datasets.Dataset` with two more columns, `predicted_mentions` and `predicted_view`.

        Words are read from a column `tokens` or `words`, else texts from `text`, and pictures from `image`. A
        `DatasetDict` gives one of the same splits. Labels are not looked at.

        Raises:
            UsageError: there is no column of words or texts.
        """
        if isinstance(dataset, Mapping):
            made: Any = type(dataset)
            return made({name: self.predict_dataset(rows, progress) for name, rows in dataset.items()})
        with posts_in({"post": dataset}) as posts:
            found: list[Prediction] = []
            while group := list(itertools.islice(posts, AT_ONCE)):
                found += self.predict_all(group, progress)
        return with_predictions(dataset, found)

    def mentions(self, posts: Sequence[Asked]) -> list[tuple[Mention, ...]]:
        """The mentions of posts, each with the contexts to read beside it; without any it is the view T."""
        return self.tag([(one.post, one.contexts) for one in posts])

    def tag(self, posts: Sequence[tuple[Post, tuple[str, ...]]]) -> list[tuple[Mention, ...]]:
        """The mentions of posts, each with the contexts to read beside it; without any it is the view T."""
        views = [self.encoder.encode(post.words, contexts) for post, contexts in posts]
        found = tag_views(self.tagger, views, self.tokenizer.pad_token_id)
        return [
            tuple(as_mention(post, one) for one in mentions if one.score >= self.min_confidence)
            for (post, _), mentions in zip(posts, found, strict=True)
        ]

    def notice(self, keys: Mapping[str, StageKey]) -> None:
        """Note, once, where pictures are looked at by other means than in training."""
        trained = self.record.stage_keys
        others = [n for n, key in keys.items() if trained.get(n, key.hexdigest) != key.hexdigest]
        notes = [f"the stage {name} is not the one that the run was trained with" for name in others]
        if self.record.captions and "caption" in keys:
            notes.append(f"the run was trained with captions from {self.record.captions}; here they are computed")
        self.notes += [note for note in notes if note not in self.notes]


def reads_posts(record: RunRecord) -> bool:
    """Whether a post without a picture has contexts too."""
    return any(name in record.contexts.order and name in record.stages for name in OPTIONAL)


def with_execution(name: str, settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A stage's settings with those changed that decide only how its work is done, such as an endpoint."""
    known = load_stage(stage_entry_points()[name]).config_type.model_fields if changes else {}
    return {**settings, **{n: v for n, v in changes.items() if n in known and EXECUTION in known[n].metadata}}


def troubles(posts: Sequence[Post], contexts: PostContexts) -> dict[Post, str]:
    """Why contexts of these posts are missing: of the picture first."""
    extraction = contexts.extraction
    files = {f.item.path: f.failure.reason for f in extraction.failed if isinstance(f.item, ImageRef)}
    files |= {missing.path: missing.reason for missing in extraction.unreadable}
    said = {f.item.key: f.failure.reason for f in extraction.failed if isinstance(f.item, PostRef)}
    left = "; ".join(extraction.notes) or "a stage left it for another time"
    found: dict[Post, str] = {}
    for post in posts:
        item = contexts.posts.get(post)
        if post.picture in files:
            found[post] = f"its picture was not read: {files[post.picture]}"
        elif item is not None and item.key in said:
            found[post] = f"its contexts are incomplete: {said[item.key]}"
        elif item is not None and extraction.waiting and not contexts.by_post.get(post):
            found[post] = f"its contexts are incomplete: {left}"
    return found


def load_model(run: Run) -> tuple[Tagger, Any]:
    from transformers import AutoTokenizer

    from ita_pipeline.ner.tagger import Tagger

    try:
        tagger = load_weights(Tagger.from_pretrained, str(run.model), "", pick_device("auto"))
        return tagger, load_pretrained(AutoTokenizer.from_pretrained, str(run.model), "")
    except StageError as error:
        raise StageError(str(error), "the run's folder is damaged or not ours: train it again") from error

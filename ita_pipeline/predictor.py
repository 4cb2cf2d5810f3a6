"""A trained run at work on new posts: their pictures are looked at as the training's were."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ita_pipeline.cache.keys import StageKey
from ita_pipeline.cache.store import Store
from ita_pipeline.corpus.contexts import stage_names
from ita_pipeline.corpus.posts import Post
from ita_pipeline.engines.isolation import Worker
from ita_pipeline.engines.jobs import Limits
from ita_pipeline.engines.local import Progress, Silent
from ita_pipeline.errors import UsageError
from ita_pipeline.ner.encoding import ViewEncoder
from ita_pipeline.ner.prediction import Scored, tag_views
from ita_pipeline.picture_contexts import make_contexts, plan_contexts
from ita_pipeline.presets import Preset, build_stages
from ita_pipeline.runs import TEXT, TEXT_AND_IMAGE, Run
from ita_pipeline.unlabelled import posts_in, with_predictions
from stages import hub
from stages.base import Stage, StageError

if TYPE_CHECKING:
    from ita_pipeline.ner.tagger import Tagger

AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Mention:
    """`start` and `end` are character positions in the post's text, `score` a probability in 0..1."""

    start: int
    end: int
    text: str
    type: str
    score: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """The mentions of a post; `view` says whether anything of its picture was read beside the text."""

    post: Post
    view: str
    contexts: tuple[str, ...]
    mentions: tuple[Mention, ...]
    failed: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": "ita.prediction/1",
            "id": self.post.id,
            "text": self.post.text,
            "view": self.view,
            "mentions": [
                {"start": m.start, "end": m.end, "text": m.text, "type": m.type, "score": round(m.score, 4)}
                for m in self.mentions
            ],
        }


class Predictor:
    """Loads a run's model once; stages are built when the first picture comes."""

    def __init__(self, run: Run, store: Store, limits: Limits | None = None, min_confidence: float = 0.0) -> None:
        """Mentions less probable than `min_confidence` are left out.

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
        self.hands = Worker(self.limits)
        self.notes: list[str] = []

    @functools.cached_property
    def stages(self) -> list[Stage[Any]]:
        record = self.record
        preset = Preset(name=record.preset, about="", encoder=record.encoder, stages=record.stages)
        order = stage_names(record.contexts.order)
        return build_stages(preset, order) if order else []

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
        pictured = [post for post in posts if post.picture is not None]
        stages = self.stages if pictured else []
        plan = plan_contexts(pictured, stages, self.record.contexts, self.store, limits=self.limits)
        contexts = make_contexts(plan, self.store, self.hands, progress or Silent())
        self.notice(contexts.keys)
        reasons = {failed.image.path: failed.failure.reason for failed in contexts.extraction.failed}
        reasons |= {missing.path: missing.reason for missing in contexts.extraction.unreadable}
        texts = [contexts.of(post) for post in posts]
        found = self.tag(list(zip(posts, texts, strict=True)))
        return [
            Prediction(
                post=post,
                view=TEXT_AND_IMAGE if context else TEXT,
                contexts=context,
                mentions=mentions,
                failed=reasons.get(post.picture, "") if post.picture else "",
            )
            for post, context, mentions in zip(posts, texts, found, strict=True)
        ]

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


def load_model(run: Run) -> tuple[Tagger, Any]:
    from transformers import AutoTokenizer

    from ita_pipeline.ner.tagger import Tagger

    try:
        tagger = hub.load_weights(Tagger.from_pretrained, str(run.model), "", hub.pick_device("auto"))
        return tagger, hub.load(AutoTokenizer.from_pretrained, str(run.model), "")
    except StageError as error:
        raise StageError(str(error), "the run's folder is damaged or not ours: train it again") from error


def as_mention(post: Post, scored: Scored) -> Mention:
    start, end = post.offsets[scored.span.start][0], post.offsets[scored.span.end - 1][1]
    return Mention(start, end, post.text[start:end], scored.span.type, scored.score)

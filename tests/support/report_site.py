"""A small workspace to report on: posts with pictures, what stages found in them, and a run. Nothing is trained."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ita_pipeline.cache.keys import StageKey, digest
from ita_pipeline.cache.records import Record
from ita_pipeline.cache.store import Store
from ita_pipeline.corpus.contexts import ContextConfig
from ita_pipeline.corpus.datasets import load_dataset
from ita_pipeline.corpus.formats.conll import format_conll
from ita_pipeline.corpus.posts import Post, Span
from ita_pipeline.ner.config import TrainingConfig
from ita_pipeline.ner.metrics.errors import analyze
from ita_pipeline.ner.metrics.scores import EpochScore, score
from ita_pipeline.ner.prediction import ScoredSpan
from ita_pipeline.runs.run import (
    TEXT,
    TEXT_AND_IMAGE,
    Run,
    RunAnalysis,
    RunRecord,
    RunScores,
    ViewAnalysis,
    ViewScores,
)
from ita_pipeline.sources.local import hash_file
from stages.base import Failure, FailureKind, Value
from stages.caption.schema import Caption, CaptionValue
from stages.objects.schema import Attribute, Object, ObjectsValue
from stages.ocr.schema import OcrValue, Word
from tests.support.fakes import draw

NASTY = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</script><svg onload=alert(1)>",
    "<!--<script>",
    "\u202egnirts",
    "\x1b[31mred\x07",
    "a&amp;b",
    "{{ 7*7 }}",
    "a\u2028b",
)
CONTEXTS = ContextConfig(object_score=0.35)
BOXED = {"boxes": [[4, 6, 20, 40]], "visible": 0.8, "why": "<b>the only person"}
Answers = Mapping[str, list[Span]]


def key_of(stage: str, what: str = "one") -> StageKey:
    components: dict[str, Any] = {"stage": stage, "version": 1, "parameters": {"what": what}}
    return StageKey(stage, components, digest(components))


def remember(root: Path, key: StageKey, found: Mapping[str, Value | Failure]) -> None:
    """Put results into the cache of a workspace."""
    with Store(root / ".ita").open_writer(key) as segment:
        segment.append([Record(image=image, result=result, seconds=0.1) for image, result in found.items()])


def objects(*labels: str, score: float = 0.9) -> ObjectsValue:
    things = tuple(
        Object(
            label=label,
            score=score,
            box=(4.0 + 20 * number, 6.0, 20.0 + 20 * number, 40.0),
            attributes=(Attribute(label="red", score=0.5),),
        )
        for number, label in enumerate(labels)
    )
    unsure = Object(label="kite", score=0.21, box=(0.0, 0.0, 5.0, 5.0), attributes=())
    return ObjectsValue(width=64, height=48, objects=(*things, unsure))


def words(*texts: str) -> OcrValue:
    read = tuple(Word(text=text, confidence=0.8, box=(5, 20, 40, 30), line=0) for text in texts)
    return OcrValue(width=64, height=48, words=read)


def caption(*texts: str) -> CaptionValue:
    return CaptionValue(source="blip", captions=tuple(Caption(text=text, score=0.4) for text in texts))


def build_site(root: Path, posts: int = 60) -> Run:
    """A dataset `mine` whose test split has one post of every kind first, then hostile ones, then plain ones.

    The kinds: right with the picture only, wrong with it only, wrong in both views, right in both, and one whose
    picture no stage could read.
    """
    folder = root / "mine"
    texts = [*("hi kim", "hi lou", "hi max", "hi zoe", "hi tim"), *(f"x {text}" for text in NASTY)]
    texts += [f"plain post {number}" for number in range(posts - len(texts))]
    lines = []
    for number, text in enumerate(texts):
        draw(folder / f"{number}.png", ("red", "blue", "green")[number % 3], (64 + number, 48))
        first = text.split()[0]
        gold = {"start": len(first) + 1, "end": len(text), "type": "PER"}
        name = NASTY[number - 5] if 5 <= number < 5 + len(NASTY) else f"post {number}"
        lines.append({"id": name, "text": text, "image": f"{number}.png", "split": "test", "mentions": [gold]})
    (folder / "tweets.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    remember_findings(root, folder)
    return write_run(root, folder)


def remember_findings(root: Path, folder: Path) -> None:
    keys = [hash_file(folder / f"{number}.png") for number in range(5 + len(NASTY))]
    broken = Failure(kind=FailureKind.PERMANENT, reason="damaged \x1b[31m<b>picture</b>")
    nasty = dict(zip(keys[5:], NASTY, strict=True))
    found: dict[str, Value | Failure] = {key: objects("person") for key in keys[:4]}
    found |= {keys[4]: broken} | {key: objects(text, text) for key, text in nasty.items()}
    remember(root, key_of("objects"), found)
    remember(root, key_of("ocr"), {key: words("KIM", "street") for key in keys[:4]})
    remember(root, key_of("ocr"), {key: words(text) for key, text in nasty.items()})
    remember(root, key_of("caption"), {key: caption("a person") for key in keys[:4]})
    remember(root, key_of("caption"), {key: caption(text) for key, text in nasty.items()})


def answers_of(number: int, post: Post) -> tuple[list[Span], list[Span]]:
    """What T and I+T say of a post."""
    gold = list(post.gold or ())
    other = [Span(span.start, span.end, "LOC") for span in gold]
    by_kind = [(other, gold), (gold, other), (other, other), (gold, gold), (gold, gold), (other, gold)]
    return by_kind[number] if number < len(by_kind) else (gold, gold)


def other_answers_of(number: int, post: Post) -> tuple[list[Span], list[Span]]:
    """What another run says: I+T is right where the first one was wrong in both views, wrong where it was right in
    both, and wrong in another way where it was harmed; T differs alone in the fifth post.
    """
    gold = list(post.gold or ())
    nothing = list[Span]()
    text, both = answers_of(number, post)
    others = {1: (gold, nothing), 2: (text, gold), 3: (gold, nothing), 4: (nothing, gold)}
    return others.get(number, (text, both))


def write_other_run(root: Path, **changes: Any) -> Run:
    """Another run of the same dataset; `changes` are to its record."""
    return write_run(root, root / "mine", "f" * 16, other_answers_of, changes)


def write_run(
    root: Path,
    folder: Path,
    name: str = "0123456789abcdef",
    answers: Callable[[int, Post], tuple[list[Span], list[Span]]] = answers_of,
    changes: Mapping[str, Any] | None = None,
) -> Run:
    posts = load_dataset(str(folder), None, root / "data").splits["test"]
    run = Run(root / "runs" / "mine" / name)
    (run.folder / "predictions").mkdir(parents=True)
    pairs = [(post, *answers(number, post)) for number, post in enumerate(posts)]
    for view, which in ((TEXT, 1), (TEXT_AND_IMAGE, 2)):
        run.predictions("test", view).write_text(format_conll([(pair[0], pair[which]) for pair in pairs]))
        told: list[dict[str, Any]] = [
            {"mentions": [{"start": span.start, "score": 0.5 + 0.4 / (1 + number)} for span in pair[which]]}
            for number, pair in enumerate(pairs)
        ]
        for mention in told[0]["mentions"] if which == 2 else ():
            mention |= BOXED
        run.mentions("test", view).write_text("".join(json.dumps(line) + "\n" for line in told))
    gold = [post.gold or () for post in posts]
    scores = [score(gold, [pair[which] for pair in pairs]) for which in (1, 2)]
    history = [
        EpochScore(
            epoch=n, loss=9 / n, nll_text=8 / n, nll_context=7 / n, alignment=1.0, text_f1=n / 9, context_f1=n / 5
        )
        for n in (1, 2, 3)
    ]
    analyses = [
        analyze(posts, [[ScoredSpan(s, 0.9) for s in pair[which]] for pair in pairs], frozenset({"kim"}))
        for which in (1, 2)
    ]
    analysis = ViewAnalysis(text=analyses[0], text_and_image=analyses[1])
    record = record_of(folder).model_copy(update={"key": name * 4, **(changes or {})})
    run.write(record, history, RunAnalysis(splits={"test": analysis}))
    run.finish(RunScores(splits={"test": ViewScores(text=scores[0], text_and_image=scores[1])}))
    return run


def record_of(folder: Path) -> RunRecord:
    return RunRecord(
        key="0123456789abcdef" * 4,
        components={"sentences": {"test": "a" * 64}, "contexts": {"test": "b" * 64}},
        dataset="mine",
        source=str(folder),
        folder=str(folder),
        command="ita train --dataset mine --set 'x.y=<b>\u202e'",
        preset="bundled",
        stages={"objects": {"detector": "nanodet-g"}},
        stage_keys={name: key_of(name).hexdigest for name in ("objects", "ocr", "caption")},
        contexts=CONTEXTS,
        captions="",
        encoder="bert<i>",
        encoder_identity="sha256:" + "c" * 64,
        training=TrainingConfig(),
        types=("PER", "LOC"),
        posts={"test": 60},
        with_context=60,
        trimmed_subtokens=0,
        vanished_words=0,
        best_epoch=3,
    )

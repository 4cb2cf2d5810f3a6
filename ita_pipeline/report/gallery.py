"""The gallery: every post with its picture, what the stages found in it, and what each view made of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.corpus.contexts import ContextConfig, described, trusted, unique
from ita_pipeline.corpus.posts import Post
from ita_pipeline.images import ImageRef
from ita_pipeline.picture_contexts import PictureContexts, Results
from ita_pipeline.report.entries import (
    GOLD,
    IT,
    Box,
    Entry,
    Findings,
    FoundCaption,
    FoundObject,
    FoundWord,
    Marked,
    Trouble,
    parts_of,
    verdict,
)
from ita_pipeline.report.thumbnails import Thumbnail
from ita_pipeline.report.visible import visible_name
from stages.base import Failure, Frozen, Value
from stages.caption import CaptionValue
from stages.external import TextValue
from stages.objects import ObjectsValue
from stages.ocr import OcrValue

MOST_OF_OTHERS = 600
NOT_APPENDED, UNSURE = "not appended to the post", "below the usual thresholds"
FILTERS = {
    "all": "all",
    "changed": "changed by the picture",
    "helped": "right with the picture only",
    "harmed": "wrong with the picture only",
    "wrong": "wrong",
    "right": "right",
    "failed": "a stage failed",
    "waiting": "a stage has not looked yet",
    "no-picture": "without a picture",
}
SORTS = {
    "telling": "the most telling first",
    "order": "as they come",
    "unsure": "least sure first",
    "sure": "surest first",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A post to be shown, by its place in its split; `answers` are the mentions by who says so."""

    post: Post
    split: str
    number: int
    answers: Mapping[str, tuple[Marked, ...]]


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of pictures by their files: keys, results, and why some cannot be read."""

    contexts: PictureContexts
    images: Mapping[Path, ImageRef]
    unreadable: Mapping[Path, str]

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that look at pictures."""
        return tuple(name for name in self.contexts.keys if name != "external")

    def results(self, post: Post) -> Results:
        computed = self.contexts.by_file.get(post.picture, {}) if post.picture else {}
        imported = self.contexts.by_id.get(post.image_id, {}) if post.image_id else {}
        return {**computed, **self.contexts.by_post.get(post, {}), **imported}


class Choice(Frozen):
    """One entry of a list to choose from, and how many posts it has."""

    value: str
    name: str
    count: int | None = None


class Gallery(Frozen):
    """What the page's script gets: entries, thumbnails by key, and types in the order of their colours.

    `what` names the entries: posts or pictures. `unused` says what those findings are that are not used. `order`
    is how entries are sorted at first.
    """

    what: str
    unused: str
    entries: tuple[Entry, ...]
    pictures: Mapping[str, str]
    types: tuple[str, ...]
    filters: tuple[Choice, ...]
    stages: tuple[Choice, ...]
    splits: tuple[Choice, ...]
    sorts: tuple[Choice, ...]
    order: str


def make_gallery(posts: Iterable[Shown], seen: Seen, thumbnails: Mapping[str, Thumbnail]) -> Gallery:
    entries = tuple(as_entry(shown, seen, thumbnails) for shown in posts)
    return gathered(entries, "posts", thumbnails)


def make_picture_gallery(folder: Path, seen: Seen, thumbnails: Mapping[str, Thumbnail]) -> Gallery:
    """A gallery of the pictures below a folder, which belong to no post."""
    times = Counter[str]()
    entries: list[Entry] = []
    for path, image in seen.images.items():
        times[image.key] += 1
        copy = f"-{times[image.key]}" if times[image.key] > 1 else ""
        post = Post("", "", (), (), image_id=None, picture=path)
        name = visible_name(path.relative_to(folder))
        entries.append(pictured(post, f"{image.key[:12]}{copy}", name, seen, thumbnails))
    for number, (path, reason) in enumerate(seen.unreadable.items(), 1):
        trouble = Findings(failed=(Trouble(stage="reading", kind="unreadable", reason=reason),))
        entries.append(
            Entry(
                anchor=f"unread-{number}",
                id=visible_name(path.relative_to(folder)),
                problem=reason,
                found=trouble,
                tags=("failed", "failed:reading", "no-picture"),
            )
        )
    return gathered(tuple(entries), "pictures", thumbnails)


def gathered(entries: tuple[Entry, ...], what: str, thumbnails: Mapping[str, Thumbnail]) -> Gallery:
    tags = Counter(tag for entry in entries for tag in entry.tags)
    judged = any(IT in entry.answers for entry in entries)
    sure = any(entry.confidence is not None for entry in entries)
    filters = {name: len(entries) if name == "all" else tags[name] for name in FILTERS}
    judging = ("right", "wrong") if judged else ()
    sorts = [*(["telling"] if judged else []), "order", *(["unsure", "sure"] if sure else [])]
    stages = sorted(tag.removeprefix("failed:") for tag in tags if tag.startswith("failed:"))
    splits = Counter(entry.split for entry in entries if entry.split)
    return Gallery(
        what=what,
        unused=NOT_APPENDED if judged else UNSURE,
        entries=entries,
        pictures={key: found.source for key, found in thumbnails.items() if found.source},
        types=tuple(sorted({name for entry in entries for name in entry.types})),
        filters=tuple(
            Choice(value=name, name=FILTERS[name], count=count)
            for name, count in filters.items()
            if count or name in judging or name == "all"
        ),
        stages=tuple(Choice(value=name, name=name, count=tags[f"failed:{name}"]) for name in stages),
        splits=tuple(Choice(value=name, name=name, count=count) for name, count in splits.items()),
        sorts=tuple(Choice(value=name, name=SORTS[name]) for name in sorts),
        order=sorts[0],
    )


def as_entry(shown: Shown, seen: Seen, thumbnails: Mapping[str, Thumbnail]) -> Entry:
    post = shown.post
    tags, rank = verdict(shown.answers)
    mentions = [mention for marks in shown.answers.values() for mention in marks]
    entry = pictured(post, f"{shown.split}-{shown.number}", visible_name(post.id), seen, thumbnails)
    scores = [mention.score for mention in shown.answers.get(IT, ()) if mention.score is not None]
    return entry.model_copy(
        update={
            "split": shown.split,
            "parts": parts_of(post),
            "answers": shown.answers,
            "tags": (*tags, *entry.tags),
            "types": tuple(sorted({mention.type for mention in mentions})),
            "confidence": min(scores, default=None) if IT in shown.answers else entry.confidence,
            "rank": rank,
        }
    )


def pictured(post: Post, anchor: str, name: str, seen: Seen, thumbnails: Mapping[str, Thumbnail]) -> Entry:
    """What there is to see and say of a post's picture."""
    image = seen.images.get(post.picture) if post.picture else None
    thumbnail = thumbnails.get(image.key) if image else None
    found = findings(seen.results(post), seen.contexts.config, seen.stages if image else ())
    failed = {trouble.stage for trouble in found.failed}
    tags = [
        *(["failed", *(f"failed:{stage}" for stage in sorted(failed))] if failed else []),
        *(["waiting"] if found.waiting else []),
        *([] if image else ["no-picture"]),
    ]
    return Entry(
        anchor=anchor,
        id=name,
        file=visible_name(post.picture.name) if post.picture else "",
        picture=image.key if image and thumbnail and thumbnail.source else "",
        problem=problem(post, image, thumbnail, seen),
        contexts=seen.contexts.of(post),
        found=found,
        tags=tuple(tags),
        confidence=min(found.scores, default=None),
    )


def problem(post: Post, image: ImageRef | None, thumbnail: Thumbnail | None, seen: Seen) -> str:
    if post.picture is None:
        return f"the picture {visible_name(post.image_id)} is not there" if post.image_id else ""
    if image is None:
        return seen.unreadable.get(post.picture, "its picture was not looked at")
    return thumbnail.problem if thumbnail else "its picture was left out of this page"


def findings(results: Results, config: ContextConfig, stages: Sequence[str]) -> Findings:
    """What the stages said of one picture. A stage that only waits for one that failed is not waiting."""
    failed = tuple(
        Trouble(stage=name, kind=result.kind, reason=result.reason)
        for name, result in results.items()
        if isinstance(result, Failure)
    )
    width, height = size_of(results)
    caption = results.get("caption")
    return Findings(
        width=width,
        height=height,
        objects=tuple(found_objects(results.get("objects"), config)),
        words=tuple(found_words(results.get("ocr"), config)),
        captions=tuple(found_captions(caption, config)),
        caption_source=caption.source if isinstance(caption, CaptionValue) else "",
        others={name: other(result) for name, result in results.items() if unknown(result)},
        failed=failed,
        waiting=() if failed else tuple(name for name in stages if name not in results),
    )


def size_of(results: Results) -> tuple[int, int]:
    for result in results.values():
        if isinstance(result, ObjectsValue | OcrValue):
            return result.width, result.height
    return 0, 0


def found_objects(value: Value | Failure | None, config: ContextConfig) -> Iterator[FoundObject]:
    if not isinstance(value, ObjectsValue):
        return
    kept = [thing for thing in value.objects if thing.score >= config.object_score]
    tags = set(unique(described(thing, config) for thing in kept)[: config.objects])
    for thing in value.objects:
        tag = described(thing, config)
        used = "objects" in config.order and thing.score >= config.object_score
        yield FoundObject(
            label=thing.label,
            score=round(thing.score, 4),
            box=rounded(thing.box),
            attributes=tuple((found.label, round(found.score, 4)) for found in thing.attributes),
            tag=tag if tag != thing.label else "",
            used=used and tag in tags,
        )


def found_words(value: Value | Failure | None, config: ContextConfig) -> Iterator[FoundWord]:
    if not isinstance(value, OcrValue):
        return
    room = config.words if "ocr" in config.order else 0
    for word in value.words:
        used = room > 0 and trusted(word, config)
        room -= used
        yield FoundWord(text=word.text, score=round(word.confidence, 4), box=rounded(word.box), used=used)


def found_captions(value: Value | Failure | None, config: ContextConfig) -> Iterator[FoundCaption]:
    if not isinstance(value, CaptionValue):
        return
    kept = set(unique(caption.text for caption in value.captions)[: config.captions])
    for caption in value.captions:
        score = None if caption.score is None else round(caption.score, 4)
        yield FoundCaption(text=caption.text, score=score, used="caption" in config.order and caption.text in kept)


def rounded(box: Sequence[float]) -> Box:
    x0, y0, x1, y1 = (round(side) for side in box)
    return x0, y0, x1, y1


def unknown(result: Value | Failure) -> bool:
    """Whether the page has no drawing or line of its own for it; contexts that are text are shown as they are."""
    return not isinstance(result, Failure | ObjectsValue | OcrValue | CaptionValue | TextValue)


def other(result: Value | Failure) -> str:
    text = json.dumps(result.model_dump(mode="json"), ensure_ascii=False)
    return text if len(text) <= MOST_OF_OTHERS else f"{text[:MOST_OF_OTHERS]} …"


def gold_of(post: Post) -> dict[str, tuple[Marked, ...]]:
    if post.gold is None:
        return {}
    return {GOLD: tuple(Marked(start=s.start, end=s.end, type=s.type) for s in sorted(post.gold))}

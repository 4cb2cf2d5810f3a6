"""The gallery: every post with its picture, what the stages found in it, and what each view made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ita_pipeline.core.text import escape_name
from ita_pipeline.corpus.posts import Post
from ita_pipeline.extraction.contexts import PostContexts, Results
from ita_pipeline.reports.findings import findings
from ita_pipeline.reports.models import GOLD, IT, Entry, Findings, Marked, T, Trouble, parts_of, verdict
from ita_pipeline.reports.thumbnails import Thumbnail
from ita_pipeline.sources.refs import ImageRef
from stages.base import Frozen

NOT_APPENDED, UNSURE = "not appended to the post", "below the usual thresholds"

PICTURE_FILTERS = {
    "failed": "a stage failed",
    "waiting": "a stage has not looked yet",
    "no-picture": "without a picture",
}

FILTERS = {
    "all": "all",
    "changed": "changed by the picture",
    "helped": "right with the picture only",
    "harmed": "wrong with the picture only",
    "wrong": "wrong",
    "right": "right",
    **PICTURE_FILTERS,
}

SORTS = {
    "telling": "the most telling first",
    "order": "as they come",
    "unsure": "least sure first",
    "sure": "surest first",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A post to be shown, by its place in its split; `answers` are the mentions by who says so, `tags` more filters
    that it passes.
    """

    post: Post
    split: str
    number: int
    answers: Mapping[str, tuple[Marked, ...]]
    tags: tuple[str, ...] = ()

    @property
    def anchor(self) -> str:
        """What links to it; it holds nothing that the post said."""
        return f"{self.split}-{self.number}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of pictures by their files: keys, results, and why some cannot be read."""

    contexts: PostContexts
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


class Telling(Frozen):
    """Which answers a gallery shows, in order, and how it compares two of them in words.

    `verdicts` are tags, of which the first that a post has is told: whether it is right or wrong, and the words.
    """

    views: tuple[str, ...]
    before: str
    after: str
    verdicts: tuple[tuple[str, str, str], ...]
    changed: str
    title: str
    said_before: str
    said_after: str


BY_PICTURE = Telling(
    views=(GOLD, T, IT),
    before=T,
    after=IT,
    verdicts=(
        ("helped", "right", "✓ right with the picture only"),
        ("harmed", "wrong", "✗ wrong with the picture only"),
        ("right", "right", "✓ right"),
        ("wrong", "wrong", "✗ wrong"),
    ),
    changed="changed by the picture",
    title="What the picture changed",
    said_before="the text alone said",
    said_after="with the picture it says",
)


class Choice(Frozen):
    """One entry of a list to choose from, and how many posts it has."""

    value: str
    name: str
    count: int | None = None


class Gallery(Frozen):
    """What the page's script gets: entries, thumbnails by key, and types in the order of their colours.

    `what` names the entries: posts or pictures. `telling` says how answers are compared, `unused` what those
    findings are that are not used. `order` is how entries are sorted at first.
    """

    what: str
    telling: Telling
    unused: str
    entries: tuple[Entry, ...]
    pictures: Mapping[str, str]
    types: tuple[str, ...]
    filters: tuple[Choice, ...]
    stages: tuple[Choice, ...]
    splits: tuple[Choice, ...]
    sorts: tuple[Choice, ...]
    order: str


def make_gallery(
    posts: Iterable[Shown],
    seen: Seen,
    thumbnails: Mapping[str, Thumbnail],
    telling: Telling = BY_PICTURE,
    filters: Mapping[str, str] = FILTERS,
) -> Gallery:
    entries = tuple(as_entry(shown, seen, thumbnails, telling) for shown in posts)
    return gathered(entries, "posts", thumbnails, telling, filters)


def make_picture_gallery(folder: Path, seen: Seen, thumbnails: Mapping[str, Thumbnail]) -> Gallery:
    """A gallery of the pictures of a folder, or another source, which belong to no post."""
    times = Counter[str]()
    entries: list[Entry] = []
    for path, image in seen.images.items():
        times[image.key] += 1
        copy = f"-{times[image.key]}" if times[image.key] > 1 else ""
        post = Post("", "", (), (), image_id=None, picture=path)
        name = name_in(folder, path)
        entries.append(pictured(post, f"{image.key[:12]}{copy}", name, seen, thumbnails))
    for number, (path, reason) in enumerate(seen.unreadable.items(), 1):
        trouble = Findings(failed=(Trouble(stage="reading", kind="unreadable", reason=reason),))
        entries.append(
            Entry(
                anchor=f"unread-{number}",
                id=name_in(folder, path),
                problem=reason,
                found=trouble,
                tags=("failed", "failed:reading", "no-picture"),
            )
        )
    return gathered(tuple(entries), "pictures", thumbnails)


def name_in(folder: Path, path: Path) -> str:
    return escape_name(path.relative_to(folder) if path.is_relative_to(folder) else path)


def gathered(
    entries: tuple[Entry, ...],
    what: str,
    thumbnails: Mapping[str, Thumbnail],
    telling: Telling = BY_PICTURE,
    names: Mapping[str, str] = FILTERS,
) -> Gallery:
    tags = Counter(tag for entry in entries for tag in entry.tags)
    judged = any(telling.after in entry.answers for entry in entries)
    sure = any(entry.confidence is not None for entry in entries)
    filters = {name: len(entries) if name == "all" else tags[name] for name in names}
    judging = ("right", "wrong") if judged else ()
    sorts = [*(["telling"] if judged else []), "order", *(["unsure", "sure"] if sure else [])]
    stages = sorted(tag.removeprefix("failed:") for tag in tags if tag.startswith("failed:"))
    splits = Counter(entry.split for entry in entries if entry.split)
    return Gallery(
        what=what,
        telling=telling,
        unused=NOT_APPENDED if judged else UNSURE,
        entries=entries,
        pictures={key: found.source for key, found in thumbnails.items() if found.source},
        types=tuple(sorted({name for entry in entries for name in entry.types})),
        filters=tuple(
            Choice(value=name, name=names[name], count=count)
            for name, count in filters.items()
            if count or name in judging or name == "all"
        ),
        stages=tuple(Choice(value=name, name=name, count=tags[f"failed:{name}"]) for name in stages),
        splits=tuple(Choice(value=name, name=name, count=count) for name, count in splits.items()),
        sorts=tuple(Choice(value=name, name=SORTS[name]) for name in sorts),
        order=sorts[0],
    )


def as_entry(shown: Shown, seen: Seen, thumbnails: Mapping[str, Thumbnail], telling: Telling) -> Entry:
    post = shown.post
    tags, rank = verdict(shown.answers, telling.before, telling.after)
    mentions = [mention for marks in shown.answers.values() for mention in marks]
    entry = pictured(post, shown.anchor, escape_name(post.id), seen, thumbnails)
    scores = [mention.score for mention in shown.answers.get(telling.after, ()) if mention.score is not None]
    return entry.model_copy(
        update={
            "split": shown.split,
            "parts": parts_of(post),
            "answers": shown.answers,
            "tags": (*tags, *shown.tags, *entry.tags),
            "types": tuple(sorted({mention.type for mention in mentions})),
            "confidence": min(scores, default=None) if telling.after in shown.answers else entry.confidence,
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
        file=escape_name(post.picture.name) if post.picture else "",
        picture=image.key if image and thumbnail and thumbnail.source else "",
        problem=problem(post, image, thumbnail, seen),
        contexts=seen.contexts.of(post),
        found=found,
        tags=tuple(tags),
        confidence=min(found.scores, default=None),
    )


def problem(post: Post, image: ImageRef | None, thumbnail: Thumbnail | None, seen: Seen) -> str:
    if post.picture is None:
        return f"the picture {escape_name(post.image_id)} is not there" if post.image_id else ""
    if image is None:
        return seen.unreadable.get(post.picture, "its picture was not looked at")
    return thumbnail.problem if thumbnail else "its picture was left out of this page"


def gold_of(post: Post) -> dict[str, tuple[Marked, ...]]:
    if post.gold is None:
        return {}
    return {GOLD: tuple(Marked(start=s.start, end=s.end, type=s.type) for s in sorted(post.gold))}

"""The gallery: every post with its picture, the stages' findings in it, and the mentions of each view."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import Field

from ita_pipeline.core.config import read_yaml
from ita_pipeline.core.text import escape_name
from ita_pipeline.corpus.contexts import join_named_pieces
from ita_pipeline.corpus.posts import Picture, Post
from ita_pipeline.extraction.contexts import Results
from ita_pipeline.reports.cache_lookup import CacheLookup
from ita_pipeline.reports.findings import Findings, StageFailure, collect_findings
from ita_pipeline.reports.posts import GOLD, KIND_NAMES, PageExplanation, ReportMention, ReportPost, judge_answers
from ita_pipeline.reports.thumbnails import Thumbnail, Thumbnails
from stages.base import Frozen

NOT_APPENDED, UNSURE = "not appended to the post", "below the default thresholds"

PICTURE_FILTERS = {
    "failed": "with a failed stage",
    "waiting": "not yet processed by every stage",
    "no-picture": "without a picture",
}

SORTS = {
    "telling": "most informative first",
    "order": "original order",
    "unsure": "least certain first",
    "sure": "most certain first",
}


class AnswerComparison(Frozen):
    """The answers of a gallery, in order, and the words that compare two of them, `before` and `after`.

    `verdicts` are a tag, right or wrong, and words; the page shows the first whose tag the post has. `filters` are
    the names of the filters by tag, in order; those of `PICTURE_FILTERS` follow.
    """

    views: tuple[str, ...]
    before: str
    after: str
    verdicts: tuple[tuple[str, str, str], ...]
    changed: str
    title: str
    said_before: str
    said_after: str
    filters: Mapping[str, str] = Field(exclude=True)


_COMPARISONS = read_yaml(Path(__file__).with_name("templates") / "comparisons.yaml")

VIEW_COMPARISON = AnswerComparison.model_validate(_COMPARISONS["views"])

RUN_COMPARISON = AnswerComparison.model_validate(_COMPARISONS["runs"])


class GalleryEntry(Frozen):
    """A post or a picture of the gallery.

    `anchor` is its link fragment and contains no text of the post. `parts` is the result of `split_at_words`.
    `answers` are mentions by label: gold, T, I+T. `picture` is the key of the thumbnail, and `problem` the reason
    if there is none; `more` are the post's other pictures. `contexts` are names and texts, and `explanation` is
    there if asked for. `tags` are the filters that the entry passes; `rank` sorts the most telling posts first.
    """

    anchor: str
    id: str
    split: str = ""
    parts: tuple[str, ...] = ()
    answers: Mapping[str, tuple[ReportMention, ...]] = {}
    file: str = ""
    picture: str = ""
    problem: str = ""
    contexts: tuple[tuple[str, str], ...] = ()
    found: Findings = Findings()
    tags: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    confidence: float | None = None
    rank: int = 0
    explanation: PageExplanation | None = None
    more: tuple[GalleryEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class SelectOption:
    """One option of a select box, and the number of entries that it selects."""

    value: str
    name: str
    count: int | None = None


class Gallery(Frozen):
    """The data for the page's script: entries, thumbnails by key, and types in the order of their colors.

    `what` names the entries: posts or pictures; `kinds` names the kinds of errors, and `highlights` asks for the
    first screen's cards. `telling` is how answers are compared, `unused` the reason why some findings are not used,
    `order` the initial sort order, and `language` that of the posts, if it is known. The template writes the
    options of the select boxes, which are therefore not among the script's data.
    """

    what: str
    telling: AnswerComparison
    unused: str
    pictures: Mapping[str, str]
    types: tuple[str, ...]
    order: str
    language: str = ""
    kinds: Mapping[str, str] = {}
    highlights: bool = False
    entries: tuple[GalleryEntry, ...] = Field(exclude=True)
    filters: tuple[SelectOption, ...] = Field(exclude=True)
    stages: tuple[SelectOption, ...] = Field(exclude=True)
    splits: tuple[SelectOption, ...] = Field(exclude=True)
    sorts: tuple[SelectOption, ...] = Field(exclude=True)


def make_gallery(
    posts: Iterable[ReportPost],
    lookup: CacheLookup,
    thumbnails: Thumbnails,
    comparison: AnswerComparison = VIEW_COMPARISON,
) -> Gallery:
    """Make the gallery of posts."""
    entries = [_make_post_entry(post, lookup, thumbnails, comparison) for post in posts]
    return _assemble_gallery("posts", entries, thumbnails, comparison, lookup.contexts.config.language)


def make_picture_gallery(folder: Path, lookup: CacheLookup, thumbnails: Thumbnails) -> Gallery:
    """Make the gallery of pictures without posts; those below `folder` are named by their path in it."""
    counts = Counter[str]()
    entries: list[GalleryEntry] = []
    for path, image in lookup.images.items():
        counts[image.key] += 1
        copy = f"-{counts[image.key]}" if counts[image.key] > 1 else ""
        post = Post("", "", (), (), pictures=(Picture(str(path), path),))
        name = _format_path(folder, path)
        entries.append(_make_picture_entry(post, f"{image.key[:12]}{copy}", name, lookup, thumbnails))
    for number, (path, reason) in enumerate(lookup.unreadable.items(), 1):
        entries.append(
            GalleryEntry(
                anchor=f"unread-{number}",
                id=_format_path(folder, path),
                problem=reason,
                found=Findings(failed=(StageFailure(stage="reading", kind="unreadable", reason=reason),)),
                tags=("failed", "failed:reading", "no-picture"),
            )
        )
    return _assemble_gallery("pictures", entries, thumbnails, VIEW_COMPARISON)


def split_at_words(post: Post) -> tuple[str, ...]:
    """Split the text into the space before the first word, that word, the space after it, and so on."""
    borders = [0, *(position for offsets in post.offsets for position in offsets), len(post.text)]
    return tuple(post.text[start:end] for start, end in zip(borders, borders[1:], strict=False))


def _format_path(folder: Path, path: Path) -> str:
    return escape_name(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _assemble_gallery(
    what: str,
    entries: list[GalleryEntry],
    thumbnails: Thumbnails,
    comparison: AnswerComparison,
    language: str = "",
) -> Gallery:
    tags = Counter(tag for entry in entries for tag in entry.tags)
    tags["all"] = len(entries)
    has_answers = any(comparison.after in entry.answers for entry in entries)
    has_gold = any(GOLD in entry.answers for entry in entries)
    has_scores = any(entry.confidence is not None for entry in entries)
    permanent = ("all", "right", "wrong") if has_answers and has_gold else ("all",)
    names = {**comparison.filters, **PICTURE_FILTERS}
    filters = {tag: name for tag, name in names.items() if tags[tag] or tag in permanent}
    is_judged = has_answers and has_gold
    sorts = [*(["telling"] if is_judged else []), "order", *(["unsure", "sure"] if has_scores else [])]
    if has_answers and not has_gold:  # what a person should look at first
        sorts.sort(key=lambda name: name != "unsure")
    stages = sorted(tag.removeprefix("failed:") for tag in tags if tag.startswith("failed:"))
    splits = Counter(entry.split for entry in entries if entry.split)
    return Gallery(
        what=what,
        telling=comparison,
        unused=NOT_APPENDED if has_answers else UNSURE,
        entries=tuple(entries),
        pictures={key: thumbnail.source for key, thumbnail in thumbnails.items() if thumbnail.source},
        kinds={str(kind): name for kind, name in KIND_NAMES.items()} if has_answers and has_gold else {},
        highlights=comparison is VIEW_COMPARISON,
        types=tuple(sorted({name for entry in entries for name in entry.types})),
        filters=tuple(SelectOption(tag, name, tags[tag]) for tag, name in filters.items()),
        stages=tuple(SelectOption(name, name, tags[f"failed:{name}"]) for name in stages),
        splits=tuple(SelectOption(name, name, count) for name, count in splits.items()),
        sorts=tuple(SelectOption(name, SORTS[name]) for name in sorts),
        order=sorts[0],
        language=language,
    )


def _make_post_entry(
    item: ReportPost, lookup: CacheLookup, thumbnails: Thumbnails, comparison: AnswerComparison
) -> GalleryEntry:
    tags, rank = judge_answers(item.answers, comparison.before, comparison.after)
    entry = _make_picture_entry(item.post, item.anchor, escape_name(item.post.id), lookup, thumbnails)
    confidence = entry.confidence
    if comparison.after in item.answers:
        scores = [mention.score for mention in item.answers[comparison.after] if mention.score is not None]
        confidence = min(scores, default=None)
    return entry.model_copy(
        update={
            "split": item.split,
            "parts": split_at_words(item.post),
            "answers": item.answers,
            "tags": (*tags, *item.tags, *entry.tags),
            "types": tuple(sorted({mention.type for answer in item.answers.values() for mention in answer})),
            "confidence": confidence,
            "rank": rank,
            "explanation": item.explanation,
        }
    )


def _make_picture_entry(
    post: Post, anchor: str, name: str, lookup: CacheLookup, thumbnails: Thumbnails
) -> GalleryEntry:
    """Return an entry with what is known of a post's pictures, and without the post's text and mentions."""
    results = lookup.contexts.results(post)
    entries = [
        _make_entry_of_one(replace(post, pictures=pictures), anchor, name, lookup, thumbnails, found, results)
        for pictures, found in zip([(one,) for one in post.pictures] or [()], results, strict=True)
    ]
    scores = [entry.confidence for entry in entries if entry.confidence is not None]
    return entries[0].model_copy(
        update={
            "contexts": join_named_pieces(lookup.contexts.pieces(post), lookup.contexts.config),
            "tags": tuple(dict.fromkeys(tag for entry in entries for tag in entry.tags)),
            "confidence": min(scores, default=None),
            "more": tuple(entries[1:]),
        }
    )


def _make_entry_of_one(  # noqa: PLR0913
    post: Post,
    anchor: str,
    name: str,
    lookup: CacheLookup,
    thumbnails: Thumbnails,
    found: Results,
    results: Sequence[Results],
) -> GalleryEntry:
    """Return an entry of one picture, for which something was `found`; `results` are those for all of its post."""
    image = lookup.image(post)
    thumbnail = thumbnails.get(image.key) if image else None
    findings = collect_findings(found, lookup.contexts.config, lookup.stages if image else (), results)
    failed = sorted({failure.stage for failure in findings.failed})
    tags = [
        *(["failed", *(f"failed:{stage}" for stage in failed)] if failed else []),
        *(["waiting"] if findings.waiting else []),
        *([] if image else ["no-picture"]),
    ]
    return GalleryEntry(
        anchor=anchor,
        id=name,
        file=escape_name(post.picture.name) if post.picture else "",
        picture=image.key if image and thumbnail and thumbnail.source else "",
        problem=_explain_missing_picture(post, thumbnail, lookup),
        found=findings,
        tags=tuple(tags),
        confidence=min(findings.scores, default=None),
    )


def _explain_missing_picture(post: Post, thumbnail: Thumbnail | None, lookup: CacheLookup) -> str:
    if post.picture is None:
        return f"the picture {escape_name(post.pictures[0].name)} was not found" if post.pictures else ""
    if post.picture not in lookup.images:
        return lookup.unreadable.get(post.picture, "its picture was not processed")
    return thumbnail.problem if thumbnail else "this page leaves out its picture"

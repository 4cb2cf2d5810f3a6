"""Checks of a dataset: pure functions from posts to findings.

No function opens an image or loads a model; the caller provides the content of images and the length of views.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ita_pipeline.core.text import format_count
from ita_pipeline.corpus.boxes import is_outside
from ita_pipeline.corpus.findings import Finding, FindingKind
from ita_pipeline.corpus.line_errors import LineError
from ita_pipeline.corpus.posts import Post

Splits = Mapping[str, Sequence[Post]]

FEW_MENTIONS = 10
"""A type with fewer mentions in train is one that a tagger learns badly."""


@dataclass(frozen=True, slots=True)
class ViewFit:
    """How a post with its contexts fits the encoder: the number of windows, and of sub-tokens cut off."""

    windows: int
    trimmed: int


@dataclass(frozen=True, slots=True)
class ImageChecks:
    """Results of reading image files: content keys of readable files, and reasons why the others are bad.

    `sizes` are width and height in pixels.
    """

    keys: Mapping[Path, str] = field(default_factory=dict)
    bad: Mapping[Path, str] = field(default_factory=dict)
    sizes: Mapping[Path, tuple[int, int]] = field(default_factory=dict)

    def identify(self, post: Post) -> Iterator[tuple[Hashable, str]]:
        """Each image of a post by its content if the file was read, else by its name; and what to show of it."""
        for picture in post.pictures:
            content = self.keys.get(picture.file) if picture.file else None
            yield content or f"name {picture.name}", picture.name


def check_lines(errors: Iterable[LineError]) -> Iterator[Finding]:
    """Findings for faulty lines."""
    for error in errors:
        yield Finding(error.kind, error.reason, file=error.file, line=error.line)


def check_trainable(splits: Splits) -> Iterator[Finding]:
    """Find what makes training impossible: splits without posts, posts without labels, nothing to learn."""
    for split in ("train", "dev", "test"):
        posts = splits.get(split, ())
        unlabeled = [post for post in posts if post.gold is None]
        if not posts:
            yield Finding(FindingKind.EMPTY_SPLIT, "no posts", split)
        elif len(unlabeled) == len(posts):
            yield Finding(FindingKind.UNLABELED, "no post has labels", split)
        else:
            yield from (Finding(FindingKind.UNLABELED, "no labels", split, post.id) for post in unlabeled)
            if split == "train" and not any(post.gold for post in posts):
                yield Finding(FindingKind.NO_MENTION, "no post has a mention", split)


def describe_rare_types(splits: Splits) -> list[str]:
    """Describe the types with fewer than `FEW_MENTIONS` mentions in train."""
    counts = Counter(span.type for post in splits.get("train", ()) for span in post.gold or ())
    rare = [f"{name} {count}" for name, count in sorted(counts.items()) if count < FEW_MENTIONS]
    return [
        f"types with fewer than {FEW_MENTIONS} mentions in train, too few to learn well: {', '.join(rare)}"
    ] * bool(rare)


def check_posts(splits: Splits) -> Iterator[Finding]:
    """Find posts without words, with unseen types, or with the id or text of another post."""
    for split, posts in splits.items():
        for post in posts:
            if not post.words:
                yield Finding(FindingKind.EMPTY_POST, "no word", split, post.id)
    yield from _find_unseen_types(splits)
    yield from _find_duplicates(splits)
    yield from _find_leaks(FindingKind.LEAKED_TEXT, splits, lambda post: [(fingerprint(post), post.text)])


def check_images(splits: Splits, images: ImageChecks) -> Iterator[Finding]:
    """Find images that are missing, unreadable, or in two splits, and boxes that leave their image."""
    for split, posts in splits.items():
        for post in posts:
            for picture in post.pictures:
                if picture.file is None:
                    yield Finding(
                        FindingKind.MISSING_PICTURE, f"there is no picture {picture.name}", split, post.id
                    )
                elif picture.file in images.bad:
                    yield Finding(
                        FindingKind.BAD_PICTURE, f"{picture.file.name}: {images.bad[picture.file]}", split, post.id
                    )
            yield from _find_boxes_outside(post, split, images)
    yield from _find_leaks(FindingKind.LEAKED_PICTURE, splits, images.identify)


def _find_boxes_outside(post: Post, split: str, images: ImageChecks) -> Iterator[Finding]:
    size = images.sizes.get(post.picture) if post.picture else None
    place = f"in a picture of {size[0]}×{size[1]}" if size else "of a post that has no picture"
    named = (
        (" ".join(post.words[span.start : span.end]), box) for span in post.gold or () for box in span.boxes or ()
    )
    for words, box in dict.fromkeys(named):  # a repeated name has its boxes once
        if is_outside(box, size) if size else not post.pictures:
            corners = ", ".join(f"{side:g}" for side in box)
            yield Finding(FindingKind.OUTSIDE_BOX, f"[{corners}] of {words!r} {place}", split, post.id)


def check_lengths(splits: Splits, measure: Callable[[Post], ViewFit]) -> Iterator[Finding]:
    """Find posts that the encoder reads in several windows, and contexts that are cut."""
    for split, posts in splits.items():
        for post in posts:
            fit = measure(post)
            if fit.windows > 1:
                what = f"{format_count(len(post.words), 'word')} in {fit.windows} windows"
                yield Finding(FindingKind.LONG_POST, what, split, post.id)
            if fit.trimmed:
                yield Finding(FindingKind.TRIMMED, f"{format_count(fit.trimmed, 'sub-token')} cut", split, post.id)


def _find_unseen_types(splits: Splits) -> Iterator[Finding]:
    if "train" not in splits:
        return
    known = {span.type for post in splits["train"] for span in post.gold or ()}
    for split, posts in splits.items():
        unseen: dict[str, Post] = {}
        for post in posts:
            for span in post.gold or ():
                if span.type not in known:
                    unseen.setdefault(span.type, post)
        for name, post in unseen.items():
            yield Finding(FindingKind.UNSEEN_TYPE, f"train has no mention of type {name}", split, post.id)


def _find_duplicates(splits: Splits) -> Iterator[Finding]:
    for split, posts in splits.items():
        ids: dict[str, Post] = {}
        texts: dict[Hashable, Post] = {}
        for post in posts:
            if ids.setdefault(post.id, post) is not post:
                yield Finding(FindingKind.DUPLICATE_ID, "another post has this id", split, post.id)
            first = texts.setdefault(fingerprint(post), post) if post.words else post
            if first is not post:
                yield Finding(
                    FindingKind.DUPLICATE_TEXT, f"as post {first.id}: {_shorten(post.text)}", split, post.id
                )
                if first.gold != post.gold and len(first.words) == len(post.words):
                    yield Finding(
                        FindingKind.CONFLICT, f"than post {first.id}: {_shorten(post.text)}", split, post.id
                    )


def _find_leaks(
    kind: FindingKind, splits: Splits, identify: Callable[[Post], Iterable[tuple[Hashable, str]]]
) -> Iterator[Finding]:
    """Posts that share a key with an earlier split. `identify` returns keys, each with what to show of it."""
    earlier: dict[Hashable, tuple[str, Post]] = {}
    for split, posts in splits.items():
        current: dict[Hashable, tuple[str, Post]] = {}
        for post, (key, shown) in ((one, found) for one in posts if one.words for found in identify(one)):
            if key in earlier:
                other, first = earlier[key]
                yield Finding(kind, f"as post {first.id} of {other}: {_shorten(shown)}", split, post.id)
            current.setdefault(key, (split, post))
        earlier = {**current, **earlier}


def fingerprint(post: Post) -> Hashable:
    """The words of a post without links, capitals and variants of Unicode, which differ when a text is reposted."""
    words = [word for word in post.words if not word.lower().startswith(("http://", "https://"))]
    return tuple(unicodedata.normalize("NFKC", word).casefold() for word in words or post.words)


def _shorten(text: str, max_characters: int = 60) -> str:
    return text if len(text) <= max_characters else text[: max_characters - 1] + "…"

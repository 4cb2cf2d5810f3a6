"""Checks of a dataset: pure functions from posts to findings.

No function opens an image or loads a model; the caller provides the content of images and the length of views.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ita_pipeline.core.text import format_count
from ita_pipeline.corpus.boxes import is_outside
from ita_pipeline.corpus.line_errors import LineError
from ita_pipeline.corpus.posts import Post

Splits = Mapping[str, Sequence[Post]]


@dataclass(frozen=True, slots=True)
class FindingKind:
    """A kind of finding: its name in JSON and in `--ignore`, a title for one and for several, and what to do."""

    name: str
    one: str
    several: str
    advice: str


BAD_TAG = FindingKind(
    "bad-tag", "invalid tag", "invalid tags", "Training refuses the file. Tags are O, B-TYPE and I-TYPE."
)

CONTEXT_TAG = FindingKind(
    "context-tag",
    "word of a context among the words of tweets",
    "words of contexts among the words of tweets",
    "Training refuses the file. Separate tweets and contexts: ita data import FILE --to FOLDER",
)

MISSING_TAG = FindingKind(
    "missing-tag", "word without a tag", "words without a tag", "Their posts count as unlabeled. Write O."
)

BAD_LINE = FindingKind(
    "bad-line", "invalid line", "invalid lines", "Training refuses the file. Correct or remove them."
)

ORPHAN_TAG = FindingKind(
    "orphan-tag",
    "I- tag that continues no mention",
    "I- tags that continue no mention",
    "Each is read as the start of a mention, as UMT and ITA do. Scores that ignore them are not comparable.",
)

PARTIAL_MENTION = FindingKind(
    "partial-mention",
    "mention that begins or ends inside a word",
    "mentions that begin or end inside a word",
    "Tags cannot express them: they are not learned, and count as missed. Correct the offsets, or accept it.",
)

OVERLAPPING_MENTION = FindingKind(
    "overlapping-mention",
    "mention that overlaps another mention",
    "mentions that overlap another mention",
    "Tags can express only the longest of them. All of them count when scoring.",
)

BAD_BOX = FindingKind(
    "bad-box",
    "box or file of boxes that cannot be read",
    "boxes or files of boxes that cannot be read",
    "Training refuses them. Correct the files.",
)

UNMATCHED_BOX = FindingKind(
    "unmatched-box",
    "box that matches no mention",
    "boxes that match no mention",
    "They are left out. Name each box as the words of its mention, with single spaces between them.",
)

OUTSIDE_BOX = FindingKind(
    "outside-box",
    "box that leaves its picture",
    "boxes that leave their picture",
    "They are kept as they are. Boxes are xyxy in pixels of the upright picture.",
)

EMPTY_SPLIT = FindingKind(
    "empty-split",
    "split without posts",
    "splits without posts",
    "Training needs posts in train, dev and test. Name the split of each post, or add the missing file.",
)

EMPTY_POST = FindingKind(
    "empty-post", "post without words", "posts without words", "Nothing can be found in them. Remove them."
)

UNLABELLED = FindingKind(
    "unlabelled-post",
    "post or split without labels",
    "posts or splits without labels",
    "Training refuses the dataset. Give each post its mentions, an empty list where there are none.",
)

NO_MENTION = FindingKind(
    "no-mention",
    "split without mentions",
    "splits without mentions",
    "Training refuses it: there is nothing to learn.",
)

UNSEEN_TYPE = FindingKind(
    "unseen-type",
    "type that train lacks",
    "types that train lacks",
    "They cannot be learned. Correct the spelling, or rename them in the card.",
)

DUPLICATE_ID = FindingKind(
    "duplicate-id", "repeated id in a split", "repeated ids in a split", "Give every post an id of its own."
)

DUPLICATE_TEXT = FindingKind(
    "duplicate-text",
    "text that occurs twice in a split",
    "texts that occur twice in a split",
    "They count twice. Links and capitals are not compared.",
)

CONFLICT = FindingKind(
    "conflicting-labels",
    "repeated text with other labels",
    "repeated texts with other labels",
    "One of the two is wrong, or the picture decides.",
)

LEAKED_TEXT = FindingKind(
    "leaked-text",
    "text that occurs in two splits",
    "texts that occur in two splits",
    "The scored posts were seen in training. Keep them in one split. Links and capitals are not compared.",
)

LEAKED_PICTURE = FindingKind(
    "leaked-picture",
    "picture that occurs in two splits",
    "pictures that occur in two splits",
    "The scored posts were seen in training. Move them.",
)

MISSING_PICTURE = FindingKind(
    "missing-picture", "missing picture", "missing pictures", "Their posts are read without the picture's contexts."
)

BAD_PICTURE = FindingKind(
    "bad-picture",
    "file that is not a readable picture",
    "files that are not readable pictures",
    "Replace or remove them.",
)

LONG_POST = FindingKind(
    "long-post",
    "post longer than the encoder's input",
    "posts longer than the encoder's input",
    "They are read in overlapping windows, each with all contexts, which takes longer.",
)

TRIMMED = FindingKind(
    "trimmed-context",
    "context longer than its part of the encoder's input",
    "contexts longer than their part of the encoder's input",
    "They are cut at the end, though not below half of the input. To shorten them: --set contexts.words=50",
)

KINDS = (
    BAD_TAG, CONTEXT_TAG, MISSING_TAG, BAD_LINE, ORPHAN_TAG, PARTIAL_MENTION, OVERLAPPING_MENTION, BAD_BOX,
    UNMATCHED_BOX, OUTSIDE_BOX, EMPTY_SPLIT,
    EMPTY_POST, UNLABELLED, NO_MENTION, UNSEEN_TYPE, DUPLICATE_ID, DUPLICATE_TEXT, CONFLICT, LEAKED_TEXT,
    LEAKED_PICTURE, MISSING_PICTURE, BAD_PICTURE, LONG_POST, TRIMMED,
)  # fmt: skip

FEW_MENTIONS = 10
"""A type with fewer mentions in train is one that a tagger learns badly."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong in a dataset, with its place: a line of a file, or a split and perhaps a post."""

    kind: FindingKind
    what: str
    split: str = ""
    post: str = ""
    file: str = ""
    line: int = 0

    @property
    def where(self) -> str:
        """The place, for people."""
        if self.file:
            return f"{self.file}, line {self.line}"
        return f"{self.split}, post {self.post}" if self.post else self.split


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
    """Findings for faulty lines; the kinds of both have the same names."""
    kinds = {kind.name: kind for kind in KINDS}
    for error in errors:
        yield Finding(kinds[error.kind], error.reason, file=error.file, line=error.line)


def check_trainable(splits: Splits) -> Iterator[Finding]:
    """Find what makes training impossible: splits without posts, posts without labels, nothing to learn."""
    for split in ("train", "dev", "test"):
        posts = splits.get(split, ())
        unlabeled = [post for post in posts if post.gold is None]
        if not posts:
            yield Finding(EMPTY_SPLIT, "no posts", split)
        elif len(unlabeled) == len(posts):
            yield Finding(UNLABELLED, "no post has labels", split)
        else:
            yield from (Finding(UNLABELLED, "no labels", split, post.id) for post in unlabeled)
            if split == "train" and not any(post.gold for post in posts):
                yield Finding(NO_MENTION, "no post has a mention", split)


def describe_rare_types(splits: Splits) -> list[str]:
    """Describe the types with fewer than `FEW_MENTIONS` mentions in train."""
    counts = Counter(span.type for post in splits.get("train", ()) for span in post.gold or ())
    rare = [f"{name} {count}" for name, count in sorted(counts.items()) if count < FEW_MENTIONS]
    return [
        f"types with fewer than {FEW_MENTIONS} mentions in train, too few to learn well: {', '.join(rare)}"
    ] * bool(rare)


def check_posts(splits: Splits) -> Iterator[Finding]:
    """Posts without words, with unseen types, or with the id or text of another post."""
    for split, posts in splits.items():
        for post in posts:
            if not post.words:
                yield Finding(EMPTY_POST, "no word", split, post.id)
    yield from _find_unseen_types(splits)
    yield from _find_duplicates(splits)
    yield from _find_leaks(LEAKED_TEXT, splits, lambda post: [(fingerprint(post), post.text)])


def check_images(splits: Splits, images: ImageChecks) -> Iterator[Finding]:
    """Images that are missing, unreadable, or in two splits, and boxes that leave their image."""
    for split, posts in splits.items():
        for post in posts:
            for picture in post.pictures:
                if picture.file is None:
                    yield Finding(MISSING_PICTURE, f"there is no picture {picture.name}", split, post.id)
                elif picture.file in images.bad:
                    yield Finding(BAD_PICTURE, f"{picture.file.name}: {images.bad[picture.file]}", split, post.id)
            yield from _find_boxes_outside(post, split, images)
    yield from _find_leaks(LEAKED_PICTURE, splits, images.identify)


def _find_boxes_outside(post: Post, split: str, images: ImageChecks) -> Iterator[Finding]:
    size = images.sizes.get(post.picture) if post.picture else None
    for span in post.gold or () if size else ():
        for box in span.boxes or ():
            if size and is_outside(box, size):
                words = " ".join(post.words[span.start : span.end])
                corners = ", ".join(f"{side:g}" for side in box)
                reason = f"[{corners}] of {words!r} in a picture of {size[0]}×{size[1]}"
                yield Finding(OUTSIDE_BOX, reason, split, post.id)


def check_lengths(splits: Splits, measure: Callable[[Post], ViewFit]) -> Iterator[Finding]:
    """Posts that the encoder reads in several windows, and contexts that are cut."""
    for split, posts in splits.items():
        for post in posts:
            fit = measure(post)
            if fit.windows > 1:
                what = f"{format_count(len(post.words), 'word')} in {fit.windows} windows"
                yield Finding(LONG_POST, what, split, post.id)
            if fit.trimmed:
                yield Finding(TRIMMED, f"{format_count(fit.trimmed, 'sub-token')} cut", split, post.id)


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
            yield Finding(UNSEEN_TYPE, f"train has no mention of type {name}", split, post.id)


def _find_duplicates(splits: Splits) -> Iterator[Finding]:
    for split, posts in splits.items():
        ids: dict[str, Post] = {}
        texts: dict[Hashable, Post] = {}
        for post in posts:
            if ids.setdefault(post.id, post) is not post:
                yield Finding(DUPLICATE_ID, "another post has this id", split, post.id)
            first = texts.setdefault(fingerprint(post), post) if post.words else post
            if first is not post:
                yield Finding(DUPLICATE_TEXT, f"as post {first.id}: {_shorten(post.text)}", split, post.id)
                if first.gold != post.gold and len(first.words) == len(post.words):
                    yield Finding(CONFLICT, f"than post {first.id}: {_shorten(post.text)}", split, post.id)


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


def group_by_kind(findings: Iterable[Finding]) -> dict[FindingKind, list[Finding]]:
    """Group findings by kind, in the order of `KINDS`."""
    groups: dict[FindingKind, list[Finding]] = defaultdict(list)
    for finding in findings:
        groups[finding.kind].append(finding)
    return {kind: groups[kind] for kind in KINDS if kind in groups}

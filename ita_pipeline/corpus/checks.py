"""What is wrong with a dataset: pure functions from posts to findings.

Nothing here opens a picture or loads a model; whoever calls says which picture is which and how long a view is.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ita_pipeline.corpus.line_errors import LineError, LineErrorKind
from ita_pipeline.corpus.posts import Post

Splits = Mapping[str, Sequence[Post]]


@dataclass(frozen=True, slots=True)
class FindingKind:
    """A kind of finding: its name in JSON and in `--ignore`, a title, and what it means or what to do."""

    name: str
    title: str
    advice: str


BAD_TAG = FindingKind("bad-tag", "tags that are none", "Training refuses the file. Tags are O, B-TYPE and I-TYPE.")

CONTEXT_TAG = FindingKind(
    "context-tag",
    "words of contexts among the words of tweets",
    "Training refuses the file. Take tweets and contexts apart: ita data import FILE --to FOLDER",
)

MISSING_TAG = FindingKind("missing-tag", "words without a tag", "Their posts count as not labelled. Write O.")

BAD_LINE = FindingKind(
    "bad-line", "lines that cannot be read", "Training refuses the file. Correct or remove them."
)

ORPHAN_TAG = FindingKind(
    "orphan-tag",
    "I- tags that continue no mention",
    "Each is read as the start of a mention, as UMT and ITA do. Scores that ignore them are not comparable.",
)

EMPTY_POST = FindingKind("empty-post", "posts without a word", "Nothing can be found in them. Remove them.")

UNLABELLED = FindingKind(
    "unlabelled-post",
    "posts without labels beside labelled ones",
    "Training refuses the split. Label them all.",
)

UNSEEN_TYPE = FindingKind(
    "unseen-type", "types that train never shows", "They cannot be learnt. Misspelt, or to be renamed in the card?"
)

DUPLICATE_ID = FindingKind("duplicate-id", "ids given twice in a split", "Give every post an id of its own.")

DUPLICATE_TEXT = FindingKind(
    "duplicate-text", "texts that stand twice in a split", "They count twice. Links and capitals are not compared."
)

CONFLICT = FindingKind(
    "conflicting-labels",
    "same words, other labels",
    "One of the two is wrong, or the picture decides.",
)

LEAKED_TEXT = FindingKind(
    "leaked-text",
    "texts that stand in two splits",
    "What is scored was seen in training. Keep them in one split. Links and capitals are not compared.",
)

LEAKED_PICTURE = FindingKind(
    "leaked-picture",
    "pictures that stand in two splits",
    "What is scored was seen in training. Move the posts.",
)

MISSING_PICTURE = FindingKind(
    "missing-picture", "pictures that are not there", "Their posts are read without what the picture says."
)

BAD_PICTURE = FindingKind("bad-picture", "files that are no readable picture", "Replace or remove them.")

LONG_POST = FindingKind(
    "long-post", "posts longer than the encoder reads", "They are read in windows, and their contexts are left out."
)

TRIMMED = FindingKind(
    "trimmed-context",
    "contexts longer than the encoder has room for",
    "They are cut at the end. Fewer: --set contexts.objects=10 --set contexts.words=50",
)

KINDS = (
    BAD_TAG, CONTEXT_TAG, MISSING_TAG, BAD_LINE, ORPHAN_TAG, EMPTY_POST, UNLABELLED, UNSEEN_TYPE, DUPLICATE_ID,
    DUPLICATE_TEXT, CONFLICT, LEAKED_TEXT, LEAKED_PICTURE, MISSING_PICTURE, BAD_PICTURE, LONG_POST, TRIMMED,
)  # fmt: skip

OF_FAULT = {
    LineErrorKind.BAD_TAG: BAD_TAG,
    LineErrorKind.CONTEXT_TAG: CONTEXT_TAG,
    LineErrorKind.MISSING_TAG: MISSING_TAG,
    LineErrorKind.BAD_LINE: BAD_LINE,
    LineErrorKind.ORPHAN_TAG: ORPHAN_TAG,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: where, and what. A finding in a file has a line, any other a split."""

    kind: FindingKind
    what: str
    split: str = ""
    post: str = ""
    file: str = ""
    line: int = 0

    @property
    def where(self) -> str:
        if self.file:
            return f"{self.file}, line {self.line}"
        return f"{self.split}, post {self.post}" if self.post else self.split


@dataclass(frozen=True, slots=True)
class ViewFit:
    """How a post and its contexts fit the encoder: whether it takes several windows, and sub-tokens cut off."""

    windows: int
    trimmed: int


@dataclass(frozen=True, slots=True)
class ImageChecks:
    """What is known of the files: a key by content for those that were read, a reason for those that are none."""

    keys: Mapping[Path, str] = field(default_factory=dict)
    bad: Mapping[Path, str] = field(default_factory=dict)

    def key(self, post: Post) -> str | None:
        """Content where it was read, else the picture's name in the dataset."""
        content = self.keys.get(post.picture) if post.picture else None
        return content or (f"id {post.image_id}" if post.image_id else None)


def check_lines(faults: Iterable[LineError]) -> Iterator[Finding]:
    for fault in faults:
        yield Finding(OF_FAULT[fault.kind], fault.reason, file=fault.file, line=fault.line)


def check_posts(splits: Splits) -> Iterator[Finding]:
    """Posts without words, without labels, of types never seen, with the id or the text of another."""
    yield from empty_posts(splits)
    yield from unlabelled(splits)
    yield from unseen_types(splits)
    yield from duplicates(splits)
    yield from leaked(LEAKED_TEXT, splits, fingerprint, lambda post: post.text)


def check_images(splits: Splits, pictures: ImageChecks) -> Iterator[Finding]:
    """Pictures that are missing, unreadable, or in two splits."""
    for split, posts in splits.items():
        for post in posts:
            if post.image_id is not None and post.picture is None:
                yield Finding(MISSING_PICTURE, f"there is no picture {post.image_id}", split, post.id)
            elif post.picture is not None and post.picture in pictures.bad:
                what = f"{post.picture.name}: {pictures.bad[post.picture]}"
                yield Finding(BAD_PICTURE, what, split, post.id)
    yield from leaked(LEAKED_PICTURE, splits, pictures.key, lambda post: post.image_id or "")


def check_lengths(splits: Splits, measure: Callable[[Post], ViewFit]) -> Iterator[Finding]:
    """Posts that the encoder does not read at once, and contexts that it has no room for."""
    for split, posts in splits.items():
        for post in posts:
            room = measure(post)
            if room.windows > 1:
                yield Finding(LONG_POST, f"{len(post.words)} words take {room.windows} windows", split, post.id)
            if room.trimmed:
                yield Finding(TRIMMED, f"{room.trimmed} sub-tokens are cut", split, post.id)


def empty_posts(splits: Splits) -> Iterator[Finding]:
    for split, posts in splits.items():
        yield from (Finding(EMPTY_POST, "no word", split, post.id) for post in posts if not post.words)


def unlabelled(splits: Splits) -> Iterator[Finding]:
    """Where nothing at all is labelled, the dataset is one for prediction, and nothing is wrong with it."""
    if not any(post.gold is not None for posts in splits.values() for post in posts):
        return
    for split, posts in splits.items():
        yield from (Finding(UNLABELLED, "no labels", split, post.id) for post in posts if post.gold is None)


def unseen_types(splits: Splits) -> Iterator[Finding]:
    if "train" not in splits:
        return
    known = {span.type for post in splits["train"] for span in post.gold or ()}
    for split, posts in splits.items():
        first: dict[str, Post] = {}
        for post in posts:
            for span in post.gold or ():
                first.setdefault(span.type, post)
        for name, post in first.items():
            if name not in known:
                yield Finding(UNSEEN_TYPE, f"{name} is no type of train", split, post.id)


def duplicates(splits: Splits) -> Iterator[Finding]:
    for split, posts in splits.items():
        ids: dict[str, Post] = {}
        texts: dict[Hashable, Post] = {}
        for post in posts:
            if ids.setdefault(post.id, post) is not post:
                yield Finding(DUPLICATE_ID, "another post has this id", split, post.id)
            first = texts.setdefault(fingerprint(post), post) if post.words else post
            if first is not post:
                yield Finding(DUPLICATE_TEXT, f"as post {first.id}: {shortened(post.text)}", split, post.id)
                if first.gold != post.gold and len(first.words) == len(post.words):
                    yield Finding(CONFLICT, f"than post {first.id}: {shortened(post.text)}", split, post.id)


def leaked(
    kind: FindingKind, splits: Splits, key: Callable[[Post], Hashable | None], show: Callable[[Post], str]
) -> Iterator[Finding]:
    """Posts whose key stands in an earlier split too."""
    seen: dict[Hashable, tuple[str, Post]] = {}
    for split, posts in splits.items():
        here: dict[Hashable, tuple[str, Post]] = {}
        for post in posts:
            if not post.words or (mark := key(post)) is None:
                continue
            if mark in seen:
                other, first = seen[mark]
                yield Finding(kind, f"as post {first.id} of {other}: {shortened(show(post))}", split, post.id)
            here.setdefault(mark, (split, post))
        seen = {**here, **seen}


def fingerprint(post: Post) -> Hashable:
    """What stays of a text when it is posted again: links and capitals differ, and so may Unicode's forms."""
    words = [word for word in post.words if not word.lower().startswith(("http://", "https://"))]
    return tuple(unicodedata.normalize("NFKC", word).casefold() for word in words or post.words)


def shortened(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def group_by_kind(findings: Iterable[Finding]) -> dict[FindingKind, list[Finding]]:
    """Findings by kind, in the order of `KINDS`."""
    found: dict[FindingKind, list[Finding]] = defaultdict(list)
    for finding in findings:
        found[finding.kind].append(finding)
    return {kind: found[kind] for kind in KINDS if kind in found}

"""The kinds of findings in a dataset, what to do about each, and a finding with its place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class FindingKind(StrEnum):
    """A kind of finding: its name in JSON and in `--ignore`, a title for one and for several, and what to do.

    Readers report the first ten kinds, of single lines. They repair an orphan tag, read a tweet with a missing tag
    as unlabeled, leave out a box that matches no mention, and keep mentions that tags cannot express and boxes that
    leave the picture. The other kinds they refuse.
    """

    one: str
    several: str
    advice: str

    def __new__(cls, name: str, one: str, several: str, advice: str) -> FindingKind:
        """Make a member whose value is its name for users."""
        kind = str.__new__(cls, name)
        kind._value_, kind.one, kind.several, kind.advice = name, one, several, advice
        return kind

    BAD_TAG = (
        "bad-tag",
        "invalid tag",
        "invalid tags",
        "Training refuses the file. Tags are O, B-TYPE and I-TYPE.",
    )
    CONTEXT_TAG = (
        "context-tag",
        "word of a context among the words of tweets",
        "words of contexts among the words of tweets",
        "Training refuses the file. Separate tweets and contexts: ita data import FILE --to FOLDER",
    )
    MISSING_TAG = (
        "missing-tag",
        "word without a tag",
        "words without a tag",
        "Their posts count as unlabeled. Write O.",
    )
    BAD_LINE = ("bad-line", "invalid line", "invalid lines", "Training refuses the file. Correct or remove them.")
    ORPHAN_TAG = (
        "orphan-tag",
        "I- tag that continues no mention",
        "I- tags that continue no mention",
        "Each is read as the start of a mention, as UMT and ITA do. Scores that ignore them are not comparable.",
    )
    PARTIAL_MENTION = (
        "partial-mention",
        "mention that begins or ends inside a word",
        "mentions that begin or end inside a word",
        "Tags cannot express them: they are not learned, and count as missed. Correct the offsets, or accept it.",
    )
    OVERLAPPING_MENTION = (
        "overlapping-mention",
        "mention that overlaps another mention",
        "mentions that overlap another mention",
        "Tags can express only the longest of them. All of them count when scoring.",
    )
    BAD_BOX = (
        "bad-box",
        "box or file of boxes that cannot be read",
        "boxes or files of boxes that cannot be read",
        "Training refuses them. Correct the files.",
    )
    UNMATCHED_BOX = (
        "unmatched-box",
        "box that matches no mention",
        "boxes that match no mention",
        "They are left out. Name each box as the words of its mention, with single spaces between them.",
    )
    OUTSIDE_BOX = (
        "outside-box",
        "box that leaves its picture",
        "boxes that leave their picture",
        "They are kept as they are. Boxes are xyxy in pixels of the upright picture.",
    )
    EMPTY_SPLIT = (
        "empty-split",
        "split without posts",
        "splits without posts",
        "Training needs posts in train, dev and test. Name the split of each post, or add the missing file.",
    )
    EMPTY_POST = (
        "empty-post",
        "post without words",
        "posts without words",
        "Nothing can be found in them. Remove them.",
    )
    UNLABELLED = (
        "unlabelled-post",
        "post or split without labels",
        "posts or splits without labels",
        "Training refuses the dataset. Give each post its mentions, an empty list where there are none.",
    )
    NO_MENTION = (
        "no-mention",
        "split without mentions",
        "splits without mentions",
        "Training refuses it: there is nothing to learn.",
    )
    UNSEEN_TYPE = (
        "unseen-type",
        "type that train lacks",
        "types that train lacks",
        "They cannot be learned. Correct the spelling, or rename them in the card.",
    )
    DUPLICATE_ID = (
        "duplicate-id",
        "repeated id in a split",
        "repeated ids in a split",
        "Give every post an id of its own.",
    )
    DUPLICATE_TEXT = (
        "duplicate-text",
        "text that occurs twice in a split",
        "texts that occur twice in a split",
        "They count twice. Links and capitals are not compared.",
    )
    CONFLICT = (
        "conflicting-labels",
        "repeated text with other labels",
        "repeated texts with other labels",
        "One of the two is wrong, or the picture decides.",
    )
    LEAKED_TEXT = (
        "leaked-text",
        "text that occurs in two splits",
        "texts that occur in two splits",
        "The scored posts were seen in training. Keep them in one split. Links and capitals are not compared.",
    )
    LEAKED_PICTURE = (
        "leaked-picture",
        "picture that occurs in two splits",
        "pictures that occur in two splits",
        "The scored posts were seen in training. Move them.",
    )
    MISSING_PICTURE = (
        "missing-picture",
        "missing picture",
        "missing pictures",
        "Their posts are read without the picture's contexts.",
    )
    BAD_PICTURE = (
        "bad-picture",
        "file that is not a readable picture",
        "files that are not readable pictures",
        "Replace or remove them.",
    )
    LONG_POST = (
        "long-post",
        "post longer than the encoder's input",
        "posts longer than the encoder's input",
        "They are read in overlapping windows, each with all contexts, which takes longer.",
    )
    TRIMMED = (
        "trimmed-context",
        "context longer than its part of the encoder's input",
        "contexts longer than their part of the encoder's input",
        "They are cut at the end, though not below half of the input. To shorten them: --set contexts.words=50",
    )


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


def group_by_kind(findings: Iterable[Finding]) -> dict[FindingKind, list[Finding]]:
    """Group findings by kind, in the order of `FindingKind`."""
    groups: dict[FindingKind, list[Finding]] = defaultdict(list)
    for finding in findings:
        groups[finding.kind].append(finding)
    return {kind: groups[kind] for kind in FindingKind if kind in groups}

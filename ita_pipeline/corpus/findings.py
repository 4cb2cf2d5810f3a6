"""The kinds of findings in a dataset, what to do about each, and a finding with its place."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ita_pipeline.core.config import read_yaml
from ita_pipeline.core.text import format_count


class FindingKind(StrEnum):
    """A kind of finding, by its name in JSON and in `--ignore`; `findings.yaml` has its titles and what to do.

    Readers report the first ten kinds, of single lines. They repair an orphan tag, read a tweet with a missing tag
    as unlabeled, leave out a box that matches no mention, and keep mentions that tags cannot express and boxes that
    leave the picture. The other kinds they refuse.
    """

    BAD_TAG = "bad-tag"
    CONTEXT_TAG = "context-tag"
    MISSING_TAG = "missing-tag"
    BAD_LINE = "bad-line"
    ORPHAN_TAG = "orphan-tag"
    PARTIAL_MENTION = "partial-mention"
    OVERLAPPING_MENTION = "overlapping-mention"
    BAD_BOX = "bad-box"
    UNMATCHED_BOX = "unmatched-box"
    OUTSIDE_BOX = "outside-box"
    EMPTY_SPLIT = "empty-split"
    EMPTY_POST = "empty-post"
    UNLABELED = "unlabeled-post"
    NO_MENTION = "no-mention"
    UNSEEN_TYPE = "unseen-type"
    DUPLICATE_ID = "duplicate-id"
    DUPLICATE_TEXT = "duplicate-text"
    CONFLICT = "conflicting-labels"
    LEAKED_TEXT = "leaked-text"
    LEAKED_PICTURE = "leaked-picture"
    MISSING_PICTURE = "missing-picture"
    BAD_PICTURE = "bad-picture"
    LONG_POST = "long-post"
    TRIMMED = "trimmed-context"

    def describe(self, count: int) -> str:
        """Say how many findings of this kind there are."""
        return format_count(count, _read_texts()[self]["one"], _read_texts()[self]["several"])

    @property
    def advice(self) -> str:
        """What to do about a finding of this kind."""
        return _read_texts()[self]["advice"]


@functools.cache
def _read_texts() -> dict[str, dict[str, str]]:
    return read_yaml(Path(__file__).with_suffix(".yaml"))


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

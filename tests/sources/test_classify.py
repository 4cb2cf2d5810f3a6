"""Tests of the kinds of targets: every form of text has exactly one."""

from __future__ import annotations

import pytest

from ita_pipeline.core.errors import UsageError
from ita_pipeline.sources.classify import TargetKind, classify
from tests.support.targets import create_targets

KINDS = {
    TargetKind.URL: (
        *("memory://x", "memory://x.tar", "http://host/a.jpg", "https://host/list.txt", "s3://b/x"),
        *("file:///gone", "FILE:///gone", "soup://x"),
    ),
    TargetKind.CONTAINER: (
        *("a.tar", "B.TAR", "a.parquet", "gone.tar", "gone.PARQUET", "owner/gone.tar"),
        *("{a,b}.tar", "{a,c}.tar", "s-{0..3}.tar", "gone/{a,b}.tar", "{memory://x,c.tar}"),
    ),
    TargetKind.IMAGE: ("one.png", "images/a.png", "images/a.png/"),
    TargetKind.IMAGE_LIST: ("list.txt", "LIST.TXT", "list.jsonl", "list.ndjson"),
    TargetKind.SAVED_DATASET: ("saved", "splits"),
    TargetKind.SAVED_DATASET_WITH_POSTS: ("saved-with-posts",),
    TargetKind.HUB_DATASET: ("someone/data", "someone/data@main", "gone/gone.jsonl", "gone/x.tar"),
    TargetKind.IMAGE_FOLDER: ("images", "empty", "images/", ".", "half-saved", "folder.tar", ""),
    TargetKind.POSTS_FOLDER: ("tweets", "train", "conll"),
    TargetKind.POSTS_FILE: (
        "posts.jsonl",
        "posts.NDJSON",
        "broken.jsonl",
        "blank.jsonl",
        ".jsonl",
        "posts.txt",
        "all.json",
    ),
    TargetKind.CONLL_FILE: ("conll/train.txt", "tweets.conll", "tweets.tsv"),
    TargetKind.DATASET_CARD: ("card.yaml",),
    TargetKind.YAML_FILE: ("ita.yaml",),
    TargetKind.TEXT_TABLE: ("a.csv",),
    TargetKind.ZIP: ("a.zip", "unnamed-zip"),
    TargetKind.COMPRESSED: ("a.tar.gz",),
    TargetKind.OTHER_FILE: (*("a.arrow", "notes.md", "pipe"),),
    TargetKind.NAME: (
        *("gone.txt", "gone.jsonl", "gone.JSONL", "gone.png", "gone.yaml", "gone/x.png", "gone/x.yaml"),
        *("owner/gone", "./someone/data", "../someone/data", "someone/data/deep", "/someone/data", "name"),
        *("twitter15", "example", "example/", "wnut_17", "{a,b}", "{a,b}.txt", "a{b", "file:a"),
        *("a.tar::images/a.png", " ", "a b", "a\0b"),
    ),
}

SOURCES = {
    *(TargetKind.URL, TargetKind.CONTAINER, TargetKind.IMAGE, TargetKind.IMAGE_LIST),
    *(TargetKind.SAVED_DATASET, TargetKind.SAVED_DATASET_WITH_POSTS, TargetKind.HUB_DATASET),
}


@pytest.mark.parametrize(("kind", "target"), [(kind, target) for kind in KINDS for target in KINDS[kind]])
def test_a_target_has_the_kind_of_its_form(kind: TargetKind, target: str):
    create_targets()
    assert classify(target) is kind


def test_kinds_are_sources_or_not():
    assert {kind for kind in TargetKind if kind.is_source} == SOURCES
    assert {kind for kind in TargetKind if kind.is_image_folder} == {
        TargetKind.IMAGE_FOLDER,
        TargetKind.SAVED_DATASET,
    }


def test_a_pattern_for_too_many_names_is_refused():
    with pytest.raises(UsageError, match="more than"):
        classify("{0..99999999999}.tar")

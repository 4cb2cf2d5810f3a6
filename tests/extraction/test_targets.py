"""Tests of targets: the images and posts that are read for each form of target, or the error."""

from __future__ import annotations

from pathlib import Path

import pytest

from ita_pipeline.cache.index import Index
from ita_pipeline.cache.manifest import Manifest
from ita_pipeline.core.errors import UserError
from ita_pipeline.extraction.targets import resolve_target
from tests.support.targets import create_targets


@pytest.fixture(autouse=True)
def targets() -> None:
    create_targets()


@pytest.mark.parametrize(
    ("target", "pictures", "posts", "posts_when_read"),
    [
        ("images", 1, None, None),
        (".", 4, None, None),
        ("", 4, None, None),
        ("half-saved", 1, None, None),
        ("a.tar", 1, None, None),
        ("B.TAR", 1, None, None),
        ("{a,b}.tar", 1, None, None),
        ("one.png", 1, None, None),
        ("images/a.png/", 1, None, None),
        ("list.txt", 1, None, None),
        ("LIST.TXT", 1, None, None),
        ("list.jsonl", 1, None, None),
        ("list.ndjson", 1, None, None),
        ("example", 240, 240, 240),
        ("posts.jsonl", 0, "no stage reads posts", 1),
        ("posts.NDJSON", 0, "no stage reads posts", 1),
        ("tweets", 0, "there is no picture in tweets (1 other file)", 1),
        ("conll", 0, "there is no picture in conll (1 other file)", "conll/dev.txt is missing"),
        ("empty", 0, "there is no picture in empty", "there is no picture in empty"),
    ],
)
def test_images_and_posts_are_read(
    target: str, pictures: int, posts: int | str | None, posts_when_read: int | str | None, tmp_path: Path
):
    manifest = Manifest(Index(tmp_path / "index"))
    for are_read, wanted in ((False, posts), (True, posts_when_read)):
        try:
            listing, source = resolve_target(target, are_read, None, Path("data"), manifest)
        except UserError as error:
            assert isinstance(wanted, str)
            assert wanted in str(error)
        else:
            assert len(listing.images) == pictures
            assert (None if source is None else len(source.posts)) == wanted


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("a.parquet", "a.parquet is not a Parquet file"),
        ("a.arrow", "a.arrow is a file of unknown format, not pictures"),
        ("a.tar.gz", "a.tar.gz is a compressed file, not pictures"),
        ("a.zip", "a.zip is a zip archive, not pictures"),
        ("a.csv", "a.csv is a table in text form, not pictures"),
        ("tweets.conll", "tweets.conll is a CoNLL file of posts, not pictures"),
        ("ita.yaml", "ita.yaml is a YAML file that is not a dataset card, not pictures"),
        ("card.yaml", "dataset card: its files (tweets.jsonl) are not in data/card"),
        ("pipe", "pipe is a file of unknown format, not pictures"),
        ("folder.tar", "folder.tar cannot be read"),
        ("broken.jsonl", "broken.jsonl, line 1: "),
        ("blank.jsonl", "there is no post in blank.jsonl"),
        ("saved", "the dataset saved cannot be loaded"),
        ("saved-with-posts", "the dataset saved-with-posts cannot be loaded"),
        ("splits", "the dataset splits cannot be loaded"),
        ("someone/data@main", "the dataset someone/data@main cannot be loaded"),
        ("gone/x.tar", "the dataset gone/x.tar cannot be loaded"),
        ("owner/gone.tar", "there is no file owner/gone.tar"),
        ("gone.tar", "there is no file gone.tar"),
        ("{a,c}.tar", "there is no file c.tar"),
        ("gone.txt", "there is no file or folder gone.txt"),
        ("gone.jsonl", "there is no file or folder gone.jsonl"),
        ("gone.JSONL", "there is no file or folder gone.JSONL"),
        ("gone/x.png", "there is no file or folder gone/x.png"),
        ("./someone/data", "there is no file or folder someone/data"),
        ("name", "there is no folder name, and no dataset of that name"),
        ("example/", "there is no folder example/, and no dataset of that name"),
        ("twitter15", "dataset twitter15: its files (train.txt, valid.txt, test.txt) are not in data/twitter15"),
        ("{a,b}", "there is no folder {a,b}, and no dataset of that name"),
        ("memory://gone", "there is no"),
        ("file:///gone", "there is no picture in /gone"),
        ("soup://x", "soup:// is not a supported protocol"),
        ("a.tar::images/a.png", "there is no file or folder a.tar::images/a.png"),
    ],
)
def test_a_target_without_images_or_posts_is_one_sentence(target: str, message: str, tmp_path: Path):
    manifest = Manifest(Index(tmp_path / "index"))
    for are_read in (False, True):
        with pytest.raises(UserError) as caught:
            resolve_target(target, are_read, None, Path("data"), manifest)
        assert str(caught.value).startswith(message)

"""Tests of object storage, with a real S3 server on this machine and one in memory."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tarfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import pytest

from ita_pipeline.cache.index import Index
from ita_pipeline.cache.manifest import Manifest
from ita_pipeline.core.errors import UserError
from ita_pipeline.core.remote import RequestLimits
from ita_pipeline.sources.identify import DownloadCache, identify
from ita_pipeline.sources.object_store import RemoteFile, examine_file, info_stamp, list_files
from ita_pipeline.sources.refs import ImageRef, Unreadable
from stages.base import BadItemError, FailureKind
from tests.support.fakes import draw, ita_here
from tests.support.ocr_runs import OCR, extract
from tests.support.s3_server import Fault, Server, s3_server


@pytest.fixture
def store() -> Iterator[Server]:
    with s3_server() as found:
        yield found


def pictures(count: int = 3) -> dict[str, bytes]:
    colours = ("red", "green", "blue", "white", "black")
    return {f"deep/{name}.png": draw(Path(f"{name}.png"), name).read_bytes() for name in colours[:count]}


def test_a_bucket_is_read_once_and_then_only_listed(store: Server):
    files = pictures()
    store.put({**{f"posts/{name}": content for name, content in files.items()}, "posts/notes.txt": b"x"})
    store.put({"posts/.hidden/a.png": b"x", "posts/empty.png": b"", "other/b.png": b"x"})
    answer = extract("s3://bucket/posts/")
    found = json.loads(answer.out)
    assert (answer.code, found["stages"][0]["done"], found["stages"][0]["failed"]) == (1, 3, 1), answer.err
    assert found["failed"][0]["image"] == "s3://bucket/posts/empty.png"
    assert "skipped 1 file that has no image extension (1 .txt): notes.txt" in answer.err
    assert len(store.read) == len({*store.read})
    before = len(store.read)
    again = json.loads(extract("s3://bucket/posts/").out)["stages"][0]
    assert (again["fresh"], again["done"], len(store.read)) == (3, 0, before)
    store.put({"posts/deep/red.png": files["deep/blue.png"]})
    status = json.loads(ita_here("status", "s3://bucket/posts/", *OCR, "--json").out)["stages"][0]
    assert (status["fresh"], status["stale"]) == (2, 0)
    assert store.read[before:] == ["/bucket/posts/deep/red.png"]
    assert ita_here("why", "s3://bucket/posts/deep/blue.png", *OCR, "--json").code == 0


def test_an_archive_in_a_bucket_is_read_in_place(store: Server):
    files = pictures()
    for number, name in enumerate(files):
        with tarfile.open("a.tar", "w") as made:
            made.add(Path(name).name)
        store.put({f"shard-{number}.tar": Path("a.tar").read_bytes()})
    answer = extract("s3://bucket/shard-{0..2}.tar")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["stages"][0]["done"] == 3, answer.err
    again = extract("s3://bucket/")
    assert json.loads(again.out)["stages"][0]["fresh"] == 3
    gone = extract("s3://bucket/shard-{0..3}.tar")
    assert gone.code == 3
    assert "there is nothing at s3://bucket/shard-3.tar" in gone.err


def test_slow_busy_and_truncated_responses_are_retried(store: Server, tmp_path: Path):
    files = {name: os.urandom(200_000) for name in ("busy", "broken", "slow", "well")}
    store.put(files)
    store.faults = [
        Fault("503", "GET", "/bucket/busy", times=2),
        Fault("cut get", "GET", "/bucket/broken", times=2),
        Fault("slow", "GET", "/bucket/slow", times=2, seconds=0.1),
    ]
    places = [RemoteFile(f"s3://bucket/{name}", limits=RequestLimits(first_wait=0.001)) for name in files]
    found = list(identify(places, Manifest(Index(tmp_path))))
    wanted = [hashlib.sha256(content).hexdigest() for content in files.values()]
    assert [image.key if isinstance(image, ImageRef) else image.reason for image in found] == wanted
    assert store.read.count("/bucket/broken") >= 3


def test_a_permanent_fault_affects_only_its_image(store: Server, tmp_path: Path):
    store.put({name: os.urandom(100_000) for name in ("busy", "broken", "slow", "well")})
    store.faults = [
        Fault("503", "GET", "/bucket/busy"),
        Fault("cut get", "GET", "/bucket/broken"),
        Fault("slow", "GET", "/bucket/slow", seconds=3),
    ]
    names = ("busy", "broken", "slow", "gone", "well")
    limits = RequestLimits(first_wait=0.001, file_seconds=1.0)
    places = [RemoteFile(f"s3://bucket/{name}", limits=limits) for name in names]
    *bad, good = identify(places, Manifest(Index(tmp_path)))
    assert isinstance(good, ImageRef)
    assert all(isinstance(one, Unreadable) and one.reason.startswith("cannot be read: ") for one in bad), bad


@pytest.mark.parametrize(
    ("target", "code", "says"),
    [
        ("s3://bucket/nowhere/", 2, "there is no picture in s3://bucket/nowhere/"),
        ("s3://nobucket/x/", 3, "there is nothing at s3://nobucket/x/"),
        ("s3://bucket/none.tar", 3, "there is nothing at s3://bucket/none.tar"),
    ],
)
def test_a_wrong_bucket_or_key_is_one_sentence(target: str, code: int, says: str, store: Server):
    store.put({"a.png": b"x"})
    answer = extract(target)
    assert (answer.code, says in answer.err) == (code, True), answer.err
    assert answer.err.count("error: ") == 1


def test_missing_credentials_are_reported_without_a_retry(store: Server, monkeypatch: pytest.MonkeyPatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(Path.cwd()))
    answer = extract("s3://bucket/posts/")
    assert answer.code == 3, answer.err
    assert "access to s3://bucket/posts/ is denied" in answer.err


def test_a_store_that_does_not_answer_is_one_sentence(store: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    answer = extract("s3://bucket/posts/")
    assert answer.code == 3, answer.err
    assert "s3://bucket/posts/ does not answer" in answer.err


def test_credentials_are_neither_logged_nor_stored(
    store: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "VERYSECRET")
    caplog.set_level(logging.INFO)
    store.put({f"a/{name}": content for name, content in pictures(1).items()})
    answer = extract("s3://bucket/a/")
    assert answer.code == 0, answer.err
    kept = b"".join(path.read_bytes() for path in Path(".ita").rglob("*") if path.is_file())
    assert b"VERYSECRET" not in kept
    assert "VERYSECRET" not in answer.err + answer.out + caplog.text


def test_the_size_is_limited_before_and_during_the_read(store: Server):
    store.put({"a": b"x" * 5000})
    for place in (RemoteFile("s3://bucket/a"), examine_file("s3://bucket/a")):
        with pytest.raises(BadItemError) as caught:
            place.read(4999)
        assert caught.value.failure.kind is FailureKind.RESOURCE
        assert len(place.read(5000)) == 5000
    assert (
        examine_file("s3://bucket/a").read_range(4990, 100),
        examine_file("s3://bucket/a").read_range(6000, 10),
    ) == (
        b"x" * 10,
        b"",
    )


def test_names_may_contain_characters_of_urls(store: Server):
    names = ["a?b.png", "c#d.png", "e%20f.png", "g h.png", "ü::x.png"]
    store.put({f"odd/{name}": name.encode() for name in names})
    found = list_files("s3://bucket/odd/")
    assert {file.name: file.read(100).decode() for file in found} == {name: name for name in names}
    assert sorted(file.label for file in found) == sorted(f"s3://bucket/odd/{name}" for name in names)


def test_a_stamp_changes_with_the_content_or_is_empty():
    now = datetime.now(UTC)
    assert "abc" in info_stamp({"size": 1, "ETag": '"abc"', "LastModified": now})
    assert info_stamp({"size": 1, "created": now}) == ""
    assert info_stamp({"size": 1, "created": now - timedelta(minutes=1)})
    assert info_stamp({"size": 1, "mtime": time.time() - 60})
    assert info_stamp({"size": 1}) == ""


def test_images_that_do_not_fit_in_the_cache_are_fetched_again(store: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ita_pipeline.api.extract.DownloadCache", lambda: DownloadCache(0))
    store.put({f"a/{name}": content for name, content in pictures().items()})
    answer = extract("s3://bucket/a/")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["stages"][0]["done"] == 3
    assert sorted(store.read) == sorted([f"/bucket/a/{name}" for name in pictures()] * 2)


def test_a_file_without_a_settled_stamp_is_read_again(tmp_path: Path):
    memory, manifest = fsspec.filesystem("memory"), Manifest(Index(tmp_path))
    memory.pipe_file("/again/a.png", b"one")
    (first,) = identify(list_files("memory://again"), manifest)
    memory.pipe_file("/again/a.png", b"two")
    (second,) = identify(list_files("memory://again"), manifest)
    assert isinstance(first, ImageRef)
    assert isinstance(second, ImageRef)
    assert second.before == first.key


def test_a_remote_file_has_no_path():
    place = RemoteFile("s3://bucket/a.png", "stamp")
    assert place.address("/here") == b"s3://bucket/a.png"
    assert ImageRef("key", place).path is None
    with pytest.raises(UserError):
        examine_file("memory://nowhere/a.png")

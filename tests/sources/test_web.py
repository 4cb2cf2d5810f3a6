"""Tests of images by web address, with a real server that is slow, broken and hostile."""

from __future__ import annotations

import hashlib
import pickle
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.asyn import get_loop, sync

from ita_pipeline.cache.index import Index
from ita_pipeline.cache.manifest import Manifest
from ita_pipeline.core.remote import REQUEST_LIMITS, RequestLimits
from ita_pipeline.sources import web
from ita_pipeline.sources.identify import DownloadCache, identify
from ita_pipeline.sources.refs import ImageRef, Unreadable
from ita_pipeline.sources.web import HttpFile
from stages.base import BadItemError, FailureKind
from tests.support.dripping_server import DRIPS, dripping
from tests.support.picture_server import Act, serving

QUICK = RequestLimits(first_wait=0.001)

# These give up single reads, and whole exchanges.
IMPATIENT = RequestLimits(tries=2, first_wait=0.001, read_seconds=0.1)
BRIEF = RequestLimits(first_wait=0.001, read_seconds=0.3, file_seconds=0.7)


@pytest.fixture(autouse=True)
def own_client() -> Iterator[None]:
    yield
    for limits in (QUICK, BRIEF, IMPATIENT, REQUEST_LIMITS):
        for is_public in (False, True):
            sync(get_loop(), web.open_client(limits, is_public=is_public).aclose)
    web.open_client.cache_clear()


def read(url: str, max_bytes: int = 1000, limits: RequestLimits = QUICK) -> bytes:
    return HttpFile(url, limits).read(max_bytes)


def refused(url: str, max_bytes: int = 1000, limits: RequestLimits = QUICK) -> BadItemError:
    with pytest.raises(BadItemError) as caught:
        read(url, max_bytes, limits)
    return caught.value


def test_transient_responses_are_retried_and_others_are_reported():
    def behave(path: str, time: int) -> Act:
        return (
            {"busy": Act(503), "reset": Act(drop=True), "cut": Act(cut=3)}.get(path, Act()) if time < 2 else Act()
        )

    files = dict.fromkeys(("busy", "reset", "cut"), b"picture")
    with serving(files, behave) as server:
        for name in files:
            assert read(server.url(name)) == b"picture"
        assert [server.asked.count(name) for name in files] == [3, 3, 3]
        gone = refused(server.url("gone"))
        assert server.asked.count("gone") == 1
    assert gone.failure.kind is FailureKind.TRANSIENT
    assert "404" in gone.failure.reason


def test_a_server_that_always_fails_is_reported_with_a_reason():
    for act, reason in ((Act(500), "500"), (Act(drop=True), ""), (Act(cut=2), "")):
        with serving({"a": b"picture"}, lambda path, time, act=act: act) as server:
            failure = refused(server.url("a")).failure
            assert failure.kind is FailureKind.TRANSIENT
            assert failure.reason.startswith("cannot be fetched: ")
            assert reason in failure.reason
            assert len(server.asked) == QUICK.tries


def test_a_slow_server_is_given_up():
    with serving({"a": b"picture"}, lambda path, time: Act(delay=5)) as server:
        assert refused(server.url("a"), limits=IMPATIENT).failure.kind is FailureKind.TRANSIENT
        assert len(server.asked) == 2


@pytest.mark.parametrize("name", DRIPS)
def test_a_server_that_drips_for_ever_is_given_up_and_the_others_are_read(name: str, tmp_path: Path):
    start = time.monotonic()
    with dripping(name) as slow, serving({"a": b"picture"}) as server:
        sources = [HttpFile(f"{slow}/a.jpg", BRIEF), HttpFile(server.url("a"), BRIEF)]
        given_up, read_well = identify(sources, Manifest(Index(tmp_path)))
        assert isinstance(read_well, ImageRef)
        assert isinstance(given_up, Unreadable)
        assert given_up.reason == "cannot be fetched: no complete response within 0.7 s"
        assert refused(f"{slow}/a.jpg", limits=BRIEF).failure.kind is FailureKind.TRANSIENT
        with pytest.raises(OSError, match=r"no complete response|parts of files"):
            HttpFile(f"{slow}/a.tar", BRIEF).read_range(0, 512)
    assert time.monotonic() - start < 30


def test_the_time_limit_holds_for_all_tries_and_redirects_together():
    with serving({"a": b"picture"}, lambda path, time: Act(delay=5)) as server:
        assert "no complete response within 0.7 s" in refused(server.url("a"), limits=BRIEF).failure.reason
        assert len(server.asked) <= 3
    with serving({}, lambda path, time: Act(delay=0.2, to="/loop")) as server:
        assert "no complete response within 0.7 s" in refused(server.url("loop"), limits=BRIEF).failure.reason


def test_the_size_is_limited_before_and_during_the_read():
    with serving({"a": b"x" * 5000, "b": b"x" * 5_000_000}) as server:
        for name in ("a", "b"):
            assert refused(server.url(name), 4999).failure.kind is FailureKind.RESOURCE
        assert read(server.url("a"), 5000) == b"x" * 5000
        assert len(server.asked) == 3


def test_redirects_are_followed_within_limits():
    with serving({"a": b"picture"}, lambda path, time: Act(to="/a") if path == "moved" else Act()) as server:
        assert read(server.url("moved")) == b"picture"
    with serving({}, lambda path, time: Act(to="/loop")) as server:
        assert "more than 5 redirects" in refused(server.url("loop")).failure.reason
        assert len(server.asked) == web.MAX_REDIRECTS + 1
    for to in ("file:///etc/passwd", "ftp://host/a"):
        with serving({}, lambda path, time, to=to: Act(to=to)) as server:
            assert "not an http:// or https:// address" in refused(server.url("loop")).failure.reason
            assert len(server.asked) == 1
    for to in ("/loop", "file:///etc/passwd", "ftp://host/a", ""):
        with serving({}, lambda path, time, to=to: Act(to=to)) as server:
            refused(server.url("loop"))
            assert len(server.asked) <= web.MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *[
            (host, True)
            for host in ("127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.9.9", "169.254.169.254", "0.0.0.0")
        ],
        *[
            (host, True)
            for host in ("100.64.0.1", "[::1]", "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.1", "localhost.")
        ],
        *[(host, True) for host in ("64:ff9b::7f00:1", "2002:7f00:1::", "a.localhost", "::", "::127.0.0.1")],
        *[(host, True) for host in ("::ffff:0:7f00:1", "64:ff9b:1::1", "fec0::1", "ff02::1", "224.0.0.1")],
        *[
            (host, False)
            for host in ("93.184.216.34", "2606:2800:220:1::1", "::ffff:1.1.1.1", "host.example", "a.local")
        ],
    ],
)
def test_private_addresses_are_known_in_all_forms(host: str, expected: bool):
    assert web.is_private(host) is expected


def test_a_public_server_does_not_lead_to_private_ones_by_address_or_by_name(monkeypatch: pytest.MonkeyPatch):
    # This machine plays both: all of 127.0.0.0/8 is its own.
    monkeypatch.setattr(web, "is_private", lambda host: host == "127.0.0.1")

    def behave(path: str, time: int) -> Act:
        return Act(to=f"http://{path}:{server.server_address[1]}/a") if path.startswith(("127", "local")) else Act()

    with serving({"a": b"picture"}, behave, "0.0.0.0") as server:
        port = server.server_address[1]
        # Also the second time, when the name has been looked up before.
        for target in ("127.0.0.1", "localhost"):
            for _ in range(2):
                reason = refused(f"http://127.0.0.2:{port}/{target}").failure.reason
                assert "a public server leads to an address of this machine" in reason
        assert server.asked.count("a") == 0
        assert read(f"http://127.0.0.2:{port}/127.0.0.3") == b"picture"
        assert read(f"http://127.0.0.1:{port}/127.0.0.1") == b"picture"
        assert read(f"http://localhost:{port}/127.0.0.1") == b"picture"
        # The connection that the list's own address made is not used for others.
        assert "leads to an address" in refused(f"http://127.0.0.2:{port}/127.0.0.1").failure.reason


def test_behind_a_proxy_only_the_address_as_written_is_known(monkeypatch: pytest.MonkeyPatch):
    with serving(
        {"": b""}, lambda path, time: Act(to="http://10.0.0.1/") if time else Act(to="http://a.example/")
    ) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url(""))
        monkeypatch.delenv("no_proxy", raising=False)
        assert "leads to an address" in refused("http://b.example/").failure.reason
        assert "http://10.0.0.1/" not in proxy.asked


def test_compressed_bodies_are_refused():
    with serving({"a": b"x"}, lambda path, time: Act(headers={"Content-Encoding": "gzip"})) as server:
        assert "compressed" in refused(server.url("a")).failure.reason


def test_secrets_of_an_address_are_not_shown():
    place = HttpFile("https://me:word@host/deep/a.jpg?X-Signature=abc")
    told = f"{place.label} {place.name} {place!r} {place.address('')!r}"
    assert "abc" not in told
    assert "word" not in told
    assert place.name == "a.jpg"
    assert place.address("") != HttpFile("https://host/deep/a.jpg?X-Signature=abd").address("")
    assert pickle.loads(pickle.dumps(place)) == place  # noqa: S301
    assert not place.address("").startswith(b"/")


def test_a_known_image_takes_only_a_conditional_request(tmp_path: Path):
    manifest, files = Manifest(Index(tmp_path)), {"a": b"one", "b": b"two"}
    with serving(files, lambda path, time: Act(etag=path == "a")) as server:
        places = [HttpFile(server.url(name)) for name in files]
        first = [image.key for image in identify(places, manifest) if isinstance(image, ImageRef)]
        assert first == [hashlib.sha256(content).hexdigest() for content in files.values()]
        again = [image.key for image in identify(places, manifest) if isinstance(image, ImageRef)]
        assert again == first
        assert server.sent == {"a": 3, "b": 6}
        files["a"] = b"three"
        (changed, _) = identify(places, manifest)
        assert isinstance(changed, ImageRef)
        assert changed.before == first[0]


def test_images_are_fetched_concurrently_and_kept_for_later_stages(tmp_path: Path):
    files = {f"{number}": str(number).encode() for number in range(64)}
    with serving(files, lambda path, time: Act(delay=0.02)) as server, DownloadCache() as cache:
        places = [HttpFile(server.url(name)) for name in [*files, "gone"]]
        found = list(identify(places, Manifest(Index(tmp_path)), download_cache=cache))
        assert server.most_under_way > 4
        asked = len(server.asked)
        images = [image for image in found if isinstance(image, ImageRef)]
        assert [image.read(100) for image in images] == list(files.values())
        assert len(server.asked) == asked
        assert isinstance(found[-1], Unreadable)
    assert [image.label for image in images] == [place.label for place in places[:-1]]


def test_ranges_are_read_if_the_server_supports_them():
    with serving({"a": bytes(range(100))}) as server:
        file = HttpFile(server.url("a"))
        assert (file.size(), file.read_range(10, 5), file.read_range(98, 10), file.read_range(200, 10)) == (
            100,
            bytes(range(10, 15)),
            bytes([98, 99]),
            b"",
        )
    whole = serving({"a": bytes(100)}, lambda path, time: Act(ranges=False))
    with whole as server, pytest.raises(OSError, match="parts of files"):
        HttpFile(server.url("a")).read_range(10, 5)

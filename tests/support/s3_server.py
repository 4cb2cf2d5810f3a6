"""A real S3 server on this machine, moto's, that is slow, answers with errors, or breaks off, when asked to."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import pytest

from ita_pipeline.core import remote

BUCKET = "bucket"
URL = f"s3://{BUCKET}/ita-cache"
Handler = Callable[[dict[str, Any], Any], Iterable[bytes]]


@dataclass
class Fault:
    """What happens to requests of a method whose path holds a text: so many of them, after those let through."""

    kind: str
    method: str = ""
    path: str = ""
    times: int = 1_000_000
    after: int = 0
    seconds: float = 0.0
    met: int = field(default=0)

    def fits(self, method: str, path: str) -> bool:
        if (self.method and method != self.method) or self.path not in path:
            return False
        self.met += 1
        return self.after < self.met <= self.after + self.times


class Server:
    """The server; `faults` are what goes wrong with it, `requests` what it was asked."""

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log(self, *_: object) -> None: ...

        self.below: Handler = DomainDispatcherApplication(create_backend_app)
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self.server = make_server("127.0.0.1", 0, self.answer, threaded=True, request_handler=Quiet)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def answer(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        with self.lock:
            self.requests.append((method, path))
            fault = next((fault for fault in self.faults if fault.fits(method, path)), None)
        if fault is None:
            return self.below(environ, start)
        if fault.kind == "slow":
            time.sleep(fault.seconds)
            return self.below(environ, start)
        if fault.kind in ("503", "403", "404"):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            name = {"503": "SlowDown", "403": "AccessDenied", "404": "NoSuchKey"}[fault.kind]
            start(f"{fault.kind} {name}", [("Content-Type", "application/xml")])
            return [f"<?xml version='1.0'?><Error><Code>{name}</Code><Message>no</Message></Error>".encode()]
        if fault.kind == "cut put":
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0) // 2)
            hang_up(environ)
            return []
        assert fault.kind == "cut get"
        return self.cut(environ, start)

    def cut(self, environ: dict[str, Any], start: Any) -> Iterator[bytes]:
        content = b"".join(self.below(environ, start))
        yield content[: len(content) // 2]
        hang_up(environ)

    @property
    def read(self) -> list[str]:
        """Objects that were read, whole or in part, in order."""
        return [path for method, path in self.requests if method == "GET" and re.fullmatch("/[^/]+/.*[^/]", path)]

    def put(self, files: Mapping[str, bytes]) -> None:
        import fsspec

        there = fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True)
        for name, content in files.items():
            there.pipe_file(f"{BUCKET}/{name}", content)

    def asked(self, method: str, text: str) -> int:
        return sum(m == method and text in path for m, path in self.requests)


def hang_up(environ: dict[str, Any]) -> None:
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)


@contextmanager
def s3_server() -> Iterator[Server]:
    """The server with an empty bucket, and an environment that leads s3fs, and processes below, to it."""
    import fsspec
    import moto.backends

    environment = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    server = Server()
    server.thread.start()
    with patch.dict("os.environ", {**environment, "AWS_ENDPOINT_URL": server.address}):
        forget()
        try:
            moto.backends.get_backend("s3").reset()
            fsspec.filesystem("s3").mkdir(BUCKET)
            yield server
        finally:
            forget()
            server.server.shutdown()
            server.thread.join()
            server.server.server_close()


def forget() -> None:
    """Open file systems anew: those that are open lead to another server."""
    import fsspec

    remote.open_filesystem.cache_clear()
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def emptied() -> None:
    """Remove all objects."""
    import fsspec

    files = fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True)
    for path in files.find(BUCKET):
        files.rm_file(path)


def objects(text: str = "") -> dict[str, bytes]:
    """All objects whose names hold a text."""
    import fsspec

    files = fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True)
    return {path: files.cat_file(path) for path in files.find(BUCKET) if text in path}


@pytest.fixture(scope="module")
def one_server() -> Iterator[Server]:
    """A server for all tests of a module; `server` is what tests use."""
    with s3_server() as server:
        yield server


@pytest.fixture
def server(one_server: Server) -> Iterator[Server]:
    """A server without objects, recorded requests and faults."""
    emptied()
    one_server.requests.clear()
    yield one_server
    one_server.faults.clear()

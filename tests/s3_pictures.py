"""A real S3 server on this machine, moto's, which misbehaves as it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from ita_pipeline import remote

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass
class Trouble:
    """What becomes of a request for an object: it waits, is answered `status`, or breaks off in the middle."""

    delay: float = 0.0
    status: int = 0
    broken: bool = False


@dataclass
class Store:
    """`behave` is told an object's path and how often it was read before; `read` is what was read, in order."""

    url: str
    app: Any
    behave: Callable[[str, int], Trouble] = lambda path, times: Trouble()
    read: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if method != "GET" or path.count("/") < 2 or path.endswith("/"):
            return self.app(environ, start)
        with self.lock:
            trouble = self.behave(path, self.read.count(path))
            self.read.append(path)
        time.sleep(trouble.delay)
        if trouble.status:
            start(f"{trouble.status} Trouble", [("Content-Length", "0")])
            return [b""]
        content = self.app(environ, start)
        return halved(content) if trouble.broken else content

    def put(self, bucket: str, files: dict[str, bytes]) -> None:
        import boto3

        client = boto3.client("s3", endpoint_url=self.url)
        client.create_bucket(Bucket=bucket)
        for name, content in files.items():
            client.put_object(Bucket=bucket, Key=name, Body=content)


def halved(content: Iterable[bytes]) -> Iterator[bytes]:
    whole = b"".join(content)
    yield whole[: len(whole) // 2]
    raise ConnectionAbortedError("broken off as told")


@contextmanager
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    store = Store("", DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, store, threaded=True)
    store.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": store.url}.items():
        monkeypatch.setenv(name, value)
    remote.opened.cache_clear()
    try:
        yield store
    finally:
        remote.opened.cache_clear()
        server.shutdown()
        server.server_close()
        thread.join()
        from moto import backends

        for account in backends.get_backend("s3").values():
            for backend in account.values():
                backend.reset()

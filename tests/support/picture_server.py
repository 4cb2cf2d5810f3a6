"""A real web server on this machine that hands out files, and misbehaves as it is told."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Act:
    """What the server does with a request instead of answering it well: waits, answers `status`, redirects, sends
    only the first `cut` bytes, or closes at once (`drop`). `etag` and `ranges` say what it can do.
    """

    status: int = 200
    delay: float = 0.0
    cut: int | None = None
    drop: bool = False
    to: str = ""
    etag: bool = True
    ranges: bool = True
    headers: dict[str, str] = field(default_factory=dict)


Behaviour = Callable[[str, int], Act]


def well(path: str, time: int) -> Act:
    return Act()


class PictureServer(ThreadingHTTPServer):
    """`behave` is told the path and how often it was asked for before; `asked` is what was asked, and `sent` how
    many bytes of each.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, files: dict[str, bytes], behave: Behaviour, host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), Handler)
        self.files, self.behave = files, behave
        self.asked: list[str] = []
        self.sent: dict[str, int] = {}
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.under_way = self.most_under_way = 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that went away are what these tests are about."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: PictureServer

    def do_GET(self) -> None:
        server = self.server
        path = self.path.lstrip("/").partition("?")[0]
        with server.lock:
            act = server.behave(path, server.asked.count(path))
            server.asked.append(path)
            server.under_way += 1
            server.most_under_way = max(server.most_under_way, server.under_way)
        try:
            self.perform(path, act)
        finally:
            with server.lock:
                server.under_way -= 1

    def perform(self, path: str, act: Act) -> None:
        if act.delay:
            self.server.ended.wait(act.delay)
        if act.drop:
            self.close_connection = True
            return
        content = self.server.files.get(path)
        etag = f'"{hashlib.md5(content or b"").hexdigest()}"'
        status = act.status if content is not None or act.status != 200 else 404
        if act.to:
            status = 302
        headers = {"Date": formatdate(usegmt=True), **act.headers}
        if act.to:
            headers["Location"] = act.to
        if act.etag:
            headers["ETag"] = etag
        body = content if status == 200 and content is not None else b""
        if status == 200 and act.etag and self.headers.get("If-None-Match") == etag:
            status, body = 304, b""
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if status == 200 and wanted and act.ranges:
            start, end = int(wanted[1]), int(wanted[2]) + 1
            status = 206 if start < len(body) else 416
            headers["Content-Range"] = f"bytes {start}-{min(end, len(body)) - 1}/{len(body)}"
            body = body[start:end]
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        body = body if act.cut is None else body[: act.cut]
        with self.server.lock:
            self.server.sent[path] = self.server.sent.get(path, 0) + len(body)
        self.wfile.write(body)
        if act.cut is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal."""


@contextmanager
def serving(files: dict[str, bytes], behave: Behaviour = well, host: str = "127.0.0.1") -> Iterator[PictureServer]:
    server = PictureServer(files, behave, host)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()

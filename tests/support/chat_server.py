"""A real HTTP server on this machine that speaks as a language model does, and misbehaves as it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Asked:
    """A request as it came in; `number` counts from 0."""

    number: int
    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    at: float

    @property
    def text(self) -> str:
        """The text of the last message."""
        content = self.body["messages"][-1]["content"]
        return content if isinstance(content, str) else content[-1]["text"]


@dataclass
class Act:
    """What the server does with a request. It waits, then sends `status` and `content`, perhaps only the first
    `cut` bytes of it, or a byte every `drip` seconds; or it closes at once (`drop`).
    """

    status: int = 200
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: int | None = None
    drip: float = 0.0
    drop: bool = False


def says(text: str | None, **more: Any) -> Act:
    """A proper answer."""
    message = {"role": "assistant", "content": text}
    answer = {
        "object": "chat.completion",
        "model": "tiny-chat-1",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15},
    }
    return Act(content=json.dumps({**answer, **more}).encode())


def echo(asked: Asked) -> Act:
    return says(f"about: {asked.text}")


Behaviour = Callable[[Asked], Act]


class ChatServer(ThreadingHTTPServer):
    """Answers as `behave` says, and remembers what was asked and how many were under way at once."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, behave: Behaviour, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.behave = behave
        self.asked: list[Asked] = []
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.under_way = self.most_under_way = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that went away are what these tests are about."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ChatServer

    def do_POST(self) -> None:
        server = self.server
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with server.lock:
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(len(server.asked), self.path, json.loads(raw), headers, time.monotonic())
            server.asked.append(asked)
            server.under_way += 1
            server.most_under_way = max(server.most_under_way, server.under_way)
        try:
            self.perform(server.behave(asked))
        finally:
            with server.lock:
                server.under_way -= 1

    def perform(self, act: Act) -> None:
        if act.delay:
            self.server.ended.wait(act.delay)
        if act.drop:
            self.close_connection = True
            return
        self.send_response(act.status)
        self.send_header("Content-Type", "application/json")
        for name, value in act.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(act.content)))
        self.end_headers()
        content = act.content if act.cut is None else act.content[: act.cut]
        if act.drip:
            for byte in content:
                if self.server.ended.wait(act.drip):
                    break
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
        else:
            self.wfile.write(content)
        if act.cut is not None:
            self.close_connection = True

    def do_GET(self) -> None:
        self.send_error(405)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the terminal."""


@contextmanager
def serving(behave: Behaviour = echo, port: int = 0) -> Iterator[ChatServer]:
    server = ChatServer(behave, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()

"""A web server on this machine that never finishes its headers, or its body."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# What each server sends at first, and then again and again.
DRIPS = {
    "a header that grows": (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
    "headers without end": (b"HTTP/1.1 200 OK\r\n", b"X-Slow: 1\r\n"),
    "early hints without end": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "a body that grows": (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"x"),
}


@contextmanager
def dripping(name: str, seconds: float = 0.01) -> Iterator[str]:
    """Serve one of the `DRIPS`, a drop every `seconds`, and yield the server's address."""
    start, drop = DRIPS[name]
    ended = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            try:
                self.request.sendall(start)
                while not ended.wait(seconds):
                    self.request.sendall(drop)
            except OSError:
                return  # the client has gone

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            ended.set()
            server.shutdown()
            thread.join()

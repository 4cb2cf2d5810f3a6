"""A thousand posts at 50 ms a request, 16 in flight: the stage, beside a bare loop that only sends and waits."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2 as httpx

from stages.base import Item
from stages.knowledge.schema import KnowledgeConfig, KnowledgeValue
from stages.knowledge.stage import KnowledgeStage

POSTS, SECONDS, IN_FLIGHT = 1000, 0.05, 16
MOST = 1.3
ANSWER = (
    b'{"choices": [{"message": {"content": "Paris is a city."}}],'
    b' "usage": {"prompt_tokens": 50, "completion_tokens": 5}}'
)


class Slow(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(SECONDS)
        self.send_response(200)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, format: str, *args: object) -> None: ...


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


async def bare(url: str) -> None:
    """As fast as the library goes: no retries, no budget, no checks."""
    turns = asyncio.Semaphore(IN_FLIGHT)
    limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    async with httpx.AsyncClient(limits=limits, timeout=30) as http:

        async def one() -> None:
            async with turns:
                (await http.post(f"{url}/chat/completions", json={"messages": []})).json()

        await asyncio.gather(*(one() for _ in range(POSTS)))


def staged(url: str) -> None:
    stage = KnowledgeStage(KnowledgeConfig(endpoint=url, model="m", concurrency=IN_FLIGHT))
    stage.open()
    items = [Item(str(n), f"post {n}", None, text=f"Hello from Paris {n}") for n in range(POSTS)]
    for start in range(0, POSTS, stage.batch_size):
        found = stage.run(items[start : start + stage.batch_size])
        assert all(isinstance(value, KnowledgeValue) for value in found)


def main() -> None:
    server = Server(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    ideal = POSTS * SECONDS / IN_FLIGHT
    began = time.perf_counter()
    asyncio.run(bare(url))
    middle = time.perf_counter()
    staged(url)
    end = time.perf_counter()
    server.shutdown()
    server.server_close()
    peer, ours = middle - began, end - middle
    print(
        f"knowledge: {POSTS} posts, {SECONDS * 1000:.0f} ms a request, {IN_FLIGHT} in flight: ideal {ideal:.2f} s"
    )
    print(f"  bare loop {peer:.2f} s ({peer / ideal:.2f}× ideal)")
    print(f"  stage     {ours:.2f} s ({ours / ideal:.2f}× ideal, goal {MOST}×; {ours / peer:.2f}× the bare loop)")


if __name__ == "__main__":
    sys.exit(main())

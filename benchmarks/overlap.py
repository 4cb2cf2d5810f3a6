"""Captions that a server writes beside objects and text that this machine finds: at once, beside one after the
other. `python -m benchmarks.overlap FOLDER [PICTURES [SECONDS]]`, the seconds that the server takes for a caption.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import ita_pipeline as ita
from benchmarks.extraction import chosen
from benchmarks.knowledge import Server

PICTURES, SECONDS = 128, 1.0
ANSWER = b'{"choices": [{"message": {"content": "a dog on a beach"}}]}'


class Describes(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    seconds = SECONDS

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.seconds)
        self.send_response(200)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, format: str, *args: object) -> None: ...


def extracted(images: Path, url: str, *stages: str) -> float:
    """Seconds of a run in a fresh workspace."""
    server = {"caption": {"endpoint": url, "model": "m"}}
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as workspace:
        options = ita.Options(preset="bundled", stages=stages, base=server, workspace=Path(workspace))
        if not ita.extract(images, options).clean:
            raise RuntimeError("pictures failed, so that the time would flatter")
    return time.perf_counter() - began


def main(arguments: Sequence[str]) -> None:
    folder, count = Path(arguments[0]), int(arguments[1]) if len(arguments) > 1 else PICTURES
    Describes.seconds = float(arguments[2]) if len(arguments) > 2 else SECONDS
    server = Server(("127.0.0.1", 0), Describes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    with tempfile.TemporaryDirectory() as place:
        for path in chosen(folder, count):
            (Path(place) / path.name).symlink_to(path.resolve())
        here = extracted(Path(place), url, "objects", "ocr")
        there = extracted(Path(place), url, "caption")
        both = extracted(Path(place), url, "objects", "ocr", "caption")
    server.shutdown()
    server.server_close()
    print(f"{count} pictures, {Describes.seconds} s a caption of the server, 8 under way")
    print(f"  objects and text {here:.1f} s, captions {there:.1f} s, one after the other {here + there:.1f} s")
    print(
        f"  all at once {both:.1f} s: {(here + there) / both:.2f}×, {both / max(here, there):.2f}× the longer one"
    )


if __name__ == "__main__":
    main(sys.argv[1:])

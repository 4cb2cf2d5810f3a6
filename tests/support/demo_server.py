"""The server of `ita demo` as a process of its own, and a run for it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from PIL import Image, ImageDraw

from tests.support.fakes import ita_here
from tests.support.tiny_encoder import build_bert

RATES = [f"--set=training.{name}=0.01" for name in ("learning_rate", "linear_learning_rate", "crf_learning_rate")]
BOUNDARY = "a-boundary-of-parts"


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[str]
    address: str
    run: Path
    picture: Path

    def ask(self, *parts: tuple[str, bytes], **headers: str) -> tuple[int, Any]:
        """Post parts of a form; one called image is a file."""
        body = b"".join(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'.encode()
            + (b'; filename="x.png"' if name == "image" else b"")
            + b"\r\n\r\n"
            + content
            + b"\r\n"
            for name, content in parts
        )
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.send("POST", "/predict", body + f"--{BOUNDARY}--\r\n".encode(), {**kind, **named})

    def ask_list(self, posts: Any) -> tuple[int, Any]:
        """Post JSON; bytes are sent as they are."""
        body = posts if isinstance(posts, bytes) else json.dumps(posts).encode()
        return self.send("POST", "/predict", body, {"Content-Type": "application/json; charset=utf-8"})

    def send(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        connection = HTTPConnection(urlsplit(self.address).netloc, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def memory(self) -> int:
        """Bytes of the server and of its stages' processes."""
        server_process = psutil.Process(self.process.pid)
        return sum(one.memory_info().rss for one in [server_process, *server_process.children(recursive=True)])


def sign(path: Path) -> Path:
    """A picture with a word to read and a person's shape, as far as a small detector is concerned."""
    picture = Image.new("RGB", (420, 160), "white")
    ImageDraw.Draw(picture).text((30, 40), "MARLOW", fill="black", font_size=80)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


def train(root: Path) -> Path:
    """A run of the bundled stages and a tiny encoder, which learns that what comes after hi is a person."""
    build_bert(root / "bert")
    sign(root / "mine" / "sign.png")
    names = ["kim", "lou", "max", "zoe"]
    lines = [
        {
            "text": f"hi {name}",
            "split": split,
            "image": "sign.png",
            "mentions": [{"start": 3, "end": 3 + len(name), "type": "PER"}],
        }
        for split in ("train", "dev", "test")
        for name in names * (4 if split == "train" else 1)
    ]
    (root / "mine" / "tweets.jsonl").write_text("\n".join(map(json.dumps, lines)))
    settings = ("--preset", "bundled", "--encoder", "bert", "--set=training.epochs=8", *RATES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        answer = ita_here("train", "--dataset", "mine", *settings)
    assert answer.code == 0, answer.err
    (run,) = (root / "runs" / "mine").iterdir()
    return run

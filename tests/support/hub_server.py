"""A stand-in for the hub of Hugging Face on this machine: it creates model repositories and takes commits."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

TOKEN = "hf_of_these_tests"


@dataclass
class Repository:
    """Whether a repository is private, and the content of its files, by name."""

    is_private: bool
    files: dict[str, bytes] = field(default_factory=dict)


class HubServer(ThreadingHTTPServer):
    """Repositories by name, uploaded objects by hash, and the paths that were asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def do_GET(self) -> None:
        self.answer_request(b"")

    def do_POST(self) -> None:
        self.answer_request(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def do_PUT(self) -> None:
        self.do_POST()

    def answer_request(self, body: bytes) -> None:
        path = self.path.partition("?")[0]
        self.server.requests.append(path)
        if path.startswith("/lfs/"):
            self.server.objects[path.removeprefix("/lfs/")] = body
            self.reply(200, {})
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.reply(401, {"error": "Invalid token"})
        else:
            self.reply(*self.route(path.strip("/").split("/"), body))

    def route(self, path: list[str], body: bytes) -> tuple[int, Any]:
        match path:
            case ["api", "repos", "create"]:
                asked = json.loads(body)
                name = f"{asked['organization'] or 'me'}/{asked['name']}"
                known = name in self.server.repositories
                self.server.repositories.setdefault(name, Repository(asked["visibility"] == "private"))
                return 409 if known else 200, {"url": f"{self.server.url}/{name}"}
            case ["api", "validate-yaml"]:
                return 200, {"errors": [], "warnings": []}
            case ["api", "models", owner, name]:
                repository = self.server.repositories[f"{owner}/{name}"]
                return 200, {"id": f"{owner}/{name}", "private": repository.is_private}
            case ["api", "models", _, _, "preupload", "main"]:
                paths = [file["path"] for file in json.loads(body)["files"]]
                modes = ["lfs" if path.endswith(".safetensors") else "regular" for path in paths]
                files = [
                    {"path": path, "uploadMode": mode, "shouldIgnore": False}
                    for path, mode in zip(paths, modes, strict=True)
                ]
                return 200, {"files": files}
            case [_, _, "info", "lfs", "objects", "batch"]:
                return 200, {"transfer": "basic", "objects": list(map(self.offer, json.loads(body)["objects"]))}
            case ["api", "models", owner, name, "commit", "main"]:
                self.commit(self.server.repositories[f"{owner}/{name}"], body)
                return 200, {"commitUrl": f"{self.server.url}/{owner}/{name}/commit/1", "commitOid": "1"}
        return 404, {"error": "there is nothing here"}

    def offer(self, wanted: dict[str, Any]) -> dict[str, Any]:
        return {**wanted, "actions": {"upload": {"href": f"{self.server.url}/lfs/{wanted['oid']}", "header": {}}}}

    def commit(self, repository: Repository, body: bytes) -> None:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repository.files[value["path"]] = self.server.objects[value["oid"]]

    def reply(self, status: int, content: Any) -> None:
        encoded = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, format: str, *args: Any) -> None:
        """Tests print nothing."""


@contextmanager
def hub_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """Open the server, and let the library of the hub use it, with its token and without its own protocol Xet."""
    with HubServer() as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()

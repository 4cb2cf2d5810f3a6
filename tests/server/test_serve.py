"""Tests of `ita demo` as a process: many clients, hostile pictures, and what keeps it from starting."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.server.serve import bind_socket, check_installed
from tests.support.demo_server import Server
from tests.support.fakes import ita as command
from tests.support.fakes import ita_here
from tests.support.hostile import harmful


def test_no_picture_is_kept(server: Server):
    content = server.picture.read_bytes() + b"never seen before"
    assert server.ask(("image", content))[0] == 200
    kept = [
        path
        for path in server.run.parents[2].rglob("*")
        if path.is_file() and path.stat().st_mtime > time.time() - 5
    ]
    assert [path for path in kept if ".ita" in path.parts] == []
    assert not [path for folder in Path("/tmp").glob("ita-demo-*") for path in folder.iterdir()]


def test_hostile_pictures_are_refused_and_the_next_post_is_answered(server: Server):
    for name, content in harmful(1).items():
        status, answer = server.ask(("text", b"hi"), ("image", content))
        assert (status, answer.get("error", "")[:26]) == (422, "the picture cannot be read"), name
    assert server.ask(("text", b"hi kim"))[0] == 200


def test_200_posts_of_16_clients_are_answered_in_constant_memory(server: Server):
    """200 posts from 16 clients; each tenth has a picture that was not seen before."""
    picture = server.picture.read_bytes()

    def one(number: int) -> int:
        image = [picture, picture + str(number).encode()][number % 10 == 0]
        parts = [("text", f"hi kim, number {number}".encode())]
        return server.ask(*parts, *([("image", image)] if number % 2 == 0 else []))[0]

    with ThreadPoolExecutor(16) as clients:
        assert set(clients.map(one, range(80))) == {200}
        before = server.memory()
        assert set(clients.map(one, range(1000, 1200))) == {200}
    assert server.memory() < 1.05 * before + 8 * 1024**2


def test_a_taken_port_and_missing_runs_and_packages_are_reported(server: Server, monkeypatch: pytest.MonkeyPatch):
    port = str(urlsplit(server.address).port)
    answer = ita_here("demo", server.run, "--port", port)
    assert (answer.code, answer.out) == (2, "")
    assert f"the demo cannot listen on 127.0.0.1, port {port}: address already in use" in answer.err
    assert "--port 0" in answer.err
    assert ita_here("demo", "nothing").code == 3
    with pytest.raises(UsageError, match="cannot listen on no such host"):
        bind_socket("no such host", 0)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingError, match="the demo needs uvicorn") as caught:
        check_installed()
    assert caught.value.hint == "pip install 'ita-pipeline[demo]'"


def test_the_help_has_an_example(server: Server):
    answer = command("demo", "--help")
    assert answer.code == 0
    assert "ita demo example --open" in answer.out

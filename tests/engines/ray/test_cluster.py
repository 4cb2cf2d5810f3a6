"""How a cluster is joined or started, and how its cores are divided among actors."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest

from ita_pipeline.core.errors import UsageError
from ita_pipeline.engines.ray import cluster
from ita_pipeline.engines.ray.cluster import ActorResources, Node, RayPool, divide_cluster, watch_daemons
from tests.support.fakes import draw, ita_here

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray")


@pytest.fixture
def port() -> Iterator[int]:
    """A port that accepts connections."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


@pytest.fixture
def dead_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return server.getsockname()[1]


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses to which Ray would connect; it does not connect."""
    connected: list[str] = []
    monkeypatch.setattr(cluster, "start_ray", connected.append)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return connected


def record_address(monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
    monkeypatch.setattr(cluster, "recorded_address", lambda: address)


def extract(*more: str):
    draw(Path("images/a.png"))
    return ita_here("extract", "images", "--preset", "bundled", "--engine", "ray", *more)


@needs_ray
@pytest.mark.parametrize(
    ("address", "why"),
    [
        (lambda port: f"127.0.0.1:{port}", "nothing listens there"),
        (lambda _: "127.0.0.1:99999", "nothing listens there"),
        (lambda _: "no-such-host.invalid:6379", "nothing listens there"),
        (lambda _: "head-node", "it is not of the form host:port"),
        (lambda _: "head-node:", "it is not of the form host:port"),
    ],
)
def test_a_cluster_that_does_not_answer_is_an_error_at_once(
    address: Callable[[int], str], why: str, dead_port: int, addresses: list[str]
):
    where = address(dead_port)
    answer = extract("--address", where)
    assert answer.code == 3
    assert answer.err.splitlines()[-2:] == [
        f"error: no Ray cluster answers at {where}: {why}",
        "hint: ray start --head starts one on this machine; --address local needs none",
    ]
    assert addresses == []


@needs_ray
def test_the_address_may_come_from_the_environment(dead_port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{dead_port}")
    assert f"no Ray cluster answers at 127.0.0.1:{dead_port}" in extract().err


@needs_ray
def test_a_ray_client_address_is_refused():
    answer = extract("--address", "ray://head:10001")
    assert answer.code == 2
    assert "Ray Data does not work from ray://head:10001" in answer.err


def test_a_running_cluster_of_this_machine_is_joined_and_else_one_is_started(
    port: int, dead_port: int, addresses: list[str], monkeypatch: pytest.MonkeyPatch
):
    for recorded in (f"127.0.0.1:{port}", f"127.0.0.1:{dead_port}", None):
        record_address(monkeypatch, recorded)
        cluster.join_cluster(None)
    assert addresses == [f"127.0.0.1:{port}", "local", "local"]


def test_auto_joins_a_cluster_of_this_machine_and_starts_none(
    port: int, dead_port: int, addresses: list[str], monkeypatch: pytest.MonkeyPatch
):
    record_address(monkeypatch, f"127.0.0.1:{port}")
    cluster.join_cluster("auto")
    assert addresses == [f"127.0.0.1:{port}"]
    if find_spec("ray"):
        record_address(monkeypatch, f"127.0.0.1:{dead_port}")
        answer = extract("--address", "auto")
        assert answer.code == 3
        assert "no Ray cluster answers at auto: none was started on this machine, or it is gone" in answer.err


def test_an_error_without_ray_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    draw(Path("images/a.png"))
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    answer = ita_here("extract", "images", "--preset", "bundled", "--engine", "ray")
    assert answer.code == 3
    assert answer.err == (
        "error: --engine ray needs Ray, which is not installed\nhint: pip install 'ita-pipeline[ray]'\n"
    )


def test_options_of_ray_need_its_engine():
    answer = ita_here("extract", "images", "--actors", "2")
    assert answer.code == 2
    assert "--actors requires --engine ray" in answer.err


@pytest.mark.parametrize(
    ("pool", "nodes", "resources"),
    [
        (RayPool(), [Node(2, 0)], ActorResources(1, 2, 0)),
        (RayPool(), [Node(16, 0), Node(8, 0)], ActorResources(6, 4, 0)),
        (RayPool(actors=2), [Node(2, 0)], ActorResources(2, 1, 0)),
        (RayPool(actors=3), [Node(4, 0), Node(4, 0)], ActorResources(3, 2, 0)),
        (RayPool(actors=4), [Node(2, 0)], ActorResources(4, 0.5, 0)),
        (RayPool(gpus=0.5), [Node(16, 2)], ActorResources(4, 4, 0.5)),
        (RayPool(gpus=1.0), [Node(8, 0), Node(8, 2)], ActorResources(2, 4, 1.0)),
    ],
)
def test_cores_are_divided_so_that_every_actor_fits_on_a_machine(
    pool: RayPool, nodes: list[Node], resources: ActorResources
):
    assert divide_cluster(pool, nodes) == resources


@pytest.mark.parametrize("pool", [RayPool(gpus=0.5), RayPool(actors=3, gpus=1.0)])
def test_actors_that_fit_on_no_machine_are_refused(pool: RayPool):
    with pytest.raises(UsageError, match="cluster"):
        divide_cluster(pool, [Node(8, 2)] if pool.actors else [Node(8, 0)])


def test_the_death_of_a_process_of_the_cluster_is_told_once(caplog: pytest.LogCaptureFixture):
    with subprocess.Popen(["sleep", "60"]) as daemon, watch_daemons(("sleep",)):
        daemon.kill()
        while len(caplog.messages) < 2:
            time.sleep(0.02)
    assert caplog.messages[0].startswith("error: a process of Ray has died")
    assert caplog.messages[1].startswith("hint: run the same command again")

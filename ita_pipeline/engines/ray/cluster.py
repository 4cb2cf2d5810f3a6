"""Ray as it is started or reached, quietly, and how its cores and GPUs are divided among actors."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from ita_pipeline.core.errors import MissingError, UsageError

INSTALL = "pip install 'ita-pipeline[ray]'"

SECONDS_TO_ANSWER = 10.0

START = "ray start --head starts one on this machine; --address local needs none"

CORES_AN_ACTOR = 4

# Only paths and keys travel, so what Ray holds in memory is small.
STORE_BYTES = 256 * 1024 * 1024

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}


@dataclass(frozen=True, slots=True)
class RayPool:
    """What is asked of Ray: how many actors, by default as many as fit; the GPUs of each, of which a part will do;
    and the cluster's address. By default that is `RAY_ADDRESS`, else a cluster that was started on this machine,
    else one that lasts as long as the run, as with `local`.
    """

    actors: int | None = None
    gpus: float = 0.0
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """What a machine of a cluster has."""

    cores: float
    gpus: float


@dataclass(frozen=True, slots=True)
class Shares:
    """How many actors there are, and what each has. Less than one core is a core that several share."""

    actors: int
    cores: float
    gpus: float

    @property
    def whole_cores(self) -> int:
        return max(1, int(self.cores))

    def __str__(self) -> str:
        actors = f"{self.actors} actor{'' if self.actors == 1 else 's'}"
        each = f"{self.cores:g} core{'' if self.cores == 1 else 's'}"
        return f"{actors} with {each}{f' and {self.gpus:g} GPU' if self.gpus else ''} each"


def shares(pool: RayPool, nodes: Sequence[Node]) -> Shares:
    """Divide the cores of a cluster among as many actors as are asked for, or as have GPUs, or as four cores each
    make. Each is on one machine.

    Raises:
        UsageError: no machine has what one actor wants.
    """
    most = max((node.gpus for node in nodes), default=0.0)
    if pool.gpus > most:
        have = f"the largest machine of the cluster has {most:g}"
        raise UsageError(f"an actor wants {pool.gpus:g} GPU, and {have}", "--num-gpus 0.5 lets two share one")
    actors = pool.actors or sum(fitting(node, pool.gpus) for node in nodes)
    whole = range(int(max((node.cores for node in nodes), default=1)), 0, -1)
    parts = (1 / number for number in range(2, actors + 1))
    for cores in (*whole, *parts):
        if sum(room(node, cores, pool.gpus) for node in nodes) >= actors:
            return Shares(actors, cores, pool.gpus)
    place = f"{sum(node.cores for node in nodes):g} cores and {sum(node.gpus for node in nodes):g} GPUs"
    raise UsageError(f"the cluster has no place for {actors} actors: it has {place}", "--actors with fewer")


def fitting(node: Node, gpus: float) -> int:
    return int(node.gpus / gpus + 1e-6) if gpus else max(1, int(node.cores) // CORES_AN_ACTOR)


def room(node: Node, cores: float, gpus: float) -> int:
    """How many actors with so much have their place on a machine."""
    by_cores = int(node.cores / cores + 1e-6)
    return min(by_cores, int(node.gpus / gpus + 1e-6)) if gpus else by_cores


def require_ray() -> None:
    """
    Raises:
        MissingError: the extra `ray` is not installed.
    """
    if find_spec("ray") is None or find_spec("ray.data") is None:
        raise MissingError("--engine ray needs Ray, which is not installed", INSTALL)


@contextmanager
def connected(pool: RayPool) -> Iterator[Sequence[Node]]:
    """The machines of a cluster, as long as this process belongs to it. A process that does already, stays.

    Raises:
        MissingError: Ray is not installed, or no cluster answers.
        UsageError: the cluster runs another version of Ray or of Python.
    """
    require_ray()
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield machines()
        return
    with keep_signal_handlers(), silence_stderr():
        join(pool.address)
    try:
        yield machines()
    finally:
        with keep_signal_handlers(), silence_stderr():
            ray.shutdown()


def join(address: str | None) -> None:
    """
    Raises:
        MissingError: nobody answers.
        UsageError: it is no address, or the cluster runs another version of Ray or of Python.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    if address is not None and "://" in address:
        raise UsageError(f"Ray Data does not work from {address}", "--address HOST:6379, that of the head node")
    try:
        if address is None or address == "auto":
            there = recorded_address()
            if there is not None and listens(there):
                address = there
            elif address == "auto":
                raise ConnectionError("none was started on this machine, or it is gone")
        elif address != "local" and not listens(address):
            raise ConnectionError("nobody listens there")
        reach(address or "local")
    except (ConnectionError, ValueError) as error:
        raise MissingError(f"no Ray cluster answers at {address}: {first_line(error)}", START) from error
    except RuntimeError as error:
        raise UsageError(
            f"the Ray cluster cannot be used: {first_line(error)}", "ray --version, there too"
        ) from error


def recorded_address() -> str | None:
    """Where the last cluster of this machine was started; it may be gone."""
    from ray._private.services import get_ray_address_from_environment

    try:
        return get_ray_address_from_environment("auto", None)
    except ConnectionError:
        return None


def listens(address: str) -> bool:
    """Whether a connection is taken. Ray itself waits many minutes for a cluster that is gone.

    Raises:
        ValueError: it is not of the form host:port.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("it is not of the form host:port")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), SECONDS_TO_ANSWER):
            return True
    except (OSError, OverflowError):
        return False


def reach(address: str) -> None:
    import ray

    more: dict[str, Any] = {"include_dashboard": False, "object_store_memory": STORE_BYTES}
    if address != "local":
        more.clear()
    with same_modules():
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, **more)


def first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]


def machines() -> list[Node]:
    import ray

    found = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in found]


@contextmanager
def same_modules() -> Iterator[None]:
    """What is started here finds the modules that this process finds."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


@contextmanager
def silence_stderr() -> Iterator[None]:
    """Nothing of what Ray's libraries, which know nothing of Python's streams, have to say reaches a terminal."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)


@contextmanager
def keep_signal_handlers() -> Iterator[None]:
    """Ray answers SIGTERM in its own way from its start on; we answer it in ours."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            with contextlib.suppress(TypeError):
                signal.signal(number, handler)


@contextmanager
def quiet_data() -> Iterator[None]:
    """Ray Data without its bars and its log lines, and with blocks as small as ours are; afterwards as before."""
    from ray.data import DataContext

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context = DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # A dead actor's tasks are ours to give to another one.
    context.max_errored_blocks = -1
    context.target_max_block_size = 1024 * 1024
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with DataContext.current(context), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)

# Ray is only partly typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Start or join a Ray cluster without its output, and divide its cores and GPUs among actors."""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ita_pipeline.core.errors import ExitCode, MissingError, UsageError

if TYPE_CHECKING:
    import psutil

logger = logging.getLogger(__name__)

# How command lines of a cluster's daemons begin. The raylet ends with its agents, which rename themselves.
DAEMONS = (
    "/raylet",
    "/gcs_server",
    "dashboard/agent.py",
    "runtime_env/agent/main.py",
    "ray::DashboardAgent",
    "ray::RuntimeEnvAgent",
)

# How long Ray may take to end this process.
LAST_SECONDS = 90

START_HINT = "ray start --head starts one on this machine; --address local needs none"


@dataclass(frozen=True, slots=True)
class RayPool:
    """Settings of the Ray engine: the number of actors, by default as many as fit; the GPUs of each actor, which
    may be a fraction; and the address of the cluster.

    The default address is `RAY_ADDRESS`, else a cluster that was started on this machine, else one that lasts as
    long as the run, as with `local`.
    """

    actors: int | None = None
    gpus: float = 0.0
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """The cores and GPUs of one machine in a cluster."""

    cores: float
    gpus: float

    def count_actors(self, cores: float, gpus: float) -> int:
        """How many actors with these cores and GPUs fit on the machine."""
        by_cores = int(self.cores / cores + 1e-6)
        return min(by_cores, int(self.gpus / gpus + 1e-6)) if gpus else by_cores


@dataclass(frozen=True, slots=True)
class ActorResources:
    """The number of actors, and the cores and GPUs of each. Several actors share a core if `cores` is below one."""

    actors: int
    cores: float
    gpus: float

    @property
    def whole_cores(self) -> int:
        """The number of threads that an actor may use."""
        return max(1, int(self.cores))

    def __str__(self) -> str:
        actors = f"{self.actors} actor{'' if self.actors == 1 else 's'}"
        each = f"{self.cores:g} core{'' if self.cores == 1 else 's'}"
        return f"{actors} with {each}{f' and {self.gpus:g} GPU' if self.gpus else ''} each"


def divide_cluster(pool: RayPool, nodes: Sequence[Node]) -> ActorResources:
    """Divide the cores of a cluster among the actors asked for, else one actor per GPU share or per four cores.

    Each actor fits on one machine.

    Raises:
        UsageError: no machine has the resources of one actor.
    """
    most_gpus = max((node.gpus for node in nodes), default=0.0)
    if pool.gpus > most_gpus:
        have = f"the largest machine of the cluster has {most_gpus:g}"
        raise UsageError(f"an actor needs {pool.gpus:g} GPU, and {have}", "--num-gpus 0.5 lets two share one")
    actors = pool.actors or sum(_default_actors(node, pool.gpus) for node in nodes)
    most_cores = int(max((node.cores for node in nodes), default=1))
    whole_cores = range(most_cores, 0, -1)
    core_fractions = (1 / number for number in range(2, actors + 1))
    for cores in (*whole_cores, *core_fractions):
        if sum(node.count_actors(cores, pool.gpus) for node in nodes) >= actors:
            return ActorResources(actors, cores, pool.gpus)
    total = f"{sum(node.cores for node in nodes):g} cores and {sum(node.gpus for node in nodes):g} GPUs"
    raise UsageError(f"the cluster is too small for {actors} actors: it has {total}", "use fewer: --actors N")


def _default_actors(node: Node, gpus: float) -> int:
    return int(node.gpus / gpus + 1e-6) if gpus else max(1, int(node.cores) // 4)


def require_ray() -> None:
    """Check that Ray is installed.

    Raises:
        MissingError: the extra `ray` is not installed.
    """
    if find_spec("ray") is None or find_spec("ray.data") is None:
        raise MissingError("--engine ray needs Ray, which is not installed", "pip install 'ita-pipeline[ray]'")


@contextmanager
def connect(pool: RayPool) -> Generator[Sequence[Node]]:
    """Connect to a cluster and give its machines. A connection that exists already is used and kept.

    Raises:
        MissingError: no cluster answers.
        UsageError: the cluster runs another version of Ray or of Python.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray

    if ray.is_initialized():
        yield _list_nodes()
        return
    with _contain_ray():
        join_cluster(pool.address)
    try:
        with watch_daemons(DAEMONS):
            yield _list_nodes()
    finally:
        with _contain_ray():
            ray.shutdown()


@contextmanager
def watch_daemons(names: tuple[str, ...]) -> Generator[None]:
    """Log an error and a hint as soon as one of these child processes is gone.

    Ray's libraries then end this process from within, with exit code 1 and no exception, after up to a minute.
    After some of these deaths they wait forever instead, so that it is ended here.
    """
    if not hasattr(os, "pidfd_open"):  # only Linux tells of a death before it has reached this process
        yield
        return
    import psutil

    daemons = [process.pid for process in psutil.Process().children(recursive=True) if _is_named(process, names)]
    finished, waiter = threading.Event(), select.poll()

    def wait() -> None:
        while not waiter.poll(100):
            if finished.is_set():
                return
        logger.error("error: a process of Ray has died, and the command with it; finished batches are kept")
        logger.error("hint: run the same command again; it goes on where this one ended")
        if not finished.wait(LAST_SECONDS):
            os._exit(ExitCode.NOT_CLEAN)

    with ExitStack() as descriptors:
        for pid in daemons:
            with suppress(ProcessLookupError):
                descriptor = os.pidfd_open(pid)
                descriptors.callback(os.close, descriptor)
                waiter.register(descriptor, select.POLLIN)
        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        try:
            yield
        finally:
            finished.set()
            thread.join()


def _is_named(process: psutil.Process, names: tuple[str, ...]) -> bool:
    import psutil

    try:
        return any(part.strip().endswith(names) for part in process.cmdline()[:3])
    except psutil.Error:
        return False


def join_cluster(address: str | None) -> None:
    """Connect this process to the cluster at an address; see `RayPool` for the default.

    Raises:
        MissingError: no cluster answers.
        UsageError: the address is invalid, or the cluster runs another version of Ray or of Python.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    if address is not None and "://" in address:
        raise UsageError(f"Ray Data does not work from {address}", "--address HOST:6379, that of the head node")
    try:
        address = _resolve_address(address)
        start_ray(address)
    except (ConnectionError, ValueError) as error:
        message = f"no Ray cluster answers at {address}: {_first_line(error)}"
        raise MissingError(message, START_HINT) from error
    except RuntimeError as error:
        message = f"the Ray cluster cannot be used: {_first_line(error)}"
        raise UsageError(message, "ray --version, there too") from error


def _resolve_address(address: str | None) -> str:
    if address is None or address == "auto":
        recorded = recorded_address()
        if recorded is not None and _is_listening(recorded):
            return recorded
        if address == "auto":
            raise ConnectionError("none was started on this machine, or it is gone")
        return "local"
    if address != "local" and not _is_listening(address):
        raise ConnectionError("nothing listens there")
    return address


def recorded_address() -> str | None:
    """The address of the cluster that was last started on this machine; that cluster may be gone."""
    from ray._private.services import get_ray_address_from_environment

    with suppress(ConnectionError):
        return get_ray_address_from_environment("auto", None)
    return None


def _is_listening(address: str) -> bool:
    """Whether the address accepts connections. Ray itself waits many minutes for a cluster that is gone.

    Raises:
        ValueError: the address does not have the form host:port.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("it is not of the form host:port")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=10):
            return True
    except (OSError, OverflowError):
        return False


def start_ray(address: str) -> None:
    """Connect to a cluster, or start one for `local`, whose processes import from the same folders as this one."""
    import ray

    options: dict[str, Any] = {}
    if address == "local":  # only paths and keys travel, so the object store stays small
        options = {"include_dashboard": False, "object_store_memory": 256 * 1024 * 1024}
    previous = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL, **options)
    finally:
        if previous is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = previous


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]


def _list_nodes() -> list[Node]:
    import ray

    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in resources]


@contextmanager
def _contain_ray() -> Generator[None]:
    """Discard what Ray's libraries write to stderr, and restore the handlers of SIGINT and SIGTERM.

    Ray replaces them when it starts and stops. Its libraries write to the file descriptor, without Python.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM) if in_main_thread else ()
    handlers = {number: signal.getsignal(number) for number in numbers}
    original = os.dup(2)
    null_device = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null_device, 2)
        yield
    finally:
        os.dup2(original, 2)
        os.close(null_device)
        os.close(original)
        for number, handler in handlers.items():
            with suppress(TypeError):
                signal.signal(number, handler)

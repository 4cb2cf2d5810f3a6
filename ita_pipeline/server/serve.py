"""`demo`: serve a run on this machine until somebody stops it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ita_pipeline.cache.workspace import Workspace
from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.engines.executor import MEGABYTE
from ita_pipeline.extraction.options import Options
from ita_pipeline.runs.predictor import Predictor
from ita_pipeline.runs.run import find_run

if TYPE_CHECKING:
    import uvicorn

    from ita_pipeline.server.middleware import Hosts


HOST, PORT = "127.0.0.1", 8765

PACKAGES = {"fastapi": "fastapi", "python_multipart": "python-multipart", "uvicorn": "uvicorn"}

INSTALL = "pip install 'ita-pipeline[demo]'"

SECONDS_TO_FINISH = 5

LOOPBACK = ("127.", "::1")


@dataclass(frozen=True, slots=True)
class Place:
    """Where to serve; port 0 is any that is free."""

    host: str = HOST
    port: int = PORT


def serve(
    run: str | Path,
    place: Place | None = None,
    options: Options | None = None,
    ready: Callable[[str, bool, tuple[str, ...]], None] = lambda *_: None,
) -> None:
    """Serve a run until a signal or `KeyboardInterrupt` ends it. `ready` is told the address once it answers there,
    whether only this machine reaches it, and what is to be said of the run.

    Raises:
        MissingError: there is no such run, or the extra `demo` is not installed.
        UsageError: there is no such address, its port is taken, or nobody agreed that pictures are sent away.
        StageError: a model or tool that the run's stages need is missing.
    """
    check_installed()
    options = options or Options()
    where, limits = Workspace(options.workspace), options.limits
    found, place = find_run(run, where.runs), place or Place()
    with listening(place) as ear:
        from ita_pipeline.server.app import make_app
        from ita_pipeline.server.middleware import Bounds
        from ita_pipeline.server.service import Service

        consent, confirm, changes = options.consent, options.confirm, options.changes
        service = Service(Predictor(found, where.store, limits, 0.0, confirm, consent, changes))
        try:
            service.open()
            bounds = Bounds(bytes=(limits.megabytes + 1) * MEGABYTE)
            server = server_for(make_app(service, bounds, hosts_of(place.host, ear)))
            ready(address(ear), is_local(ear), service.notes)
            server.run([ear])
        finally:
            service.close()


def check_installed() -> None:
    """
    Raises:
        MissingError: a package of the extra `demo` is not there.
    """
    lacking = [name for module, name in PACKAGES.items() if find_spec(module) is None]
    if lacking:
        raise MissingError(f"the demo needs {' and '.join(lacking)}, which is not installed", INSTALL)


def listening(place: Place) -> socket.socket:
    """
    Raises:
        UsageError: there is no such address on this machine, or its port is taken.
    """
    try:
        family, _, _, _, where = socket.getaddrinfo(
            place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server((where[0], where[1]), family=family, backlog=128)
    except (OSError, UnicodeError) as error:
        # The kernel's words alone do not tell a taken port from a name that is not ours.
        reason = getattr(error, "strerror", None) or str(error)
        message = f"the demo cannot listen at {place.host}, port {place.port}: {reason[:1].lower()}{reason[1:]}"
        raise UsageError(message, "--port 0 takes a port that is free; --host 127.0.0.1 is this machine") from error


def is_local(ear: socket.socket) -> bool:
    return ear.getsockname()[0].startswith(LOOPBACK)


def address(ear: socket.socket) -> str:
    host, port = ear.getsockname()[:2]
    name: str = socket.gethostname() if host in ("0.0.0.0", "::") else host
    return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"


def hosts_of(name: str, ear: socket.socket) -> Hosts:
    """The names to answer to: this machine's own only, unless others may reach it."""
    from ita_pipeline.server.middleware import LOCAL, Hosts

    if is_local(ear):
        return Hosts(LOCAL | {name.lower(), ear.getsockname()[0]})
    return Hosts(LOCAL | {name.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}, addresses=True)


def server_for(app: object) -> uvicorn.Server:
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            app,  # type: ignore[arg-type]
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            ws="none",
            limit_concurrency=256,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=SECONDS_TO_FINISH,
        )
    )


def demo(
    run: str | Path,
    host: str = "127.0.0.1",
    port: int = 8765,
    options: Options | None = None,
    ready: Callable[[str, bool, tuple[str, ...]], None] | None = None,
) -> None:
    """Serve a page to try a run on, until Ctrl-C. `ready` is told the address, whether only this machine reaches
    it, and what is to be said of the run.

    Raises:
        MissingError: there is no such run, or the extra `demo` is not installed.
        UsageError: there is no such address, its port is taken, or nobody agreed that pictures are sent away.
        StageError: a model or tool that the run's stages need is missing.
    """
    serve(run, Place(host, port), options, ready or (lambda *_: None))

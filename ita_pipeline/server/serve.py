"""Server of the demo, which runs on this machine until it is stopped."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

from ita_pipeline.cache.store import Workspace
from ita_pipeline.core.errors import MissingError, UsageError
from ita_pipeline.core.progress import activity
from ita_pipeline.engines.executor import MEGABYTE
from ita_pipeline.extraction.options import Options
from ita_pipeline.runs.lookup import find_run
from ita_pipeline.runs.predictor import Predictor

PACKAGES = {"fastapi": "fastapi", "python_multipart": "python-multipart", "uvicorn": "uvicorn"}

INSTALL = "pip install 'ita-pipeline[demo]'"


def demo(
    run: str | Path,
    host: str = "127.0.0.1",
    port: int = 8765,
    options: Options | None = None,
    ready: Callable[[str, bool, tuple[str, ...]], None] | None = None,
) -> None:
    """Serve a page to try a run on, until a signal or Ctrl-C ends it.

    Port 0 is any free port. `ready` is called with the page's address, whether only this machine can reach it, and
    notes on the run.

    Raises:
        MissingError: there is no such run, or the extra `demo` is not installed.
        UsageError: the address does not exist, its port is taken, or a stage sends pictures away without consent.
        StageError: a model or tool that the run's stages need is missing.
    """
    check_installed()
    options = options or Options()
    workspace = Workspace(options.workspace)
    finished_run = find_run(run, workspace.runs)
    with bind_socket(host, port) as server_socket:
        from ita_pipeline.server.app import make_app
        from ita_pipeline.server.connections import make_server
        from ita_pipeline.server.examples import list_examples
        from ita_pipeline.server.middleware import AllowedHosts, ServerLimits
        from ita_pipeline.server.service import PredictionService

        with activity("loading the models"):
            predictor = Predictor.of(finished_run, workspace.store, options)
        with closing(PredictionService(predictor)) as service:
            with activity("starting the stages"):
                service.open()
            request_limits = ServerLimits(max_bytes=(options.limits.megabytes + 1) * MEGABYTE)
            hosts = AllowedHosts.of(host, server_socket)
            examples = list_examples(finished_run, workspace)
            app = make_app(service, request_limits, hosts, examples)
            if ready is not None:
                ready(_url(server_socket), not hosts.any_address, service.notes)
            make_server(app, request_limits).run([server_socket])


def check_installed() -> None:
    """Raise `MissingError` if a package of the extra `demo` is missing."""
    missing = [name for module, name in PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise MissingError(f"the demo needs {' and '.join(missing)}, which is not installed", INSTALL)


def bind_socket(host: str, port: int) -> socket.socket:
    """Listen at an address of this machine.

    Raises:
        UsageError: the address does not exist on this machine, or its port is taken.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = addresses[0]
        return socket.create_server((address[0], address[1]), family=family, backlog=128)
    except (OSError, UnicodeError) as error:
        # The kernel's message alone does not tell a taken port from a foreign host name.
        reason = (getattr(error, "strerror", None) or str(error)).partition(" (while")[0]
        message = f"the demo cannot listen on {host}, port {port}: {reason[:1].lower()}{reason[1:]}"
        raise UsageError(message, "--port 0 picks a free port; --host 127.0.0.1 listens on this machine") from error


def _url(server_socket: socket.socket) -> str:
    host, port = server_socket.getsockname()[:2]
    name: str = socket.gethostname() if host in ("0.0.0.0", "::") else host
    return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"

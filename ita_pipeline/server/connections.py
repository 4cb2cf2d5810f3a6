"""The server's connections, limited in number and in the time that a client may take to ask."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ita_pipeline.server.middleware import RequestFilter, ServerLimits, error_response


class LimitedConnection(H11Protocol):
    """A connection whose client has `timeout_keep_alive` seconds to send the headers of each request.

    A new connection above a limit replaces the oldest one that waits for its client, so that half-sent requests
    lock no client out, not even other programs at the same address. If the server is working for all of them, the
    new one is answered with status 503.
    """

    def __init__(self, limits: ServerLimits, **settings: Any) -> None:
        super().__init__(**settings)
        self.limits = limits
        self.opened = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time for headers, and make room."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )
        others = [one for one in self.connections if isinstance(one, LimitedConnection) and one is not self]
        neighbors = [one for one in others if one.client and self.client and one.client[0] == self.client[0]]
        if len(neighbors) >= self.limits.max_client_connections:
            self._replace_one(neighbors)
        elif len(others) >= self.limits.max_connections:
            self._replace_one(others)

    def data_received(self, data: bytes) -> None:
        """Read a part of a request; only complete headers, in `handle_events`, stop the time for them."""
        self.conn.receive_data(data)
        self.handle_events()

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection, even if its client does not read what was sent."""
        self.transport.abort()

    @property
    def waits_for_client(self) -> bool:
        """Whether the client has to send or to read before the server can go on."""
        is_incomplete = self.conn.their_state in (h11.IDLE, h11.SEND_BODY)
        return is_incomplete or self.flow.write_paused or self.transport.is_closing()

    def _replace_one(self, others: list[LimitedConnection]) -> None:
        waiting = [one for one in others if one.waits_for_client]
        if waiting:
            oldest = min(waiting, key=lambda one: one.opened)
            self.connections.discard(oldest)  # the loop reports its end only after further connections
            oldest.transport.abort()
        else:
            message = f"{len(others)} connections are already being processed; try again in a moment"
            self.app = cast(Any, error_response(503, message, Retry_After="1", Connection="close"))


def make_server(app: RequestFilter, limits: ServerLimits) -> uvicorn.Server:
    """Return a server of an application; `run` takes its sockets."""
    config = uvicorn.Config(
        app,
        http=cast(Any, partial(LimitedConnection, limits)),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        timeout_keep_alive=limits.header_seconds,
        timeout_graceful_shutdown=5,
    )
    logging.getLogger("uvicorn.error").addFilter(_is_no_cancellation)
    return uvicorn.Server(config)


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    """Whether a log record tells more than that requests were ended because the server ends."""
    if str(record.msg).startswith("Cancel %s running task"):
        return False
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))

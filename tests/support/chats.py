"""Clients of a chat server on this machine, and questions for it."""

from __future__ import annotations

from typing import Any

from stages.base import Failure, Postponed
from stages.llm.client import ChatClient
from stages.llm.endpoint import Endpoint
from stages.llm.messages import Message, Reply, Sampling
from tests.support.chat_server import Act, Behaviour, ChatServer, echo, serving


def client(server: ChatServer, **settings: Any) -> ChatClient:
    quick = {"back_off": 0.01, "read": 5.0, "total": 10.0, "tries": 3, **settings}
    return ChatClient(Endpoint(url=server.url, model="tiny", **quick), Sampling(max_tokens=20))


def question(text: str) -> list[Message]:
    return [Message("system", "Be short."), Message("user", text)]


def ask(behave: Behaviour, *texts: str, **settings: Any) -> list[Reply | Failure | Postponed]:
    with serving(behave) as server:
        return client(server, **settings).ask([question(text) for text in texts])


def first_then(act: Act, times: int = 1) -> Behaviour:
    """Misbehave so many times, then answer well."""
    return lambda asked: act if asked.number < times else echo(asked)

"""What the package logs, for tests that have no use for pytest's own capture."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class _ListHandler(logging.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__()
        self.messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def logged_messages(level: int = logging.INFO) -> Iterator[list[str]]:
    """Collect the messages of the package's loggers, from a level on."""
    logger = logging.getLogger("ita_pipeline")
    messages: list[str] = []
    handler, before = _ListHandler(messages), logger.level
    logger.setLevel(level)
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)

"""Remarks for people that are also data of a result."""

from __future__ import annotations

import logging


class Notes:
    """A list of distinct remarks, each logged when it is added for the first time."""

    def __init__(self, logger: logging.Logger) -> None:
        self.lines: list[str] = []
        self._logger = logger

    def add(self, line: str) -> None:
        """Add a remark unless it was added before."""
        if line not in self.lines:
            self.lines.append(line)
            self._logger.info(line)

"""The access log: one line of JSON a request, without contents of requests."""

from __future__ import annotations

import asyncio
from typing import Any, BinaryIO

from graders.jsontext import dumps

#: Seconds that a line waits at most.
LOG_EVERY_S = 0.1


class AccessLog:
    """The log. Lines are written in groups, since a write for each would cost more than grading.

    Used on one event loop.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lines: list[bytes] = []

    def add(self, fields: dict[str, Any]) -> None:
        if not self._lines:
            asyncio.get_running_loop().call_later(LOG_EVERY_S, self.flush)
        self._lines.append(dumps(fields))

    def flush(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            try:
                self._file.write(b"\n".join((*lines, b"")))
                self._file.flush()
            except OSError:
                # the reader of the log has gone; the server continues without it
                return

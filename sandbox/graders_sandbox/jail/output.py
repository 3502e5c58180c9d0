"""What a sample prints: sent beside its result, up to a limit, so that it is also there when the sample is ended.

It goes through the result's pipe, which nobody reads before the sample has ended: so it leaves room there for the result, and
nothing is kept where pipes are too short for both.
"""

from __future__ import annotations

import io
import os
import sys

from graders_sandbox import protocol
from graders_sandbox.linux import sys as kernel

_SENT_AT = 512  # bytes without a line's end
_CHUNK = 2048  # of one frame: a pipe takes it whole or not at all
_GET_PIPE_SIZE = 1032  # fcntl's
_ROOM = 4 * protocol.OUTPUT_MAX  # of a pipe whose pages are half used


class _Raw(io.RawIOBase):
    """Standard output and standard errors of a sample; they are dropped where no sample runs.

    Attributes:
        pending: What is not sent yet.
        left: Bytes that may still be sent; -1 before it is known whether the pipe is long enough.
    """

    def __init__(self) -> None:
        self.pending = b""
        self.left = 0
        self._pipe = 1
        self._shared = False

    def begin(self, pipe: int, *, shared: bool) -> None:
        """Keep what the next sample prints, from now on or in a fork. `shared`: whether it shares its process and so its pipe."""
        self.pending, self.left, self._pipe, self._shared = b"", -1, pipe, shared

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1

    def write(self, data: object) -> int:
        added = bytes(data)  # type: ignore[call-overload]  # whatever has a buffer
        if self.left:
            self.pending += added
            if b"\n" in added or len(self.pending) >= _SENT_AT:
                self.send()
        return len(added)

    def send(self) -> None:
        """Send what is pending, as far as there is room."""
        if self.left < 0:
            self.left = protocol.OUTPUT_MAX
            if not self._shared and kernel.call("fcntl", self._pipe, _GET_PIPE_SIZE) < _ROOM:
                self.left = 0
        while self.pending and self.left:
            chunk = self.pending[: max(1, min(_CHUNK, self.left - protocol.OUTPUT.size))]
            self.pending = self.pending[len(chunk) :]
            self.left = max(0, self.left - len(chunk) - protocol.OUTPUT.size)
            frame = protocol.OUTPUT.pack(b"O", len(chunk)) + chunk
            if self._shared:
                frame = protocol.LENGTH.pack(len(frame)) + frame
            try:
                os.write(self._pipe, frame)
            except OSError:  # the program has filled or closed the pipe
                self.left = 0
        if not self.left:
            self.pending = b""


raw = _Raw()


def install() -> None:
    """In the template: what programs print goes to `raw`."""
    sys.stdout = io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
    sys.stderr = sys.stdout

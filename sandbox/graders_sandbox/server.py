"""The fork server: jailed once, then one fork a sample. It never runs untrusted code and never reads a payload.

Started by the host as `python -s -P -B server.py FD`, with nothing of the host's in its environment. Its lifetime is the control
socket's: when the host is gone, the socket ends and so do the server and everything below it.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import signal
import socket
import sys
import time
import types
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Everything the server and its samples need is loaded now: afterwards there may be no file to load it from.
import importlib
import linecache  # noqa: F401  # traceback's, in samples
import shutil
import traceback

from graders_sandbox import protocol, sample
from graders_sandbox.linux import landlock, namespaces, seccomp
from graders_sandbox.linux import sys as kernel

sys.path.pop(0)

CODES = 64  # compiled sources kept
COMPILE_S = 20.0  # for a source of any allowed size; more is an attack on the compiler
WATCH_S = 0.05  # between looks at what samples have on disk, where no file system bounds it


@dataclass(slots=True)
class Running:
    """A child and what ends it."""

    job: int
    slot: int
    started: float
    deadline: float
    ended: int = protocol.BY_ITSELF


@dataclass(slots=True)
class Source:
    """A program: the descriptor of its text until it is compiled."""

    text: int
    code: types.CodeType | None = None
    error: str = ""
    probe: int = 0  # pid of the child that tries the compiler first
    pipe: int = -1
    deadline: float = 0.0
    waiting: list[tuple[int, float, int, int, int]] = field(default_factory=list)


class Server:
    """The loop. `settings` is the host's first message (see pool.py)."""

    def __init__(self, control: socket.socket, settings: dict[str, Any]) -> None:
        self.control = control
        self.tier: str = settings["tier"]
        self.limits: dict[str, Any] = settings["limits"]
        self.slots: list[str] = settings["slots"]
        self.shown: list[str] = settings["shown"]
        self.modules: list[str] = settings["modules"]
        self.paths: list[str] = settings["paths"]
        self.namespaced = self.tier in ("linux-full", "linux-ns")
        self.landlocked = self.tier in ("linux-full", "linux-landlock")
        self.jailed = self.tier != "unsandboxed"
        self.watched = self.tier in ("linux-landlock", "unsandboxed")
        self.free = list(range(len(self.slots))) if self.slots else list(range(settings["in_flight"]))
        self.running: dict[int, Running] = {}
        self.janitors: dict[int, int] = {}
        self.probes: dict[int, int] = {}
        self.sources: OrderedDict[int, Source] = OrderedDict()
        self.rules: list[int] = []

    # --- the jail, once ---

    def enter(self) -> None:
        """Go into the jail of this tier. What cannot be set up raises: there is no weaker way on."""
        if self.namespaced:
            namespaces.enter()
            child = os.fork()
            if child:
                self.control.close()
                _, status = os.waitpid(child, 0)
                os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")  # if memory runs out, samples go before the trainer
        # Behind the private root there is no /proc: what is read later is opened now.
        statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        tasks = os.open("/proc/self/task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if self.namespaced:
            namespaces.private_root(
                [*self.shown, *filter(os.path.exists, namespaces.DEVICES)], self.slots,
                self.limits["disk_bytes"], self.limits["inodes"],
            )  # fmt: skip
        sys.path[:] = self.paths
        self.preload()
        gc.collect()
        gc.freeze()
        if len(os.listdir(tasks)) > 1:
            raise RuntimeError(
                f"one of {', '.join(self.modules)} started a thread; a server with threads must not fork"
            )
        size = int(os.read(statm, 200).split()[0]) * resource.getpagesize()
        os.close(statm)
        os.close(tasks)
        if self.jailed:
            kernel.drop_capabilities()
            kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
            kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        if self.landlocked:
            self.lock()
        if self.jailed:
            seccomp.load(seccomp.server_filter())
            self.witness()
        self.jail = sample.Jail(
            landlocked=self.landlocked,
            filtered=self.jailed,
            paths=self.tier != "linux-strict",
            limits=self.child_limits(size),
            death_signal=not self.namespaced,
        )

    def preload(self) -> None:
        """Import what programs name; what fails here fails in them, with their own traceback."""
        for name in self.modules:
            with suppress(Exception):
                importlib.import_module(name)
        if "numpy" in sys.modules:  # loaded late by itself, and then not seeded
            importlib.import_module("numpy.random")

    def lock(self) -> None:
        version = landlock.abi()
        if not version:
            raise RuntimeError("the kernel has no Landlock")
        devices = [(path, landlock.READ_FILE | landlock.WRITE_FILE) for path in namespaces.DEVICES]
        readable = [(path, landlock.READ) for path in self.shown]
        writable = [(slot, landlock.WRITE) for slot in self.slots]
        # A sample's own domain: everything the server's still grants may be read, one folder may be written.
        self.rules = [
            landlock.ruleset([("/", landlock.READ), *devices, (slot, landlock.WRITE)], version)
            for slot in self.slots
        ]
        if not self.namespaced:  # behind a private root there is nothing else to read
            landlock.restrict(landlock.ruleset([*readable, *devices, *writable], version))

    def witness(self) -> None:
        """What must not be possible is tried once: a layer that was set up and does not hold counts as absent."""
        for act, name in (
            (_open_host_file, "opening a file of the host"),
            (_open_socket, "opening a socket"),
            (_execute, "executing a program"),
        ):
            if act is _open_host_file and self.tier == "linux-strict":
                continue  # held by the sample's own filter there
            try:
                act()
            except OSError:
                continue
            raise RuntimeError(f"{name} was possible inside the jail")

    def child_limits(self, template_bytes: int) -> list[tuple[int, int]]:
        limits = self.limits
        pairs = [
            (resource.RLIMIT_AS, template_bytes + limits["memory_bytes"]),
            (resource.RLIMIT_CPU, max(1, round(limits["cpu_s"]))),
            (resource.RLIMIT_FSIZE, limits["disk_bytes"]),
            (resource.RLIMIT_NOFILE, limits["descriptors"]),
            (resource.RLIMIT_CORE, 0),
        ]
        if self.namespaced:  # elsewhere it would count everything else that this user runs
            pairs.append(
                (resource.RLIMIT_NPROC, limits["threads"] + len(self.free) * (limits["threads"] + 1))
            )
        return pairs

    # --- the loop ---

    def serve(self) -> None:
        wake, wakened = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wakened, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(wake, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll(self.timeout_ms()):
                if descriptor == wake:
                    with suppress(BlockingIOError):
                        os.read(wake, 4096)
                elif not self.message():
                    return
            self.reap()
            self.enforce()

    def timeout_ms(self) -> float | None:
        ends = [running.deadline for running in self.running.values() if not running.ended]
        ends += [self.sources[number].deadline for number in self.probes.values()]
        if not ends:
            return None
        wait = max(0.0, min(ends) - time.monotonic()) * 1000 + 1
        return min(wait, WATCH_S * 1000) if self.watched and self.running else wait

    def message(self) -> bool:
        """Act on one message; False when the host is gone."""
        data, descriptors = protocol.receive(self.control)
        if not data:
            return False
        kind = data[:1]
        if kind == b"S":
            number = protocol.START.unpack(data)[1]
            self.sources[number] = Source(descriptors[0])
            self.probe(number)
            while len(self.sources) > CODES and next(iter(self.sources)) != number:
                self.sources.popitem(last=False)
        elif kind == b"J":
            _, job, number, wall_s, seed = protocol.JOB.unpack(data)
            source = self.sources[number]
            self.sources.move_to_end(number)
            if source.probe:
                source.waiting.append((job, wall_s, seed, *descriptors))
            else:
                self.start(source, job, wall_s, seed, *descriptors)
        elif kind == b"K":
            job = protocol.START.unpack(data)[1]
            for pid, running in self.running.items():
                if running.job == job:
                    self.kill(pid, running, protocol.BY_HOST)
        return True

    def probe(self, number: int) -> None:
        """Try the compiler in a child first: hostile text may crash it or keep it busy."""
        source = self.sources[number]
        read, write = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if not pid:
            try:
                resource.setrlimit(resource.RLIMIT_CPU, (int(COMPILE_S), int(COMPILE_S)))
                resource.setrlimit(resource.RLIMIT_AS, (self.jail.memory_bytes, self.jail.memory_bytes))
                _compile(source.text)
                os.write(write, b"ok")
            except BaseException as error:
                text = "".join(traceback.format_exception_only(type(error), error))
                os.write(write, b"!" + text.encode("utf-8", "backslashreplace")[:8000])
            finally:
                os._exit(0)
        os.close(write)
        source.probe, source.pipe, source.deadline = pid, read, time.monotonic() + COMPILE_S
        self.probes[pid] = number

    def probed(self, number: int) -> None:
        """The probe has ended: compile for good, or remember why not."""
        source = self.sources[number]
        said = os.read(source.pipe, 8192)
        os.close(source.pipe)
        source.probe = 0
        if said == b"ok":
            source.code = _compile(source.text)
        else:
            source.error = said[1:].decode() or "the compiler crashed or took too long on this source"
        os.close(source.text)
        waiting, source.waiting = source.waiting, []
        for job, wall_s, seed, payload, result in waiting:
            self.start(source, job, wall_s, seed, payload, result)

    def start(self, source: Source, job: int, wall_s: float, seed: int, payload: int, result: int) -> None:
        if source.code is None:
            os.close(payload)
            os.close(result)
            text = source.error.encode("utf-8", "backslashreplace")[:8000]
            self.control.send(protocol.START.pack(b"C", job) + text)
            return
        slot = self.free.pop()
        started = time.monotonic()
        pid = os.fork()
        if not pid:
            try:
                rules = self.rules[slot] if self.rules else -1
                folder = self.slots[slot] if self.slots else ""
                sample.run(self.jail, rules, folder, payload, result, source.code, seed)
            finally:
                os._exit(70)  # the jail could not be entered: nothing has run
        os.close(payload)
        os.close(result)
        self.running[pid] = Running(job, slot, started, started + wall_s)

    def reap(self) -> None:
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid in self.running:
                running = self.running.pop(pid)
                wall_s = time.monotonic() - running.started
                self.clear(running.slot)
                cpu_s = used.ru_utime + used.ru_stime
                self.control.send(protocol.EXIT.pack(b"X", running.job, status, running.ended, wall_s, cpu_s))
            elif pid in self.probes:
                number = self.probes.pop(pid)
                if number in self.sources:
                    self.probed(number)
            elif pid in self.janitors:
                self.free.append(self.janitors.pop(pid))

    def clear(self, slot: int) -> None:
        """Give a slot back, empty. Deleting many files takes long, so a child does it."""
        if not self.slots:
            self.free.append(slot)
            return
        folder = self.slots[slot]
        try:
            with os.scandir(folder) as found:
                empty = next(found, None) is None
        except OSError:
            empty = False
        if empty:
            self.free.append(slot)
            return
        pid = os.fork()
        if not pid:
            try:
                with os.scandir(folder) as found:
                    for entry in list(found):
                        _delete(entry)
            finally:
                os._exit(0)
        self.janitors[pid] = slot

    def enforce(self) -> None:
        now = time.monotonic()
        for pid, running in self.running.items():
            if running.ended:
                continue
            if now >= running.deadline:
                self.kill(pid, running, protocol.BY_DEADLINE)
            elif self.watched and self.slots and self.too_much(self.slots[running.slot]):
                self.kill(pid, running, protocol.BY_DISK)
        for pid, number in self.probes.items():
            if now >= self.sources[number].deadline:
                os.kill(pid, signal.SIGKILL)

    def kill(self, pid: int, running: Running, why: int) -> None:
        if not running.ended:
            running.ended = why
            os.kill(pid, signal.SIGKILL)

    def too_much(self, folder: str) -> bool:
        size = 0
        for count, length in enumerate(_sizes(folder), 1):
            size += length
            if size > self.limits["disk_bytes"] or count > self.limits["inodes"]:
                return True
        return False


def _sizes(folder: str) -> Iterator[int]:
    """The bytes on disk of everything below, links not followed. Things may vanish meanwhile."""
    try:
        with os.scandir(folder) as found:
            for entry in found:
                with suppress(OSError):
                    yield entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        yield from _sizes(entry.path)
    except OSError:
        return


def _delete(entry: os.DirEntry[str]) -> None:
    with suppress(OSError):
        if entry.is_dir(follow_symlinks=False):
            for root, folders, _ in os.walk(entry.path):
                for name in [".", *folders]:
                    with suppress(OSError):
                        os.chmod(os.path.join(root, name), 0o700)
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            os.unlink(entry.path)


def _compile(text: int) -> types.CodeType:
    size = os.fstat(text).st_size
    return compile(os.pread(text, size, 0), "<grader>", "exec", dont_inherit=True)


def _open_host_file() -> None:
    os.close(os.open("/etc/passwd", os.O_RDONLY))


def _open_socket() -> None:
    socket.socket().close()


def _execute() -> None:
    kernel.call("execve", b"/bin/true", None, None)


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    settings = json.loads(control.recv(1 << 20))
    server = Server(control, settings)
    try:
        server.enter()
    except BaseException as error:
        reason = str(error) or type(error).__name__
        control.send(b"F" + reason.encode("utf-8", "backslashreplace")[:4000])
        os._exit(3)
    control.send(b"R" + server.tier.encode())
    try:
        server.serve()
    finally:
        for pid in (*server.running, *server.probes, *server.janitors):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        os._exit(0)


if __name__ == "__main__":
    main()

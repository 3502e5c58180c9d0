"""The targets of attacks on the host, and checks that they are untouched."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing, suppress
from typing import Any

SECRET_VARIABLE = "GRADERS_ATTACK_SECRET"


class AttackTargets:
    """Targets within reach of this user: listeners, a file and a variable with a secret, leaked descriptors, a process.

    A context manager; enter it before the sandbox's first server starts, so that a leak would reach that server.

    Attributes:
        secret: The text in the variable and the file, which no attack may find.
    """

    def __init__(self) -> None:
        self.secret = "SECRET-" + secrets.token_hex(16)

    def __enter__(self) -> AttackTargets:
        self._stack = ExitStack()
        enter = self._stack.enter_context
        self.folder = os.path.realpath(enter(tempfile.TemporaryDirectory(prefix="graders-attack-")))
        self.file = os.path.join(self.folder, "secret")
        with open(self.file, "w") as file:
            file.write(self.secret)
        os.environ[SECRET_VARIABLE] = self.secret
        self._stack.callback(os.environ.pop, SECRET_VARIABLE, None)
        self._listeners: dict[str, socket.socket] = {}
        self._listen("tcp", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
        self._listen("udp", socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
        # not on a machine without IPv6
        with suppress(OSError):
            self._listen("tcp6", socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0))
        self._listen("path", socket.AF_UNIX, socket.SOCK_STREAM, os.path.join(self.folder, "socket"))
        abstract = "\0graders-attack-" + secrets.token_hex(8)
        self._listen("abstract", socket.AF_UNIX, socket.SOCK_STREAM, abstract)
        self._listen("abstract_datagram", socket.AF_UNIX, socket.SOCK_DGRAM, abstract + "-datagram")
        # an open file and an open folder that a careless caller leaks to its children
        for path in (self.file, self.folder):
            descriptor = os.open(path, os.O_RDONLY)
            os.set_inheritable(descriptor, True)
            self._stack.callback(os.close, descriptor)
        self.victim = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"],
            # it ends at the end of its input, with this process
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._stack.enter_context(self.victim)
        self._stack.callback(self.victim.kill)
        self._before = self._state()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _listen(self, name: str, family: int, kind: int, address: Any) -> None:
        listener = self._stack.enter_context(closing(socket.socket(family, kind)))
        listener.bind(address)
        if kind == socket.SOCK_STREAM:
            listener.listen()
        listener.setblocking(False)
        self._listeners[name] = listener

    def item(self) -> dict[str, Any]:
        """The item of an attack: the addresses of the targets, without the secret."""

        def port(name: str) -> int:
            return int(self._listeners[name].getsockname()[1]) if name in self._listeners else 9

        return {
            "file": self.file,
            "folder": self.folder,
            "home": os.path.expanduser("~"),
            "tcp": port("tcp"),
            "udp": port("udp"),
            "tcp6": port("tcp6"),
            "socket": os.path.join(self.folder, "socket"),
            "abstract": self._listeners["abstract"].getsockname()[1:].decode(),
            "variable": SECRET_VARIABLE,
            "victim": self.victim.pid,
            "host": os.getpid(),
        }

    def touched(self) -> list[str]:
        """The targets that were changed or reached, by name."""
        found = [name for name, value in self._state().items() if value != self._before[name]]
        for name, listener in self._listeners.items():
            try:
                if listener.type == socket.SOCK_STREAM:
                    listener.accept()[0].close()
                else:
                    listener.recv(1)
            except BlockingIOError:
                continue
            found.append(f"the {name} listener was reached")
        return found

    def _state(self) -> dict[str, Any]:
        # not on every system that may import this module
        import resource

        limits = (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE)
        victim = self.victim.pid
        alive = self.victim.poll() is None
        with open(self.file) as file:
            text = file.read()
        return {
            "the file's text": text,
            "the file": _facts(self.file),
            "the folder": _facts(self.folder),
            "the folder's content": sorted(os.listdir(self.folder)),
            "Python's library": _facts(json.__file__),
            "the library's folder": _facts(os.path.dirname(json.__file__)),
            "/dev/null": (os.stat("/dev/null").st_mode, os.stat("/dev/null").st_rdev),
            "the process": alive,
            "the process's limits": alive and resource.prlimit(victim, resource.RLIMIT_NOFILE),
            "the process's priority": alive and os.getpriority(os.PRIO_PROCESS, victim),
            "the process's processors": alive and os.sched_getaffinity(victim),
            "the host's limits": [resource.getrlimit(which) for which in limits],
            "the host's priority": os.getpriority(os.PRIO_PROCESS, 0),
            "the host's processors": os.sched_getaffinity(0),
            "the host's signals": signal.sigpending(),
            "shared memory": sorted(name for name in _listed("/dev/shm") if "graders-attack" in name),
        }


def _facts(path: str) -> tuple[int, ...]:
    facts = os.stat(path)
    return (
        stat.S_IMODE(facts.st_mode),
        facts.st_uid,
        facts.st_gid,
        facts.st_size,
        facts.st_nlink,
        facts.st_mtime_ns,
    )


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []

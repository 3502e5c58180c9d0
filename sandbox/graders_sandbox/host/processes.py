"""Starting servers: what they are told, what their samples may read, and which tier they try."""

from __future__ import annotations

import json
import logging
import os
import signal
import site
import socket
import stat
import subprocess
import sys
import sysconfig
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from graders_sandbox.jail import folders
from graders_sandbox.limits import TIERS, Limits, Outcome, SandboxUnavailable
from graders_sandbox.linux import sys as kernel

from . import imports

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Samples at once in one server; more of them are spread over several servers of the same packages. A server forks one at
#: a time, and a page that two running children share has to be copied where one that has ended has given it back.
PER_SERVER = 2
SPARE_SLOTS = 2  # beyond what may run at once: for idle children and for folders that are being emptied
IDLE = 2  # children of a server that wait for a sample, jailed already
SOURCES = 64  # compiled in one server at once
#: What a server's Python is told. As a module it comes compiled; a script would be compiled at each start, and leave more
#: than a megabyte behind in what every sample is a fork of.
_SERVER = (
    f"import sys; sys.path.insert(0, {os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))!r}); "
    "from graders_sandbox.jail.server import main; sys.path.pop(0); main()"
)
#: All that a server has in its environment: nothing of the caller's. Numerical libraries get one thread each, since a
#: server with threads must not fork. The hash seed is added: all samples of a server share it anyway.
_ENVIRONMENT = {
    "HOME": "/nonexistent",  # nltk does not load without one
    "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
    "LD_BIND_NOW": "1",  # functions of libraries are looked up once and not in each sample; server.main takes it out
    "NUMEXPR_NUM_THREADS": "1", "JOBLIB_MULTIPROCESSING": "0", "PYTHONDONTWRITEBYTECODE": "1",
}  # fmt: skip
#: Settings of numerical libraries that describe the processor: without them some crash on some machines. And where
#: nltk's corpora are.
_KEPT_ENVIRONMENT = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "NVPL_BLAS_DEBUG_CPU_TYPE", "NLTK_DATA")
#: What helps where a tier does not work, by the layer that its server named.
_FIXES = {
    "namespaces": "let ordinary users make user namespaces (user.max_user_namespaces above 0; on Ubuntu 24.04 "
    "kernel.apparmor_restrict_unprivileged_userns=0; in Docker a seccomp profile that allows unshare)",
    "private root": "let user namespaces mount (in Docker: a seccomp and AppArmor profile that allow mount)",
    "Landlock": "a kernel from 5.13 on (6.12 for all of it) with landlock in its `lsm=` list",
    "seccomp": "a kernel with CONFIG_SECCOMP_FILTER",
}
log = logging.getLogger("graders_sandbox")


@dataclass(eq=False, slots=True)
class Task:
    """One sample on its way."""

    source: str
    payload: bytes
    seed: int
    wall_s: float
    named: imports.Named
    future: Future[Outcome]
    attempts: int = 0
    alone: bool = False  # it shared a process that did not end well


@dataclass(eq=False, slots=True)
class Run:
    """One process of samples: one, or several where the caller allowed it."""

    number: int
    tasks: list[Task]
    result: int = -1  # our end of the result pipe
    allowed_s: float = 0.0  # to its server, from the start on
    written: bytearray = field(default_factory=bytearray)  # by several samples, so far


@dataclass(eq=False, slots=True)
class Server:
    """A running server and what it has been told."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    tier: str
    packages: frozenset[str]
    capacity: int
    started: float
    scratch: folders.Scratch | None
    said: int  # its standard error, until it is ready
    jailed: bool = False  # its tier works; from then on what goes wrong is its packages' doing
    ready: bool = False
    watchdog: float = 0.0  # when it counts as hung, if it says nothing until then and has something to do
    ends: float = 0.0  # when it will be killed, once it has been told to end
    n_sources: int = 0
    sources: OrderedDict[str, int] = field(default_factory=OrderedDict)
    waiting: deque[Run] = field(default_factory=deque)
    running: dict[int, Run] = field(default_factory=dict)

    def heard(self) -> None:
        """It has said something, or was told something."""
        longest = max((run.allowed_s for run in self.running.values()), default=0.0)
        self.watchdog = time.monotonic() + longest

    @property
    def load(self) -> int:
        return len(self.running) + len(self.waiting)

    def last_words(self) -> str:
        """How it ended, for a server that never became ready."""
        data = os.pread(self.said, 4096, max(0, os.fstat(self.said).st_size - 4096)).decode(
            "utf-8", "replace"
        )
        code = self.process.poll()
        if code is None:
            ended = "it ended"
        elif code < 0:
            ended = f"it was ended by {signal.Signals(-code).name}"
        else:
            ended = f"it ended with exit code {code}"
        return f"{ended}: {data.strip().rpartition(chr(10))[2]}" if data.strip() else ended


class Choice:
    """Which tier holds samples here, found out by starting servers of each, strongest first.

    Attributes:
        tier: "" until one has worked.
        refusal: Why nothing will run; "" while something may.
        notes: What the tier that works would say about itself, such as a layer that is thinner here.
    """

    def __init__(self, *, require: str | None, tier: str | None, unsandboxed: bool) -> None:
        for name in (require, tier):
            if name is not None and name not in TIERS:
                raise ValueError(f"{name!r} is not a tier; the tiers are {', '.join(TIERS)}")
        self.tier = ""
        self.notes: tuple[str, ...] = ()
        self.refusal = _unsupported(unsandboxed)
        self._require = require
        self._only = tier
        self._candidates: Sequence[str] = TIERS[: TIERS.index(require) + 1] if require else TIERS
        if unsandboxed:
            self._candidates = ("unsandboxed",)
        elif tier:
            self._candidates = (tier,)
        self._reasons: list[str] = []

    @property
    def next(self) -> str:
        """The tier to start a server of."""
        return self.tier or self._candidates[0]

    def works(self, tier: str, notes: Iterable[str]) -> None:
        if self.tier:
            return
        self.tier, self.notes = tier, tuple(notes)
        if self._reasons:
            log.warning("samples are held by %s, since %s", tier, "; ".join(map(_with_fix, self._reasons)))
        elif tier == "unsandboxed":
            log.warning("samples run without a sandbox: unsandboxed was asked for")

    def failed(self, tier: str, reason: str) -> None:
        """A server says that its tier does not work here: on to the next, or refuse."""
        if self.tier or self.refusal or tier != self._candidates[0]:
            return
        self._reasons.append(f"{tier} does not work here ({reason})")
        self._candidates = self._candidates[1:]
        if not self._candidates:
            wanted = (
                f" of tier {self._only}" if self._only
                else f" as strong as {self._require}" if self._require else ""
            )  # fmt: skip
            self.refusal = (
                f"no sandbox{wanted} works here: {'; '.join(map(_with_fix, self._reasons))}. `python -m graders_sandbox "
                "doctor` names each protection. For programs that you wrote, unsandboxed=True runs them without any."
            )


def _with_fix(reason: str) -> str:
    for layer, fix in _FIXES.items():
        if f"({layer}: " in reason:
            return f"{reason}; what helps: {fix}"
    return reason


def _unsupported(unsandboxed: bool) -> str:
    if not sys.platform.startswith("linux"):
        return (
            f"there is no jail for {sys.platform}: run this in a Linux container (Docker's and Podman's defaults will do) or, "
            "on Windows, in WSL"
        )
    if not kernel.NR and not unsandboxed:
        return f"there is no jail for the processor {kernel.MACHINE}, only for {' and '.join(kernel.TABLES)}"
    return ""


def start(
    choice: Choice, limits: Limits, packages: frozenset[str], in_flight: int, *, bare: bool, hash_seed: int
) -> Server:
    """Start a server of the tier that is next.

    Args:
        in_flight: Samples that it will be given at once; fewer where the tier holds only one.
        bare: Whether it loads nothing, since loading the packages made it unfit.
        hash_seed: Of str hashes in it.

    Raises:
        SandboxUnavailable: this Python cannot be started.
    """
    tier = choice.next
    if not choice.tier:  # once, when the first is started
        folders.sweep()
    # Without Landlock a neighbour's folder would be in reach: one sample at a time, and several servers.
    capacity = 1 if tier == "linux-ns" else min(PER_SERVER, in_flight)
    # Each sample may have a child, and a folder that its child before left and that is being emptied.
    count = 3 * capacity + SPARE_SLOTS
    scratch = None
    if tier in ("linux-full", "linux-ns"):
        slots = [f"/tmp/{number}" for number in range(count if tier == "linux-full" else 1)]
    elif tier == "linux-strict":
        slots = []
    else:
        scratch = folders.Scratch(count)
        slots = scratch.slots
    settings = {
        "tier": tier,
        "limits": asdict(limits),
        "slots": slots,
        "slots_count": len(slots) or count,
        "at_once": capacity,
        "modules": [] if bare else sorted(packages),
        "shown": shown(),
        "paths": python_paths(),
        "prefixes": [sys.prefix, sys.exec_prefix],
        "idle": 0 if tier == "linux-ns" else IDLE,
    }
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    said = os.memfd_create("graders-said", os.MFD_CLOEXEC)
    command = [
        sys.executable,
        "-s",  # and -P: as -I, which would leave PYTHONHASHSEED unread; nothing in its environment is the caller's
        "-P",
        "-S",
        "-B",
        "-X",
        "utf8",
        "-c",
        _SERVER,
        str(theirs.fileno()),
        str(os.getpid()),
    ]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, pass_fds=[theirs.fileno()],
            env={**_ENVIRONMENT, "PYTHONHASHSEED": str(hash_seed), **kept}, cwd="/",
            start_new_session=True,  # Ctrl-C is for the host: in a sample it would pass for the program's own exception
        )  # fmt: skip
    except OSError as error:
        ours.close()
        os.close(said)
        if scratch is not None:
            scratch.remove()
        raise SandboxUnavailable(
            f"{sys.executable} cannot be started: {error}{_closed_above(sys.executable)}"
        ) from None
    finally:
        theirs.close()
    with suppress(ConnectionError):  # it has ended already, which shows when it is listened to
        ours.send(json.dumps(settings).encode())
    return Server(process, ours, tier, packages, capacity, time.monotonic(), scratch, said)


def _closed_above(path: str) -> str:
    """Which folder above keeps this user out, if one does."""
    while (path := os.path.dirname(path)) != "/":
        with suppress(OSError):
            if not os.access(path, os.X_OK):
                mode = stat.S_IMODE(os.stat(path).st_mode)
                return (
                    f". The folder {path} is closed to user {os.getuid()} (mode {mode:o}): use a Python that this user may "
                    "run, or open the folder"
                )
    return ""


def python_paths() -> list[str]:
    """sys.path of the samples: the standard library and the installed packages, nothing of the caller's."""
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [path for path in sys.path if path.endswith("lib-dynload") or path.endswith(".zip")]
    with suppress(AttributeError):
        paths += site.getsitepackages()
    return [path for path in dict.fromkeys(map(os.path.realpath, paths)) if os.path.exists(path)]


def shown() -> list[str]:
    """What samples may read: Python, its packages, shared libraries, time zones, corpora."""
    libraries = [
        sysconfig.get_config_var("LIBDIR"),
        "/lib",
        "/lib64",
        "/usr/lib",
        "/usr/lib64",
        "/usr/local/lib",
    ]
    others = ["/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime", "/usr/share/nltk_data"]
    others += [os.path.join(sys.prefix, "nltk_data"), *os.environ.get("NLTK_DATA", "").split(os.pathsep)]
    paths = [path for path in [*python_paths(), *libraries, *others] if path and os.path.isabs(path)]
    real = [os.path.realpath(path) for path in paths if os.path.exists(path)]
    # A folder brings along what is below it; names that are links stay, since programs use them.
    return [
        path for path in dict.fromkeys([*real, *filter(os.path.islink, paths)])
        if os.path.islink(path) or not any(path.startswith(other + "/") for other in real)
    ]  # fmt: skip

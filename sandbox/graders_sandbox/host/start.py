"""Starting a server: what it is told, and in which environment."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from contextlib import suppress
from dataclasses import asdict

from graders_sandbox.limits import Limits, SandboxUnavailable

from . import descriptors, visible
from .choice import Choice
from .scratch import Scratch, sweep
from .servers import Server
from .spawn import spawn

#: Samples at once in one server; more of them are spread over several servers of the same packages. A server forks one at
#: a time, and a page that two running children share has to be copied where one that has ended has given it back.
PER_SERVER = 2
SPARE_SLOTS = 2  # beyond what may run at once: for idle children and for folders that are being emptied
IDLE = 2  # children of a server that wait for a sample, jailed already
_SERVER_DESCRIPTORS = 100  # open in a server and its template at once
_SERVER_BYTES = 64 << 20  # address space of a template without packages
#: All that a server has in its environment: nothing of the caller's. Numerical libraries get one thread each, since a
#: server with threads must not fork. The hash seed is added: all samples of a server share it anyway.
_ENVIRONMENT = {
    "HOME": "/nonexistent",  # nltk does not load without one
    "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # pyarrow's allocator, which pandas brings in
    "LD_BIND_NOW": "1",  # functions of libraries are looked up once and not in each sample; server.main takes it out
    "NUMEXPR_NUM_THREADS": "1", "JOBLIB_MULTIPROCESSING": "0", "PYTHONDONTWRITEBYTECODE": "1",
}  # fmt: skip
#: Settings of numerical libraries that describe the processor: without them some crash on some machines. And where
#: nltk's corpora are.
_KEPT_ENVIRONMENT = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "NVPL_BLAS_DEBUG_CPU_TYPE", "NLTK_DATA")


def start(
    choice: Choice, limits: Limits, packages: frozenset[str], in_flight: int, *, bare: bool, hash_seed: int
) -> Server:
    """Start a server of the tier that is next.

    Args:
        in_flight: Samples that it will be given at once; fewer where the tier holds only one.
        bare: Whether it loads nothing, since loading the packages made it unfit.
        hash_seed: Of str hashes in it.

    Raises:
        SandboxUnavailable: this Python cannot be started, or this process's own limits are below those of a sample.
    """
    if too_low := _limits_too_low(limits):
        raise SandboxUnavailable(too_low)
    tier = choice.next
    if not choice.tier:  # once, when the first is started
        sweep()
    # Without Landlock a neighbour's folder would be in reach: one sample at a time, and several servers.
    capacity = 1 if tier == "linux-ns" else min(PER_SERVER, in_flight)
    # Each sample may have a child, and a folder that its child before left and that is being emptied.
    count = 3 * capacity + SPARE_SLOTS
    scratch = Scratch(count) if tier in ("linux-landlock", "unsandboxed") else None
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    said = descriptors.empty()
    try:
        process = spawn(
            "graders_sandbox.jail.start", theirs.fileno(), str(os.getpid()), stderr=said,
            environment=_environment(hash_seed),
        )  # fmt: skip
    except SandboxUnavailable:
        ours.close()
        os.close(said)
        if scratch is not None:
            scratch.remove()
        raise
    finally:
        theirs.close()
    settings = {
        "tier": tier,
        "limits": asdict(limits),
        "slots": scratch.slots if scratch else _inside(tier, count),
        "slots_count": 1 if tier == "linux-ns" else count,
        "at_once": capacity,
        "modules": [] if bare else sorted(packages),
        "shown": visible.shown(),
        "paths": visible.python_paths(),
        "prefixes": [sys.prefix, sys.exec_prefix],
        "idle": 0 if tier == "linux-ns" else IDLE,
    }
    with suppress(ConnectionError):  # it has ended already, which shows when it is listened to
        ours.send(json.dumps(settings).encode())
    return Server(process, ours, tier, packages, capacity, time.monotonic(), scratch, said)


def _inside(tier: str, count: int) -> list[str]:
    """Folders of samples in a server's own file tree, if it has one."""
    return [f"/tmp/{number}" for number in range({"linux-full": count, "linux-ns": 1}.get(tier, 0))]


def _environment(hash_seed: int) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    return {**_ENVIRONMENT, "PYTHONHASHSEED": str(hash_seed), **kept}


def _limits_too_low(limits: Limits) -> str:
    """Which limit of this process keeps a sample from its own, and what helps; "" when none does."""
    try:
        import resource
    except ImportError:  # not on every system
        return ""
    for which, flag, needed, field in (
        (resource.RLIMIT_NOFILE, "-n", max(limits.descriptors, _SERVER_DESCRIPTORS), "descriptors"),
        (resource.RLIMIT_AS, "-v", limits.memory_bytes + _SERVER_BYTES, "memory_bytes"),
        (resource.RLIMIT_FSIZE, "-f", limits.disk_bytes, "disk_bytes"),
        (resource.RLIMIT_CPU, "-t", int(limits.cpu_s) + 1, "cpu_s"),
    ):
        hard = resource.getrlimit(which)[1]
        if hard != resource.RLIM_INFINITY and hard < needed:
            return (
                f"this process's own limit (`ulimit -H{flag[1:]}`) is {hard}, and a sandbox needs {needed}: raise it, or "
                f"lower the sandbox's limit {field}"
            )
    return ""

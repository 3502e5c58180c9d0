"""Starts servers: their settings and their environment."""

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
from .choice import TierChoice
from .scratch import Scratch, sweep
from .servers import Server
from .spawn import spawn

#: Concurrent samples per server. Above this, copy-on-write faults dominate (see benchmarks/README.md), so that further
#: samples go to other servers with the same packages.
PER_SERVER = 2
#: Further slots, for idle children and for folders that are being emptied.
SPARE_SLOTS = 2
IDLE = 2
#: Descriptors that a server and its template have open.
_SERVER_DESCRIPTORS = 100
#: Address space of a template without packages.
_SERVER_BYTES = 64 << 20
#: The whole environment of a server, without anything of the caller's. Numerical libraries get one thread each, since a
#: server with threads must not fork. The hash seed is added.
_ENVIRONMENT = {
    # nltk does not load without HOME
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
    # pyarrow's allocator, which pandas brings in
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    # symbols of libraries are resolved once and not in each sample; server.main removes it
    "LD_BIND_NOW": "1",
    "NUMEXPR_NUM_THREADS": "1", "JOBLIB_MULTIPROCESSING": "0", "PYTHONDONTWRITEBYTECODE": "1",
}  # fmt: skip
#: Variables that are kept: settings of numerical libraries for the processor, without which some crash on some
#: machines, and the folders of nltk's corpora.
_KEPT_ENVIRONMENT = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "NVPL_BLAS_DEBUG_CPU_TYPE", "NLTK_DATA")


def start(
    choice: TierChoice,
    limits: Limits,
    packages: frozenset[str],
    in_flight: int,
    *,
    bare: bool,
    hash_seed: int,
) -> Server:
    """Start a server of the next tier.

    Args:
        in_flight: Concurrent samples of the server; fewer where the tier allows only one.
        bare: Whether it preloads nothing, since the packages do not allow forking.
        hash_seed: Seed of its str hashes.

    Raises:
        SandboxUnavailable: this Python cannot be started, or this process's own limits are below those of a sample.
    """
    if too_low := _limits_too_low(limits):
        raise SandboxUnavailable(too_low)
    tier = choice.next
    if not choice.tier:
        sweep()
    # without Landlock a sample could reach a neighbour's folder: one sample at a time, and several servers
    capacity = 1 if tier == "linux-ns" else min(PER_SERVER, in_flight)
    # each sample may have a child, and an earlier child's folder that is being emptied
    count = 3 * capacity + SPARE_SLOTS
    scratch = Scratch(count) if tier in ("linux-landlock", "unsandboxed") else None
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stderr = descriptors.empty()
    try:
        process = spawn(
            "graders_sandbox.jail.start",
            theirs.fileno(),
            str(os.getpid()),
            stderr=stderr,
            environment=_environment(hash_seed),
        )
    except SandboxUnavailable:
        ours.close()
        os.close(stderr)
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
    # it has ended already, which the pool notices when it reads
    with suppress(ConnectionError):
        ours.send(json.dumps(settings).encode())
    return Server(process, ours, tier, packages, capacity, time.monotonic(), scratch, stderr)


def _inside(tier: str, count: int) -> list[str]:
    """Samples' folders in a server's own file tree; [] without one."""
    return [f"/tmp/{number}" for number in range({"linux-full": count, "linux-ns": 1}.get(tier, 0))]


def _environment(hash_seed: int) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    return {**_ENVIRONMENT, "PYTHONHASHSEED": str(hash_seed), **kept}


def _limits_too_low(limits: Limits) -> str:
    """The limit of this process that is below a sample's, with its remedy; "" when there is none."""
    try:
        import resource
    except ImportError:
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

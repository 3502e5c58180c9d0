"""A process that trains or generates, and the pipe to it (trainer/graders_train/README.md is its contract)."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from graders.jsontext import dumps, loads

LOG_CHARS = 2000  # of its log in an error

#: Variables that the process gets. Keys of judges are not among them: rewards come over the pipe.
ENVIRONMENT = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "LD_LIBRARY_PATH",
    "PYTHONPATH", "VIRTUAL_ENV", "SSH_AUTH_SOCK",
)  # fmt: skip
PREFIXES = ("CUDA_", "NVIDIA_", "NCCL_", "HIP_", "ROCR_", "SLURM_", "LC_")


class FolderInUse(RuntimeError):
    """A trainer of an earlier server still saves into this folder."""


class Worker:
    """A process under way. `say` and `kill` may be called from any thread.

    Args:
        command: What starts it.
        environment: Names of variables that it gets beside the usual ones.
        log: The file that its libraries print to.
        lock: A file that is locked for as long as the process lives, which may be longer than this one.

    Raises:
        FolderInUse: an earlier process holds the lock.
        OSError: the command cannot be started.
    """

    def __init__(
        self, command: Sequence[str], environment: Sequence[str], log: Path, lock: Path | None = None
    ) -> None:
        self._log_path = log
        self._sending = threading.Lock()
        held = None if lock is None else _locked(lock)
        try:
            with open(log, "ab") as printed:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=printed,
                    env=_environment(environment),
                    pass_fds=() if held is None else (held,),
                    start_new_session=True,  # Ctrl-C ends the server, which then lets the process save
                )
        finally:
            if held is not None:
                os.close(held)  # the process's own copy holds the lock until it has left

    def say(self, kind: str, **fields: Any) -> None:
        """Send a message; nothing happens when the process has left."""
        assert self._process.stdin is not None
        with self._sending, suppress(OSError, ValueError):
            self._process.stdin.write(dumps({"type": kind, **fields}) + b"\n")
            self._process.stdin.flush()

    def messages(self) -> Iterator[Mapping[str, Any]]:
        """What the process says, until it leaves. What a launcher prints in between goes to the log."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                message = loads(line)
                message["type"]
            except (ValueError, TypeError, KeyError):
                with open(self._log_path, "ab") as log:
                    log.write(line)
                continue
            yield message

    def hang_up(self) -> None:
        """Close its input, upon which it leaves."""
        assert self._process.stdin is not None
        with self._sending, suppress(OSError):
            self._process.stdin.close()

    def leave(self) -> None:
        """Hang up and wait for the process. Its messages have to be read to their end before."""
        assert self._process.stdout is not None
        self.hang_up()
        self._process.wait()
        self._process.stdout.close()

    def kill(self) -> None:
        self._process.kill()

    def log_end(self) -> str:
        """The last of what its libraries printed."""
        with open(self._log_path, "rb") as log:
            log.seek(max(0, self._log_path.stat().st_size - LOG_CHARS))
            return log.read().decode(errors="replace")


def _environment(more: Sequence[str]) -> dict[str, str]:
    names = {*ENVIRONMENT, *more}
    return {name: value for name, value in os.environ.items() if name in names or name.startswith(PREFIXES)}


def _locked(path: Path) -> int | None:
    """A descriptor that holds a lock, which its heirs share; None where the platform has no such locks."""
    try:
        import fcntl
    except ImportError:
        return None
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise FolderInUse(f"another trainer is at work in {str(path.parent)!r}") from None
    return descriptor

"""A worker, the process that trains or generates, with its pipe (trainer/graders_train/README.md is its contract)."""

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

#: Environment variables of the process. Keys of judges are not among them, since rewards come over the pipe.
ENVIRONMENT = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "LD_LIBRARY_PATH",
    "PYTHONPATH", "VIRTUAL_ENV", "SSH_AUTH_SOCK",
)  # fmt: skip
PREFIXES = ("CUDA_", "NVIDIA_", "NCCL_", "HIP_", "ROCR_", "SLURM_", "LC_")


class FolderInUse(RuntimeError):
    """Raised when a trainer of an earlier server still writes to this folder."""


class Worker:
    """A running process. `send` and `kill` are thread-safe.

    Args:
        command: Its command line.
        environment: Names of further environment variables that it gets.
        log: The file for its libraries' output.
        lock: A file that is locked while the process lives, which may be longer than this process.

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

    def send(self, kind: str, **fields: Any) -> None:
        """Send a message; has no effect after the process has ended."""
        assert self._process.stdin is not None
        with self._sending, suppress(OSError, ValueError):
            self._process.stdin.write(dumps({"type": kind, **fields}) + b"\n")
            self._process.stdin.flush()

    def messages(self) -> Iterator[Mapping[str, Any]]:
        """The process's messages until it ends. Other output, such as a launcher's, goes to the log."""
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

    def close_input(self) -> None:
        """Close its input, which makes it exit."""
        assert self._process.stdin is not None
        with self._sending, suppress(OSError):
            self._process.stdin.close()

    def close(self) -> None:
        """Close its input and wait for the process. Its messages must have been read to their end."""
        assert self._process.stdout is not None
        self.close_input()
        self._process.wait()
        self._process.stdout.close()

    def kill(self) -> None:
        self._process.kill()

    def log_end(self) -> str:
        """The end of its log."""
        with open(self._log_path, "rb") as log:
            log.seek(max(0, self._log_path.stat().st_size - LOG_CHARS))
            return log.read().decode(errors="replace")


def _environment(more: Sequence[str]) -> dict[str, str]:
    names = {*ENVIRONMENT, *more}
    return {name: value for name, value in os.environ.items() if name in names or name.startswith(PREFIXES)}


def _locked(path: Path) -> int | None:
    """A descriptor with a lock that child processes inherit; None where the platform has no such locks."""
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

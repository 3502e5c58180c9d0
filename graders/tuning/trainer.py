"""The process that trains one job, and the pipe to it (trainer/graders_train/README.md is its contract)."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from graders.jsontext import dumps, loads
from graders.tuning.config import TuningConfig

LOG_CHARS = 2000  # of the trainer's log in a job's error

#: Variables that the trainer gets. Keys of judges are not among them: rewards come over the pipe.
ENVIRONMENT = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "LD_LIBRARY_PATH",
    "PYTHONPATH", "VIRTUAL_ENV", "SSH_AUTH_SOCK",
)  # fmt: skip
PREFIXES = ("CUDA_", "NVIDIA_", "NCCL_", "HIP_", "ROCR_", "SLURM_", "LC_")


class FolderInUse(RuntimeError):
    """A trainer of an earlier server still saves into this folder."""


class Trainer:
    """A trainer under way. `say` and `kill` may be called from any thread.

    Args:
        folder: The job's.

    Raises:
        FolderInUse: an earlier trainer has not left yet.
        OSError: the command cannot be started.
    """

    def __init__(self, config: TuningConfig, folder: Path) -> None:
        self._log_path = folder / "log"
        self._sending = threading.Lock()
        lock = _locked(folder / "lock")
        try:
            with open(self._log_path, "ab") as trainer_log:
                self._process = subprocess.Popen(
                    config.command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=trainer_log,
                    env=_environment(config),
                    pass_fds=() if lock is None else (lock,),
                    start_new_session=True,  # Ctrl-C ends the server, which then lets the trainer save
                )
        finally:
            if lock is not None:
                os.close(lock)  # the trainer's own copy holds the lock until it has left

    def say(self, kind: str, **fields: Any) -> None:
        """Send a message; nothing happens when the trainer has left."""
        assert self._process.stdin is not None
        with self._sending, suppress(OSError, ValueError):
            self._process.stdin.write(dumps({"type": kind, **fields}) + b"\n")
            self._process.stdin.flush()

    def messages(self) -> Iterator[Mapping[str, Any]]:
        """What the trainer says, until it leaves. What a launcher prints in between goes to the log."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                message = loads(line)
                message["type"]
            except (ValueError, TypeError, KeyError):
                with open(self._log_path, "ab") as trainer_log:
                    trainer_log.write(line)
                continue
            yield message

    def leave(self) -> None:
        """Close the pipe and wait for the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._sending, suppress(OSError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def kill(self) -> None:
        self._process.kill()

    def log_end(self) -> str:
        """The last of what its libraries printed."""
        with open(self._log_path, "rb") as trainer_log:
            trainer_log.seek(max(0, self._log_path.stat().st_size - LOG_CHARS))
            return trainer_log.read().decode(errors="replace")


def _environment(config: TuningConfig) -> dict[str, str]:
    names = {*ENVIRONMENT, *config.environment}
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

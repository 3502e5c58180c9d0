"""Makes a Python on Linux look like one on macOS or Windows, as far as a program asks: modules, names, /proc, renames.

Python imports it by its name when this folder is in PYTHONPATH, in child processes too. OTHER_SYSTEM is "darwin" or
"win32". The standard library is loaded before, since it goes on using what Linux has.
"""

from __future__ import annotations

import asyncio
import multiprocessing.connection  # noqa: F401  # loaded before the other system is imitated
import os
import select
import signal
import socket
import ssl  # noqa: F401  # loaded before the other system is imitated
import subprocess
import sys
import sysconfig
import tempfile  # noqa: F401  # loaded before the other system is imitated
import time
import zoneinfo  # noqa: F401  # loaded before the other system is imitated
from collections.abc import Callable
from types import ModuleType

# these two look for Windows' own libraries where sys.platform says so
import click  # noqa: F401  # loaded before the other system is imitated
import platformdirs  # noqa: F401  # loaded before the other system is imitated

#: What Linux has and macOS has not, by module.
NOT_ON_MACOS = {
    os: (
        "memfd_create", "pipe2", "sched_getaffinity", "sched_setaffinity", "posix_fadvise", "posix_fallocate", "fdatasync",
        "eventfd", "splice", "copy_file_range", "pidfd_open", "getrandom", "unshare", "setns", "prlimit", "setresuid",
        "setresgid", "getresuid", "getresgid", "O_PATH", "O_TMPFILE", "O_DIRECT",
    ),
    select: ("epoll",),
    signal: ("sigtimedwait", "sigwaitinfo", "SIGRTMIN", "SIGRTMAX", "SIGSTKFLT", "SIGPOLL"),
    socket: ("SOCK_CLOEXEC", "SOCK_NONBLOCK", "AF_NETLINK", "AF_PACKET", "AF_ALG", "AF_VSOCK", "SO_PEERCRED"),
    time: ("CLOCK_BOOTTIME",),
}  # fmt: skip
#: What both have and Windows has not.
NOT_ON_WINDOWS = {
    os: (
        "fork", "forkpty", "register_at_fork", "getuid", "geteuid", "getgid", "getegid", "getgroups", "getpgid", "getpgrp",
        "setsid", "setpgid", "setuid", "setgid", "killpg", "nice", "getpriority", "setpriority", "sysconf", "uname",
        "getloadavg", "pread", "pwrite", "preadv", "pwritev", "readv", "writev", "sendfile", "fchown", "fchdir", "chown",
        "mkfifo", "mknod", "statvfs", "fstatvfs", "sync", "wait", "wait3", "wait4", "waitid", "posix_spawn", "ttyname",
        "openpty", "O_CLOEXEC", "O_NONBLOCK", "O_NOFOLLOW", "O_DIRECTORY", "O_SYNC", "O_NOCTTY", "WNOHANG", "lockf", "tcsetpgrp",
    ),
    select: ("poll",),
    signal: (
        "pthread_sigmask", "pthread_kill", "sigwait", "sigpending", "setitimer", "getitimer", "alarm", "pause", "siginterrupt",
        "SIGXCPU", "SIGXFSZ", "SIGKILL", "SIGHUP", "SIGCHLD", "SIGALRM", "SIGPIPE", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGSTOP",
        "SIGTSTP", "SIGWINCH",
    ),
    socket: ("AF_UNIX", "CMSG_SPACE", "CMSG_LEN", "SCM_RIGHTS", "send_fds", "recv_fds", "SO_REUSEPORT"),
    time: ("tzset", "clock_getres", "CLOCK_MONOTONIC_RAW", "CLOCK_PROCESS_CPUTIME_ID", "CLOCK_THREAD_CPUTIME_ID"),
}  # fmt: skip
UNIX_MODULES = (
    "fcntl",
    "resource",
    "termios",
    "tty",
    "pty",
    "pwd",
    "grp",
    "syslog",
    "readline",
    "crypt",
    "spwd",
    "nis",
)
LINUX_FOLDERS = ("/proc", "/sys/fs/cgroup")


def no_linux_folders(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: files of Linux are not found."""
    if event in ("open", "os.listdir", "os.scandir") and str(arguments[0]).startswith(LINUX_FOLDERS):
        raise FileNotFoundError(2, "No such file or directory", arguments[0])


def loopback_pair(*arguments: object) -> tuple[socket.socket, socket.socket]:
    """A socketpair by TCP, as the standard library makes one on Windows."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        return ours, listener.accept()[0]


def is_open(path: object) -> bool:
    """Whether this process holds the file open."""
    found = os.path.realpath(os.fsdecode(path))  # type: ignore[arg-type]  # another system's interface is imitated
    for fd in range(3, 128):
        try:
            # by number: listing /proc is what the audit hook forbids
            if os.readlink(f"/proc/self/fd/{fd}") == found:
                return True
        except OSError:
            continue
    return False


def windows_locks() -> ModuleType:
    """msvcrt, as far as it locks files."""
    import fcntl

    def locking(fd: int, how: int, n_bytes: int) -> None:
        fcntl.flock(fd, how)

    module = ModuleType("msvcrt")
    module.__dict__.update(LK_NBLCK=fcntl.LOCK_EX | fcntl.LOCK_NB, locking=locking)
    return module


def refusing_open_files(rename: Callable[..., None]) -> Callable[..., None]:
    """On Windows a file that is open can be neither renamed nor replaced, unless it was opened for that."""

    def refuse(source: str, target: str, **more: int) -> None:
        for path in (source, target):
            if is_open(path):
                raise PermissionError(13, "The process cannot access the file because it is being used", path)
        rename(source, target, **more)

    return refuse


def become(system: str) -> None:
    # read from a file that is named for the system
    sysconfig.get_config_vars()
    for module, names in NOT_ON_MACOS.items():
        for name in names:
            module.__dict__.pop(name, None)
    exists = os.path.exists
    os.path.exists = lambda path: not str(path).startswith(LINUX_FOLDERS) and exists(path)
    sys.addaudithook(no_linux_folders)
    sys.platform = system
    if system == "darwin":
        return
    for module, names in NOT_ON_WINDOWS.items():
        for name in names:
            module.__dict__.pop(name, None)
    sys.modules["msvcrt"] = windows_locks()
    for name in (*UNIX_MODULES, "uvloop"):
        sys.modules[name] = None  # type: ignore[assignment]  # its import fails
    for name in ("rename", "replace"):
        setattr(os, name, refusing_open_files(getattr(os, name)))
    signal.SIGBREAK = 21  # type: ignore[attr-defined]  # another system's interface is imitated
    socket.socketpair = loopback_pair  # type: ignore[assignment]  # another system's interface is imitated
    subprocess.Popen.kill = subprocess.Popen.terminate  # type: ignore[method-assign]  # another system's interface is imitated
    asyncio.ProactorEventLoop = asyncio.SelectorEventLoop  # type: ignore[attr-defined]  # another system's interface is imitated
    asyncio.SelectorEventLoop.add_signal_handler = asyncio.AbstractEventLoop.add_signal_handler  # type: ignore[method-assign]  # another system's interface is imitated
    # of a pipe or a file: the code page of the machine
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.reconfigure(encoding="cp1252")  # type: ignore[union-attr]  # another system's interface is imitated


# the workers of the tier wasm load a library of the real system
if os.environ.get("OTHER_SYSTEM") and "graders_sandbox.wasm.worker" not in " ".join(sys.orig_argv):
    become(os.environ["OTHER_SYSTEM"])

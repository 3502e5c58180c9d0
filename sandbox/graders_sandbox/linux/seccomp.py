"""seccomp: filters of system calls.

Two filters confine a sample. The server loads the long allow-list once and every child inherits it. A child then adds a
short filter that removes calls which only the server needs and restricts signals and limits to the child's own pid.
A refused call fails with EPERM, so that libraries degrade instead of dying; a foreign architecture is killed.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Sequence

from .sys import AUDIT_ARCH, MACHINE, NR, call, prepared

#: False, since importing typing would add pages that each fork copies.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

_LD, _JEQ, _JGE, _JSET, _AND, _RET = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000

# THREAD VM SIGHAND FILES FS, the flags of a thread. A thread with its own descriptors would hide files from the
# watcher.
CLONE_THREAD_BITS = 0x00010000 | 0x00000100 | 0x00000800 | 0x00000400 | 0x00000200
#: Every namespace.
CLONE_NEW_BITS = 0x7E020000 | 0x00000080

#: Duplicates, flags, locks; no owner, no pipe size.
_FCNTL = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    36,
    37,
    38,
    1030,
    1032,
    1034,
)
#: TCGETS TIOCGWINSZ FIONREAD FIONBIO FIONCLEX FIOCLEX.
_IOCTL = (
    0x5401,
    0x5413,
    0x541B,
    0x5421,
    0x5450,
    0x5451,
)
#: CLOEXEC; not UNSHARE, a table of descriptors that only one thread has.
_CLOSE_RANGE = (0, 4)
#: Set and get the thread's name.
_PRCTL_NAME = (15, 16)

#: Calls with checked arguments, which are therefore not in the plain list.
_CHECKED = frozenset(
    ("ioctl", "fcntl", "socketpair", "clone", "clone3", "prctl", "prlimit64", "kill", "tgkill", "close_range")
)
#: Calls that the server needs and a sample must not have; the child's own filter refuses them.
SERVER_ONLY = ("seccomp", "landlock_restrict_self", "landlock_create_ruleset", "landlock_add_rule", "kill")
#: A call that would hide a file from the watcher: a descriptor on its way through a socket is in no process's table.
_SAMPLE_NEVER = ("sendmsg",)
#: Calls that a read-only mount refuses and Landlock does not: they change mode and times of the caller's own files.
#: They do nothing and report success, since shutil.copy and tarfile use them on new files and fail otherwise.
_ATTRIBUTES = ("chmod", "fchmod", "fchmodat", "utime", "utimes", "utimensat", "futimesat")
#: Stands for the pid until it is known; no process can have it.
_NO_PID = 0x7FEDCBA9
_XATTRS = ("getxattr", "lgetxattr", "fgetxattr", "listxattr", "llistxattr", "flistxattr")
_OPEN_FLAGS = {"open": 1, "openat": 2}
_OF_DESCRIPTOR, _AT_EMPTY_PATH = {"newfstatat": 3, "statx": 2}, 0x1000
_ACCMODE, _TRUNC = 0o3, 0o1000
#: Calls that no process behind the filter may make.
_NEVER = frozenset(
    ("fork", "vfork", "tkill", "socket", "execve", "execveat", "mount", "umount2", "pivot_root", "unshare", "setns",
     "mount_setattr", "capset", "memfd_create", "pidfd_open", "pidfd_send_signal", "chroot", "io_uring_setup",
     "splice", "tee", "signalfd4")
)  # fmt: skip
#: Calls with a path: refused in the tier without another protection of files.
_PATHS = (
    "open", "openat", "creat", "stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "readlink",
    "readlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "link", "linkat", "unlink", "unlinkat",
    "symlink", "symlinkat", "chmod", "fchmodat", "chdir", "truncate", "utime", "utimes", "utimensat", "futimesat",
    "statfs", "getxattr", "lgetxattr", "listxattr", "llistxattr",
)  # fmt: skip


def _op(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("HBBI", code, yes, no, k)


def _argument(index: int) -> bytes:
    """Load the low half of an argument: pids, commands and flags have 32 bits in the kernel too."""
    return _op(_LD, 16 + 8 * index)


def _refuse(number: int = errno.EPERM) -> bytes:
    return _op(_RET, _ERRNO | number)


def _when(name: str, block: bytes) -> bytes:
    """Run the block, which always returns, for this call. A call that this machine lacks is skipped."""
    if name not in NR:
        return b""
    return _op(_JEQ, NR[name], 0, len(block) // 8) + block


def _one_of(index: int, values: Sequence[int], mask: int = 0xFFFFFFFF) -> bytes:
    """Allow when the masked argument is one of the values, else EPERM."""
    load = _argument(index) + (b"" if mask == 0xFFFFFFFF else _op(_AND, mask))
    tests = b"".join(_op(_JEQ, value, len(values) - at, 0) for at, value in enumerate(values))
    return load + tests + _refuse() + _op(_RET, _ALLOW)


_THREADS_ONLY = (
    _argument(0)
    + _op(_JSET, CLONE_NEW_BITS, 3, 0)
    + _op(_AND, CLONE_THREAD_BITS)
    + _op(_JEQ, CLONE_THREAD_BITS, 0, 1)
    + _op(_RET, _ALLOW)
    + _refuse()
)
_NO_NAMESPACES = _argument(0) + _op(_JSET, CLONE_NEW_BITS, 0, 1) + _refuse() + _op(_RET, _ALLOW)
# before ABI 3 Landlock allows truncating a readable file by opening it
_TRUNCATE_ONLY_TO_WRITE = {
    index: _argument(index)
    + _op(_JSET, _TRUNC, 0, 3)
    + _op(_AND, _ACCMODE)
    + _op(_JEQ, 0, 0, 1)
    + _refuse()
    + _op(_RET, _ALLOW)
    for index in _OPEN_FLAGS.values()
}
# a datagram pair could be connected to an abstract address; asyncio needs only streams
_STREAM_PAIRS = (
    _argument(0)
    + _op(_JEQ, 1, 0, 3)
    + _argument(1)
    + _op(_AND, 0xF)
    + _op(_JEQ, 1, 1, 0)
    + _refuse()
    + _op(_RET, _ALLOW)
)


def _head() -> bytes:
    """Kill a foreign architecture, refuse x32's numbers, then load the call's number."""
    head = _op(_LD, 4) + _op(_JEQ, AUDIT_ARCH, 1, 0) + _op(_RET, _KILL) + _op(_LD, 0)
    if MACHINE == "x86_64":
        head += _op(_JGE, 0x40000000, 0, 1) + _refuse(errno.ENOSYS)
    return head


def server_filter() -> bytes:
    """The allow-list for the server and all its children."""
    code = _head()
    # its flags lie behind a pointer; libc falls back to clone
    code += _when("clone3", _refuse(errno.ENOSYS))
    code += _when("clone", _NO_NAMESPACES)
    code += _when("socketpair", _STREAM_PAIRS)
    code += _when("ioctl", _one_of(1, _IOCTL))
    code += _when("fcntl", _one_of(1, _FCNTL))
    code += _when("close_range", _one_of(2, _CLOSE_RANGE))
    plain = [name for name in NR if name not in _CHECKED and name not in _NEVER]
    for name in [*plain, "prctl", "prlimit64", "kill", "tgkill"]:
        code += _when(name, _op(_RET, _ALLOW))
    return code + _refuse()


#: Signals of exceeded limits and of kills by the kernel, which a program must not fake.
#: SIGKILL, SIGXCPU, SIGXFSZ.
_SAID_BY_KERNEL = (9, 24, 25)
#: RLIMIT_CPU: lowered by a program, it would end it as if the sample's own limit had.
_LIMIT_CPU = 0


def _own_pid_only() -> bytes:
    """Restrict signals and limits to the process itself, whose pid stands in one place; limits also by the number 0.

    It may not even send itself the signals by which the kernel reports why a process ended, nor set the limit of
    processor time.
    """
    refuse, allow = _refuse(), _op(_RET, _ALLOW)
    signals = b"".join(
        _op(_JEQ, number, len(_SAID_BY_KERNEL) - 1 - at, 0 if at < len(_SAID_BY_KERNEL) - 1 else 1)
        for at, number in enumerate(_SAID_BY_KERNEL)
    )
    signals += refuse + allow
    sets_cpu = _argument(1) + _op(_JEQ, _LIMIT_CPU, 1, 0) + allow
    # the address of the new limits, both halves: null means that they are only read
    sets_cpu += (
        _argument(2) + _op(_JEQ, 0, 0, 2) + _op(_LD, 16 + 8 * 2 + 4) + _op(_JEQ, 0, 1, 0) + refuse + allow
    )
    by_kill = _argument(1) + signals
    by_tgkill = _argument(2) + signals
    permitted = _op(_JEQ, NR["kill"], 0, len(by_kill) // 8) + by_kill
    permitted += _op(_JEQ, NR["tgkill"], 0, len(by_tgkill) // 8) + by_tgkill
    permitted += sets_cpu
    own = _argument(0) + _op(_JEQ, _NO_PID, 4, 0) + _op(_JEQ, 0, 0, 2)
    own += _op(_LD, 0) + _op(_JEQ, NR["prlimit64"], 1, 0) + refuse + _op(_LD, 0) + permitted
    past = len(own) // 8
    return (
        _op(_JEQ, NR["kill"], 2, 0)
        + _op(_JEQ, NR["tgkill"], 1, 0)
        + _op(_JEQ, NR["prlimit64"], 0, past)
        + own
    )


def _fatal_unless_fstat(flags: int) -> bytes:
    """Refuse a call that may be libc's form of fstat; `flags` is the index of the flags argument."""
    return _argument(flags) + _op(_JSET, _AT_EMPTY_PATH, 0, 1) + _refuse()


class SampleFilter:
    """The child's filter, made once. `pid` has to be set before a child loads it.

    Attributes:
        pid: The pid in the filter program. Until it is set, the filter refuses even operations on the process itself.
        load: The prepared raw call; returns -1 when the kernel refuses. Needs no_new_privs.

    Args:
        paths: Whether calls with a path are allowed; else each is refused, or ends the process (SIGSYS).
        own_root: Whether mounts protect the files; otherwise Landlock does, and calls that it does not cover are
            refused here.
        reserved_exit: The exit code of a child that is not jailed, which no process behind the filter may use.
    """

    def __init__(
        self,
        *,
        paths: Literal["allowed", "refused", "fatal"] = "allowed",
        own_root: bool = True,
        reserved_exit: int,
    ) -> None:
        code = _head()
        reserved = (
            _argument(0)
            + _op(_AND, 0xFF)
            + _op(_JEQ, reserved_exit, 0, 1)
            # where SIGSYS means that a file was requested, an exit with the reserved code is refused instead, which
            # crashes
            + (_refuse() if paths == "fatal" else _op(_RET, _KILL))
            + _op(_RET, _ALLOW)
        )
        code += _when("exit", reserved) + _when("exit_group", reserved)
        code += _when("clone", _THREADS_ONLY)
        code += _own_pid_only()
        code += _when("prctl", _one_of(0, _PRCTL_NAME))
        code += _when("setrlimit", _argument(0) + _op(_JEQ, _LIMIT_CPU, 0, 1) + _refuse() + _op(_RET, _ALLOW))
        refused = [*_SAMPLE_NEVER, *(name for name in SERVER_ONLY if name != "kill")]
        allowed = paths == "allowed"
        if paths == "fatal":
            for name in _PATHS:
                at = _OF_DESCRIPTOR.get(name)
                code += _when(name, (_fatal_unless_fstat(at) if at is not None else b"") + _op(_RET, _KILL))
        if paths == "refused":
            refused += _PATHS
        if not own_root:
            refused += [
                name for name in ("truncate", *(() if allowed else _ATTRIBUTES)) if name not in refused
            ]
            for name in _ATTRIBUTES if allowed else ():
                code += _when(name, _op(_RET, _ERRNO))
            for name in _XATTRS:
                # which shutil takes for "there are none"
                code += _when(name, _refuse(errno.ENOTSUP))
            if allowed:
                for name, index in _OPEN_FLAGS.items():
                    code += _when(name, _TRUNCATE_ONLY_TO_WRITE[index])
        for name in refused:
            code += _when(name, _refuse())
        code += _op(_RET, _ALLOW)
        self._words = (ctypes.c_uint32 * (len(code) // 4)).from_buffer_copy(code)
        at = next(at for at in range(1, len(self._words), 2) if self._words[at] == _NO_PID)
        self.pid = ctypes.c_uint32.from_buffer(self._words, 4 * at)
        self.load = prepared("seccomp", 1, 0, _program(self._words))


def _program(code: ctypes.Array[Any]) -> bytes:
    return struct.pack("HxxxxxxP", ctypes.sizeof(code) // 8, ctypes.addressof(code))


def load(code: bytes) -> None:
    """Load this filter, irrevocably. Needs no_new_privs."""
    buffer = ctypes.create_string_buffer(code, len(code))
    call("seccomp", 1, 0, _program(buffer))

"""Confinement of the server. A layer that cannot be set up raises, since there is no fallback to a weaker jail."""

from __future__ import annotations

import _socket
import json
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from graders_sandbox.linux import landlock, namespaces, seccomp
from graders_sandbox.linux import sys as kernel

from .accounts import Accounts
from .watcher import Watcher

#: False, since importing typing would add pages that each fork copies.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

#: A ninth of the weight of a program at the usual priority; nothing on an idle machine.
NICE = 10
#: User ids that systemd gives to services for a while; no user logs in with them.
SPARE_UIDS = range(61184, 65520)
#: Exit code of a server that could not start.
FAILED = 3


class Confinement:
    """The layers that confine a server and all its children.

    Args:
        tier: One of TIERS, or "unsandboxed".
        limits: Fields of `Limits`, by name.
        slots: Samples' folders; [] without folders.
        shown: Paths that samples may read.
        paths: Python's path inside the jail.

    Attributes:
        accounts: What the kernel says of the server.
        alone: Whether the server's user has no other processes.
        notes: Protections that are weaker here than the tier promises.
        rules: A descriptor of Landlock rules for each slot; [] without Landlock.
        ends: A descriptor that is readable when a child has ended.
        template_ends: Both ends of the channel between the server and its first template.
        watcher: The watcher that bounds samples' disk use, where no file system does.
    """

    def __init__(
        self, tier: str, limits: dict[str, Any], slots: list[str], shown: list[str], paths: list[str]
    ) -> None:
        self.tier = tier
        self.limits = limits
        self.slots = slots
        self.namespaced = tier in ("linux-full", "linux-ns")
        self.landlocked = tier in ("linux-full", "linux-landlock")
        self.jailed = tier != "unsandboxed"
        self.alone = self.namespaced
        self.notes: list[str] = []
        self.rules: list[int] = []
        self.watcher: Watcher | None = None
        self._shown = shown
        self._paths = paths
        self._spare_uid = SPARE_UIDS[os.getpid() % len(SPARE_UIDS)]

    def enter(self, parent: int, control: _socket.socket) -> None:
        """Enter the jail. Returns in a child process; this process waits for the child and ends with its status.

        Args:
            parent: The host's pid.
            control: The socket to the host, which the child keeps.

        Raises:
            OSError, RuntimeError: a layer could not be set up, or is not effective.
        """
        # whatever the caller's is: folders made here must be open to another user
        os.umask(0o022)
        end_with_parent(parent)
        with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            # if memory runs out, samples go before the trainer
            file.write("500")
        # where processors are busy, samples yield to processes that serve and train
        os.nice(NICE)
        if self.namespaced:
            self._enter_namespaces(parent, control)
        elif self.jailed and os.getuid() == 0 and self._change_user_to(self._spare_uid):
            end_with_parent(parent)
            self.alone = True
        watched = bool(self.slots) and not self.namespaced
        if self.jailed:
            kernel.drop_capabilities()
            kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
            # the watcher must be able to look at samples
            kernel.prctl(kernel.PR_SET_DUMPABLE, int(watched))
        if watched:
            # Server and watcher are both children of a process outside of Landlock, since the kernel's signal at a
            # parent's death does not leave a Landlock domain.
            self.watcher = Watcher(self.slots, self.limits["disk_bytes"], self.limits["inodes"])
            _continue_in_child(control)
        if not self.namespaced:
            self.accounts = Accounts()
        # Both are created before seccomp forbids it. Only the template may hold its end of the socket pair, so that
        # EOF shows its death. The signal is read from a descriptor, since a handler would run for each child.
        self.template_ends = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        self.ends = kernel.signal_descriptor(signal.SIGCHLD)

    def lock(self) -> None:
        """Set up the last layers, Landlock and seccomp, after the server's preparations.

        Raises:
            OSError, RuntimeError: a layer could not be set up, or is not effective.
        """
        if self.landlocked:
            with _layer("Landlock"):
                self._landlock()
        if self.jailed:
            with _layer("seccomp"):
                seccomp.load(seccomp.server_filter())
            self._witness()

    def _enter_namespaces(self, parent: int, control: _socket.socket) -> None:
        with _layer("namespaces"):
            has_spare = namespaces.enter(self._spare_uid)
        # new credentials have cleared it
        end_with_parent(parent)
        _continue_in_child(control)
        self.accounts = Accounts()
        with _layer("private root"):
            namespaces.private_root(
                [*self._shown, *filter(os.path.exists, namespaces.DEVICES)],
                self.slots,
                self.limits["disk_bytes"],
                self.limits["inodes"],
            )
            _reopen_null()
        if has_spare:
            self._change_user_to(namespaces.INSIDE_ID)
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)

    def _change_user_to(self, uid: int) -> bool:
        """Change from root to a user that owns nothing, if that user can read Python; else note why root stays."""
        if why := self._unreadable_as(uid):
            self.notes.append(f"samples run as root without capabilities: as another user {why}")
            return False
        for slot in self.slots:
            os.chown(slot, uid, uid)
        _change_user(uid)
        return True

    def _unreadable_as(self, uid: int) -> str:
        """The first path that samples need and this user cannot read; "" when there is none."""
        read, write = os.pipe()
        child = os.fork()
        if not child:
            try:
                _change_user(uid)
                # else there is nothing of the caller's
                if not self.namespaced:
                    for path in (
                        *self.slots[:1],
                        __file__,
                    ):  # its folder of temporary files may be closed to others
                        os.stat(path)
                for path in (*self._paths, json.__file__):
                    if os.path.isdir(path):
                        os.scandir(path).close()
                    else:
                        open(path, "rb").close()
            except OSError as error:
                os.write(write, str(error).encode()[:1000])
            os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        why = os.read(read, 1000).decode()
        os.close(read)
        return why

    def _landlock(self) -> None:
        version = landlock.abi()
        if not version:
            raise OSError("the kernel has none")
        devices = [(path, landlock.READ_FILE | landlock.WRITE_FILE) for path in namespaces.DEVICES]
        readable = [(path, landlock.READ) for path in self._shown]
        # A child's own domain, without read access to its neighbours' folders.
        self.rules = [
            landlock.ruleset([*readable, *devices, (slot, landlock.WRITE)], version) for slot in self.slots
        ]
        # behind a private root there is nothing else to read
        if not self.namespaced:
            writable = [(slot, landlock.WRITE) for slot in self.slots]
            landlock.restrict(landlock.ruleset([*readable, *devices, *writable], version))
        if version < landlock.SCOPES_ABI:
            self.notes.append(
                f"Landlock here has version {version}: signals and abstract sockets are held by seccomp alone "
                f"(version {landlock.SCOPES_ABI}, Linux 6.12, would hold them too)"
            )

    def _witness(self) -> None:
        """Try forbidden operations once: a layer that does not refuse them counts as absent."""
        for act, name in (
            (_open_host_file, "opening a file of the host"),
            (_open_socket, "opening a socket"),
            (_execute, "executing a program"),
        ):
            if act is _open_host_file and self.tier == "linux-strict":
                # held by the sample's own filter there
                continue
            try:
                act()
            except OSError:
                continue
            raise RuntimeError(f"{name} was possible inside the jail")


def end_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its parent dies."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(FAILED)


def _continue_in_child(control: _socket.socket) -> None:
    """Fork. The parent waits for the child and ends with its status; the child dies with the parent."""
    child = os.fork()
    if child:
        control.close()
        _, status = os.waitpid(child, 0)
        _end_like(status)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_like(status: int) -> NoReturn:
    """End with a child's status, by the same signal if there was one, so that the host distinguishes a kill."""
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


@contextmanager
def _layer(name: str) -> Iterator[None]:
    """Add the layer's name to an error of its set-up."""
    try:
        yield
    except (OSError, StopIteration) as error:
        raise RuntimeError(f"{name}: {getattr(error, 'strerror', None) or error}") from error


def _change_user(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _reopen_null() -> None:
    """Reopen standard streams on the read-only mount's /dev/null: an owner could change the host node's mode."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)


def _open_host_file() -> None:
    os.close(os.open("/etc/passwd", os.O_RDONLY))


def _open_socket() -> None:
    _socket.socket().close()


def _execute() -> None:
    kernel.call("execve", b"/bin/true", None, None)

"""Namespaces: a separate process tree, network and file tree, without privileges."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Sequence

from .sys import call

_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
_NEWUSER, _NEWPID, _NEWNET = 0x10000000, 0x20000000, 0x40000000
_BIND, _REC, _PRIVATE = 0x1000, 0x4000, 0x40000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT = 1, 2, 4, 8, 32
_DETACH = 2
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000

#: The ordinary user that the caller is inside.
INSIDE_ID = 1000
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
#: Folders in which a root may be assembled: any that exists and contains nothing that is bound into it.
_STAGES = ("/mnt", "/media", "/srv", "/run", "/tmp", "/var/tmp", "/dev/shm")


def enter(spare_uid: int) -> bool:
    """Leave the caller's namespaces. The next fork is process 1 of the new ones.

    Args:
        spare_uid: A user that owns nothing. If the caller is root, this user is INSIDE_ID inside, and the caller stays
            root, number 0, until it changes to that user.

    Returns:
        Whether INSIDE_ID is the spare user; otherwise it is the caller.

    Raises:
        OSError: the kernel or its configuration does not allow this user to.
    """
    uid, gid = os.getuid(), os.getgid()
    finish = _mapped_by_helper(os.getpid(), f"0 0 1\n{INSIDE_ID} {spare_uid} 1") if uid == gid == 0 else None
    call("unshare", _NEWUSER | _NEWNS | _NEWPID | _NEWNET | _NEWIPC | _NEWUTS | _NEWCGROUP)
    if finish is not None and finish():
        return True
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/gid_map", f"{INSIDE_ID} {gid} 1")
    _write("/proc/self/uid_map", f"{INSIDE_ID} {uid} 1")
    return False


def _mapped_by_helper(pid: int, users: str) -> Callable[[], bool]:
    """Start a child that stays outside, where it may map several users.

    The returned function lets it do so, and returns whether it could.
    """
    read, write = os.pipe()
    helper = os.fork()
    if not helper:
        try:
            os.close(write)
            if os.read(read, 1):
                _write(f"/proc/{pid}/gid_map", users)
                _write(f"/proc/{pid}/uid_map", users)
                os._exit(0)
        finally:
            os._exit(1)
    os.close(read)

    def finish() -> bool:
        os.write(write, b"u")
        os.close(write)
        return os.waitpid(helper, 0)[1] == 0

    return finish


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def private_root(shown: Iterable[str], slots: Sequence[str], size: int, inodes: int) -> None:
    """Replace the file tree by a tmpfs with `shown` read-only, devices, and a tmpfs for each slot.

    Args:
        shown: Absolute paths of files and folders, bound at the same paths.
        slots: Absolute paths of new folders, each a tmpfs of `size` bytes and `inodes` files.

    Raises:
        OSError: a mount failed.
    """
    shown = sorted(
        {os.path.realpath(path) for path in shown} | {path for path in shown if not os.path.islink(path)}
    )
    call("mount", b"none", b"/", None, _REC | _PRIVATE, None)
    stage = next(
        folder
        for folder in _STAGES
        if os.path.isdir(folder) and not any(f"{path}/".startswith(f"{folder}/") for path in shown)
    )
    _mount_tmpfs(stage, "mode=755,size=1m,nr_inodes=4k")
    held = ""
    for path in shown:
        if held and path.startswith(held + "/"):
            # the folder above brought it along
            continue
        held = path
        target = stage + path
        if os.path.isdir(path):
            os.makedirs(target, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.close(os.open(target, os.O_CREAT | os.O_RDONLY, 0o444))
        call("mount", path.encode(), target.encode(), None, _BIND | _REC, None)
        _read_only(target, path in DEVICES)
    for link in (
        "/lib",
        "/lib64",
        "/bin",
    ):  # merged into /usr on most systems: keep the names that programs use
        if os.path.islink(link) and not os.path.lexists(stage + link):
            os.symlink(os.readlink(link), stage + link)
    for slot in slots:
        os.makedirs(stage + slot)
        _mount_tmpfs(stage + slot, f"mode=700,size={size},nr_inodes={inodes}")
    call("mount", None, stage.encode(), None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV, None)
    os.chdir(stage)
    call("pivot_root", b".", b".")
    call("umount2", b".", _DETACH)
    os.chdir("/")


def _mount_tmpfs(target: str, options: str) -> None:
    call("mount", b"tmpfs", target.encode(), b"tmpfs", _NOSUID | _NODEV, options.encode())


def _read_only(target: str, device: bool) -> None:
    attributes = _ATTR_RDONLY | _ATTR_NOSUID | (0 if device else _ATTR_NODEV)
    try:
        call(
            "mount_setattr",
            _AT_FDCWD,
            target.encode(),
            _AT_RECURSIVE,
            struct.pack("QQQQ", attributes, 0, 0, 0),
            32,
        )
    except OSError:
        # before Linux 5.12: only the top of the mount, with the flags that may not be taken off
        kept = os.statvfs(target).f_flag & (_NOSUID | _NODEV | _NOEXEC)
        call("mount", None, target.encode(), None, _REMOUNT | _BIND | _RDONLY | kept, None)

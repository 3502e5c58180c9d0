"""Landlock: restricts a process to some files and to its own domain.

Source: the kernel's userspace-api/landlock; ABI n means that `abi()` returns n.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable

from .sys import call

READ_FILE, READ_DIR = 1 << 2, 1 << 3
WRITE_FILE, TRUNCATE = 1 << 1, 1 << 14
READ = READ_FILE | READ_DIR
#: Character device, socket, fifo, block device.
_MAKE_DEVICES = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11
_ALL_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
#: From ABI 5 on, with ioctl on devices.
_ALL = (1 << 16) - 1
_FILE_RIGHTS = 1 << 0 | WRITE_FILE | READ_FILE | TRUNCATE | 1 << 15
#: Bind and connect of TCP, from ABI 4 on.
_NET = 0b11
#: Abstract unix sockets and signals, from ABI 6 on.
_SCOPES = 0b11
SCOPES_ABI = 6


def abi() -> int:
    """The kernel's Landlock version; 0 without Landlock."""
    try:
        return call("landlock_create_ruleset", 0, 0, 1)
    except OSError:
        return 0


def ruleset(grants: Iterable[tuple[str, int]], version: int) -> int:
    """A descriptor of a ruleset that refuses everything but the grants.

    Args:
        grants: Paths with rights, such as (folder, READ); WRITE has all rights for a private folder. Rights that only
            folders have are omitted for files.
        version: The result of `abi()`.

    Raises:
        OSError: the kernel refused a rule; a path that does not exist is skipped.
    """
    handled = _ALL_BY_ABI.get(version, _ALL)
    attributes = struct.pack(
        "QQQ", handled, _NET if version >= 4 else 0, _SCOPES if version >= SCOPES_ABI else 0
    )
    size = 8 if version < 4 else 16 if version < SCOPES_ABI else 24
    rules = call("landlock_create_ruleset", attributes, size, 0)
    for path, rights in grants:
        try:
            target = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            if not os.path.isdir(path):
                rights &= _FILE_RIGHTS
            if rights & handled:
                call("landlock_add_rule", rules, 1, struct.pack("=Qi", rights & handled, target), 0)
        finally:
            os.close(target)
    return rules


#: A sample's rights in its own folder: all but devices, sockets, fifos and execution.
WRITE = _ALL & ~_MAKE_DEVICES & ~(1 << 0) & ~(1 << 15)


def restrict(rules: int) -> None:
    """Enter the domain, irrevocably. Needs no_new_privs."""
    call("landlock_restrict_self", rules, 0)

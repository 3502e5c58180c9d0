"""Finds and reads graders.toml."""

from __future__ import annotations

import hashlib
import logging
import os
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE_NAME = "graders.toml"
#: Largest graders.toml in bytes; a thousand endpoints need a tenth of it.
FILE_MAX_BYTES = 1024 * 1024
_log = logging.getLogger("graders.config")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A graders.toml with the content that was read, once.

    Attributes:
        path: The path as named or found.
        content: Its bytes; trust is given to their digest.
    """

    path: Path
    content: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class NotUsable(Exception):
    """Raised for a file that must not or cannot be read; the message says why and what to do."""


def read_file(path: Path) -> ConfigFile:
    """Read a file that the user named.

    Raises:
        NotUsable: it cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except OSError as error:
        raise NotUsable(f"{path}: cannot be read: {error}") from None


def _read(path: Path, file: Any) -> ConfigFile:
    content = file.read(FILE_MAX_BYTES + 1)
    if len(content) > FILE_MAX_BYTES:
        raise NotUsable(f"{path}: cannot be read: it has more than {FILE_MAX_BYTES} bytes")
    return ConfigFile(path, content)


def find_file(folder: Path) -> ConfigFile | None:
    """The first graders.toml from `folder` upward.

    The search ends at the root of a repository (the folder with `.git`), and at a file of another user, which is not
    read; a warning names it.

    Raises:
        NotUsable: every user may write the file, or it cannot be read.
    """
    for at in (folder, *folder.parents):
        path = at / FILE_NAME
        if path.is_file():
            return _found(path)
        if (at / ".git").exists():
            return None
    return None


def _found(path: Path) -> ConfigFile | None:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            # Windows has neither owners nor modes of this kind
            if hasattr(os, "getuid"):
                if status.st_uid != os.getuid():
                    _log.warning(
                        "%s belongs to another user (uid %d) and is not read; --config or GRADERS_CONFIG reads it",
                        path,
                        status.st_uid,
                    )
                    return None
                if status.st_mode & stat.S_IWOTH:
                    raise NotUsable(
                        f"{path}: every user of this machine may write it, so it is not read; "
                        f"`chmod o-w {shlex.quote(str(path))}` mends that"
                    )
            return _read(path, file)
    except OSError as error:
        raise NotUsable(f"{path}: cannot be read: {error}") from None

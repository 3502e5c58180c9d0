"""Emptying folders that samples wrote in: a server's in the jail, and in the host what killed ones have left."""

from __future__ import annotations

import os
from contextlib import suppress


def remove(folder: str) -> None:
    """A folder that samples wrote in, and all below it."""
    empty(folder)
    with suppress(OSError):
        os.rmdir(folder)


def empty(folder: str) -> bool:
    """Delete everything in a folder; whether it is empty then.

    Samples may nest folders deeper than a path can be long or a stack deep, and close them to everybody. So nothing is
    descended into: a folder inside a folder is moved up and its turn comes later. Links are not followed.
    """
    moved = 0
    while True:
        try:
            with os.scandir(folder) as found:
                entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
        except OSError:
            return False
        if not entries:
            return True
        progress = False
        for name, is_folder in entries:
            path = os.path.join(folder, name)
            with suppress(OSError):
                if not is_folder:
                    os.unlink(path)
                    progress = True
                    continue
                os.chmod(path, 0o700)
                with os.scandir(path) as found:
                    below = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
                for inner, inner_is_folder in below:
                    inner_path = os.path.join(path, inner)
                    if inner_is_folder:
                        os.chmod(inner_path, 0o700)
                        while os.path.lexists(target := os.path.join(folder, f"moved-{moved}")):
                            moved += 1
                        try:
                            os.rename(inner_path, target)
                        except OSError:  # Landlock's first version moves nothing between folders
                            remove(inner_path)
                    else:
                        os.unlink(inner_path)
                    progress = True
                os.rmdir(path)
                progress = True
        if not progress:
            return False

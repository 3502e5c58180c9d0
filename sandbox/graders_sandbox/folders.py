"""Empties folders that samples wrote to: in the jail a server's, in the host those left by killed servers."""

from __future__ import annotations

import os
from contextlib import suppress


def remove(folder: str) -> None:
    """Delete a folder that samples wrote to, with everything in it."""
    empty(folder)
    with suppress(OSError):
        os.rmdir(folder)


def empty(folder: str) -> bool:
    """Delete everything in a folder; returns whether it is empty then.

    Samples may nest folders deeper than paths or stacks allow, and revoke all permissions. So there is no recursion: a
    folder inside a folder is moved up and emptied later. Links are not followed.
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
                        except OSError:
                            # Landlock's first version moves nothing between folders
                            remove(inner_path)
                    else:
                        os.unlink(inner_path)
                    progress = True
                os.rmdir(path)
                progress = True
        if not progress:
            return False

"""The files of this machine that samples may read: Python, its packages, and their dependencies."""

from __future__ import annotations

import glob
import os
import site
import stat
import sys
import sysconfig
from contextlib import suppress


def python_paths() -> list[str]:
    """Samples' sys.path: the standard library and installed packages, nothing of the caller's."""
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [path for path in sys.path if path.endswith("lib-dynload") or path.endswith(".zip")]
    with suppress(AttributeError):
        paths += site.getsitepackages()
    return [path for path in dict.fromkeys(map(os.path.realpath, paths)) if os.path.exists(path)]


def nltk_folders() -> list[str]:
    """Folders of nltk's data for samples: those in NLTK_DATA, this environment's, and the system's."""
    named = [folder for folder in os.environ.get("NLTK_DATA", "").split(os.pathsep) if folder]
    return [*named, os.path.join(sys.prefix, "nltk_data"), "/usr/share/nltk_data"]


def nltk_data(name: str) -> str:
    """The path of a corpus or model of nltk, a folder or an archive; "" when samples have none."""
    for folder in nltk_folders():
        for path in glob.glob(os.path.join(glob.escape(folder), "*", f"{glob.escape(name)}*")):
            if os.path.basename(path) in (name, f"{name}.zip"):
                return path
    return ""


def shown() -> list[str]:
    """Paths that samples may read: Python, its packages, shared libraries, time zones, corpora."""
    libraries = [
        sysconfig.get_config_var("LIBDIR"),
        "/lib",
        "/lib64",
        "/usr/lib",
        "/usr/lib64",
        "/usr/local/lib",
    ]
    others = ["/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime", *nltk_folders()]
    paths = [path for path in [*python_paths(), *libraries, *others] if path and os.path.isabs(path)]
    real = [os.path.realpath(path) for path in paths if os.path.exists(path)]
    # paths below another one are omitted; links stay, since programs use their names
    return [
        path
        for path in dict.fromkeys([*real, *filter(os.path.islink, paths)])
        if os.path.islink(path) or not any(path.startswith(other + "/") for other in real)
    ]


def closed_above(path: str) -> str:
    """The parent folder that this user cannot enter; "" without one."""
    while (path := os.path.dirname(path)) != "/":
        with suppress(OSError):
            if not os.access(path, os.X_OK):
                mode = stat.S_IMODE(os.stat(path).st_mode)
                return (
                    f". The folder {path} is closed to user {os.getuid()} (mode {mode:o}): use a Python that this user may "
                    "run, or open the folder"
                )
    return ""

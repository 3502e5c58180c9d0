"""Which graders.toml is read, and what it may set before its owner has trusted it.

A file named by --config or GRADERS_CONFIG was asked for and may set everything. A file found upward from the working
directory may have come with a stranger's repository: it may set what HARMLESS lists. Everything else needs
`grader trust`, which is remembered for the file's path and the digest of its content, as direnv does.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shlex
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

FILE_NAME = "graders.toml"
FILE_MAX_BYTES = 1024 * 1024  # of a graders.toml; a thousand endpoints need a tenth of it
SHOWN_CHARS = 60  # of a setting's value in messages

_log = logging.getLogger("graders.config")

#: Whether a value may be set by a file that nobody has trusted.
Rule: TypeAlias = Callable[[Any], bool]

# An address on this machine, spelled so that no two URL parsers can disagree about its host.
_LOOPBACK_URL = re.compile(
    r"https?://(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?(?:/[\w.~{}/-]*)?", re.ASCII
)


def _any(value: Any) -> bool:
    return True


def _one_of(*values: Any) -> Rule:
    return lambda value: any(value is choice or value == choice for choice in values)


def _at_most(most: float) -> Rule:
    return lambda value: isinstance(value, (int, float)) and value <= most


def _is_loopback(value: Any) -> bool:
    return isinstance(value, str) and _LOOPBACK_URL.fullmatch(value) is not None


def _is_below(value: Any) -> bool:
    """Whether a path, or each of several, stays in the folder of the file that names it."""
    paths = [value] if isinstance(value, str) else value
    return isinstance(paths, list) and all(
        isinstance(path, str) and not os.path.isabs(path) and ".." not in re.split(r"[/\\]", path)
        for path in paths
    )


# Where a question goes and how it is asked. Not here: headers and query (they may carry credentials), azure and
# api_version (they choose a key), every address but this machine's (it would get the rows, and perhaps a key).
_ROUTE: Mapping[str, Any] = {
    "endpoint": _any,
    "base_url": _is_loopback,
    "model": _any,
    "api": _any,
    "api_key_env": _one_of(""),
    "transport": _any,
    "max_in_flight": _at_most(256),
    "requests_per_minute": _any,
    "tokens_per_minute": _any,
    "attempt_timeout_s": _any,
    "timeout_s": _any,
    # these multiply what a run costs
    "max_attempts": _at_most(10),
    "votes": _at_most(9),
    "structured": _any,
    "steps": _any,
    "out_of_range": _any,
    "expected_score": _any,
}

# Of the sandbox: what keeps it as strong as it is without a file. The numbers are its defaults.
_SANDBOX: Mapping[str, Any] = {
    "require": _any,
    "unsandboxed": _one_of(False),
    "seed": _any,
    "hash_seed": _any,
    "in_flight": _at_most(64),
    "servers": _at_most(8),
    "samples_per_process": _one_of(1),
    "limits": {
        "source_bytes": _at_most(256 * 1024),
        "wall_s": _at_most(120),
        "cpu_s": _at_most(120),
        "memory_bytes": _at_most(2 * 1024**3),
        "disk_bytes": _at_most(1024**3),
        "inodes": _at_most(10_000),
        "descriptors": _at_most(128),
        "threads": _at_most(64),
        "payload_bytes": _at_most(256 * 1024**2),
    },
}

#: All that a file may set which was found and not trusted; "*" is any name. A new key of the configuration needs trust
#: until it stands here.
HARMLESS: Mapping[str, Any] = {
    "endpoints": {"*": _ROUTE},
    "models": {"*": _ROUTE},
    "judge": {**_ROUTE, "max_cost": _any, "max_calls": _any, "harden": _any},
    "sampler": {**_ROUTE, "models": {"*": _ROUTE}},
    "prices": {"*": {"input": _any, "output": _any, "cached": _any}},
    "sandbox": _SANDBOX,
    "metrics": {"*": _any},
    # not a folder's name: its model would be parsed by native code
    "embeddings": {"model": _one_of("minilm"), "threads": _at_most(64), "cache_mb": _at_most(1024)},
    "templates": {"values": _any},
    "evals": {"nulls": _any, "in_flight": _at_most(256)},
    # not somebody's other files: judges would be sent their content
    "tests": {"*": {"*": _any, "spec": _is_below, "data": _is_below}},
}
# With an endpoint, `model` is a name on the wire.
_REMOTE_EMBEDDINGS: Mapping[str, Any] = {
    "endpoint": _any,
    "model": _any,
    "dimensions": _any,
    "batch": _at_most(2048),
    "cache_mb": _at_most(1024),
}


def settings_that_need_trust(tables: Mapping[str, Any]) -> list[str]:
    """What a configuration sets beyond HARMLESS, as `sandbox.unsandboxed = True`."""
    embeddings = tables.get("embeddings")
    if isinstance(embeddings, Mapping) and "endpoint" in embeddings:
        return list(_beyond(tables, {**HARMLESS, "embeddings": _REMOTE_EMBEDDINGS}, ""))
    return list(_beyond(tables, HARMLESS, ""))


def _beyond(table: Mapping[str, Any], allowed: Mapping[str, Any], at: str) -> Iterator[str]:
    for key, value in table.items():
        here = f"{at}.{_key(key)}" if at else _key(key)
        rule = allowed.get(key, allowed.get("*"))
        if isinstance(rule, Mapping) and isinstance(value, Mapping):
            yield from _beyond(value, rule, here)
        elif rule is _ROUTE and isinstance(value, str):
            # a model's whole value may be an endpoint's name
            continue
        elif not callable(rule) or not rule(value):
            shown = repr(value)
            yield f"{here} = {shown if len(shown) <= SHOWN_CHARS else shown[: SHOWN_CHARS - 3] + '...'}"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[\w-]{1,100}", key, re.ASCII) else repr(key[:SHOWN_CHARS])


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A graders.toml as it was read, once.

    Attributes:
        path: As it was named or found.
        content: Its bytes; what is trusted is the digest of these.
    """

    path: Path
    content: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class NotUsable(Exception):
    """A file that must not or cannot be read; the message says why and what to do."""


def read_file(path: Path) -> ConfigFile:
    """A file that was named.

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
    read and named in a warning.

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
                        path, status.st_uid,
                    )  # fmt: skip
                    return None
                if status.st_mode & stat.S_IWOTH:
                    raise NotUsable(
                        f"{path}: every user of this machine may write it, so it is not read; "
                        f"`chmod o-w {shlex.quote(str(path))}` mends that"
                    )
            return _read(path, file)
    except OSError as error:
        raise NotUsable(f"{path}: cannot be read: {error}") from None


# --- what was trusted --------------------------------------------------------------------------------------------


def _folder() -> Path:
    """Where trust is kept. Not in GRADERS_HOME, which may lie in a repository, where a stranger could have filled it."""
    import platformdirs

    return Path(platformdirs.user_data_path("graders", appauthor=False)) / "trusted"


def _record(path: Path) -> Path:
    """Where trust in a path is kept, however the path is spelled."""
    return _folder() / f"{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()}.json"


def trusted_digest(path: Path) -> str:
    """The digest of the content that was trusted at this path; "" when none was."""
    try:
        kept = json.loads(_record(path).read_bytes())
        return str(kept["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def trust(file: ConfigFile) -> None:
    """Trust this file as long as its content stays what it is."""
    folder = _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = json.dumps({"path": str(file.path.resolve()), "sha256": file.digest})
    descriptor, name = tempfile.mkstemp(dir=folder)
    try:
        with open(descriptor, "w", encoding="utf-8") as record:
            record.write(kept)
        os.replace(name, _record(file.path))
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def revoke(path: Path) -> bool:
    """Forget the trust in this path; whether there was any."""
    try:
        _record(path).unlink()
    except FileNotFoundError:
        return False
    return True


def trusted_files() -> list[tuple[Path, str]]:
    """Every trusted path, with the digest of its trusted content."""
    found = []
    for record in sorted(_folder().glob("*.json")):
        try:
            kept = json.loads(record.read_bytes())
            found.append((Path(kept["path"]), str(kept["sha256"])))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return sorted(found)


def refusal(file: ConfigFile, tables: Mapping[str, Any]) -> str:
    """Why a found file is not used; "" when it may be."""
    settings = settings_that_need_trust(tables)
    if not settings:
        return ""
    digest = trusted_digest(file.path)
    if digest == file.digest:
        return ""
    state = "has changed since you trusted it" if digest else "was found here and nobody has trusted it"
    lines = "".join(f"\n  {setting}" for setting in settings)
    named = shlex.quote(str(file.path))
    return (
        f"{file.path}: this file {state}, and it sets what a stranger's file must not:{lines}\n"
        f"Read it. Then either trust it as it is: grader trust {named}\n"
        f"or name it each time: --config {named} (or GRADERS_CONFIG)"
    )

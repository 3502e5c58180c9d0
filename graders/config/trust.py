"""Trust in configuration files, and the reason for refusing one.

A file named by --config or GRADERS_CONFIG may set everything. A file found upward from the working directory may be
part of a stranger's repository, so it may set only the keys in HARMLESS. Everything else needs `grader trust`, which
is remembered for the file's path and the digest of its content, as direnv does.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from graders.config.files import ConfigFile
from graders.config.harmless import settings_that_need_trust


def _folder() -> Path:
    """The folder of trust records. Not in GRADERS_HOME, which may lie in a repository that a stranger wrote."""
    import platformdirs

    return Path(platformdirs.user_data_path("graders", appauthor=False)) / "trusted"


def _record(path: Path) -> Path:
    """The record of trust in a path, the same for every spelling of the path."""
    return _folder() / f"{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()}.json"


def trusted_digest(path: Path) -> str:
    """The digest of the trusted content at this path; "" when it is not trusted."""
    try:
        kept = json.loads(_record(path).read_bytes())
        return str(kept["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def trust(file: ConfigFile) -> None:
    """Trust this file as long as its content does not change."""
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
    """Remove the trust in this path; returns whether there was any."""
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
    """The reason why a found file is not used; "" when it may be."""
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

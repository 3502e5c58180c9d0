"""Starts a Python process that inherits nothing from the caller but the given descriptors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from graders_sandbox.limits import SandboxUnavailable

from .visible import closed_above

_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def spawn(
    module: str, descriptor: int, *arguments: str, environment: Mapping[str, str], stderr: int
) -> subprocess.Popen[bytes]:
    """Run `main` of a module of this package, whose first argument is the descriptor.

    A module is precompiled; a script would be compiled at each start, and leave more than a megabyte in the image that
    every sample is a fork of.

    Raises:
        SandboxUnavailable: this Python cannot be started.
    """
    code = f"import sys; sys.path.insert(0, {_PACKAGE!r}); from {module} import main; sys.path.pop(0); main()"
    # -s and -P as with -I, which would ignore PYTHONHASHSEED; the environment has nothing of the caller's
    command = [sys.executable, "-s", "-P", "-S", "-B", "-X", "utf8", "-c", code, str(descriptor), *arguments]
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            pass_fds=[descriptor],
            env=environment,
            cwd="/",
            # Ctrl-C must reach the host only: in a sample it would look like the program's own exception
            start_new_session=True,
        )
    except OSError as error:
        raise SandboxUnavailable(
            f"{sys.executable} cannot be started: {error}{closed_above(sys.executable)}"
        ) from None

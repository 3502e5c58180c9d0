"""Starting a Python of ours, with nothing of the caller's but the descriptors that it is given."""

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

    As a module it comes compiled; a script would be compiled at each start, and leave more than a megabyte behind in what
    every sample is a fork of.

    Raises:
        SandboxUnavailable: this Python cannot be started.
    """
    code = f"import sys; sys.path.insert(0, {_PACKAGE!r}); from {module} import main; sys.path.pop(0); main()"
    # -s and -P: as -I, which would leave PYTHONHASHSEED unread; nothing in its environment is the caller's.
    command = [sys.executable, "-s", "-P", "-S", "-B", "-X", "utf8", "-c", code, str(descriptor), *arguments]
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, pass_fds=[descriptor],
            env=environment, cwd="/",
            start_new_session=True,  # Ctrl-C is for the host: in a sample it would pass for the program's own exception
        )  # fmt: skip
    except OSError as error:
        raise SandboxUnavailable(
            f"{sys.executable} cannot be started: {error}{closed_above(sys.executable)}"
        ) from None

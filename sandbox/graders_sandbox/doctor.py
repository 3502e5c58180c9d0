"""Each protection, witnessed: a program inside a real jail attempts the forbidden act, and must fail.

What is set up but not witnessed counts as absent.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from .limits import Outcome
from .pool import Sandbox

_WALL_S = 20.0  # for one act


@dataclass(frozen=True, slots=True)
class Protection:
    """What one act found.

    Attributes:
        name: What is protected.
        held: Whether the act failed as it must.
        text: The reason it failed with, or what it achieved.
    """

    name: str
    held: bool
    text: str


# Each source attempts the act with item's help and returns 1.0 when it succeeded; a refusal is an OSError.
_ACTS: tuple[tuple[str, str], ...] = (
    ("files of the host", "def grade(s, i):\n    open(i['file']).read()\n    return 1.0\n"),
    ("listing of /", "import os\ndef grade(s, i):\n    return 1.0 if 'proc' in os.listdir('/') else 0.0\n"),
    ("writing outside", "def grade(s, i):\n    open(i['folder'] + '/made', 'w')\n    return 1.0\n"),
    ("writing to Python", "import json\ndef grade(s, i):\n    open(json.__file__, 'a')\n    return 1.0\n"),
    ("network", "import socket\ndef grade(s, i):\n    socket.create_connection(('127.0.0.1', i['port']), 2)\n    return 1.0\n"),
    ("unix sockets", "import socket\ndef grade(s, i):\n    socket.socket(socket.AF_UNIX).connect('\\0' + i['abstract'])\n    return 1.0\n"),
    ("new processes", "import os\ndef grade(s, i):\n    if os.fork() == 0:\n        os._exit(0)\n    return 1.0\n"),
    ("other programs", "import os\ndef grade(s, i):\n    os.execv('/bin/true', ['true'])\n"),
    ("signals to the server", "import os\ndef grade(s, i):\n    os.kill(os.getppid(), 0)\n    return 1.0\n"),
    ("environment", "import os\ndef grade(s, i):\n    return float(i['secret'] in os.environ)\n"),
    ("processes of the host", "import os\ndef grade(s, i):\n    return float(os.path.exists('/proc/1/status'))\n"),
    ("memory", "def grade(s, i):\n    return float(len(bytearray(1 << 34)) > 0)\n"),
    ("one large file", "import os\ndef grade(s, i):\n    with open(os.environ.get('TMPDIR', '.') + '/f', 'wb') as f:\n        f.seek(1 << 35)\n        f.write(b'x')\n    return 1.0\n"),
    ("endless programs", "def grade(s, i):\n    while True:\n        pass\n"),
)  # fmt: skip


def witness(sandbox: Sandbox) -> Iterator[Protection]:
    """Attempt every act in this sandbox's jail."""
    secret = "GRADERS_SANDBOX_WITNESS"
    os.environ[secret] = "1"
    abstract = f"graders-witness-{os.getpid()}"
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            closing(socket.create_server(("127.0.0.1", 0))) as listener,
            closing(socket.socket(socket.AF_UNIX)) as unix,
        ):
            unix.bind("\0" + abstract)
            unix.listen()
            file = os.path.join(folder, "secret")
            with open(file, "w") as secret_file:
                secret_file.write("x")
            item = {
                "file": file,
                "folder": folder,
                "port": listener.getsockname()[1],
                "abstract": abstract,
                "secret": secret,
            }
            for name, source in _ACTS:
                timeout_s = 0.5 if name == "endless programs" else _WALL_S
                outcome = sandbox.run(source, {}, item, timeout_s=timeout_s)
                held = _held(outcome)
                yield Protection(name, held, _reason(outcome) if held else f"NOT HELD: {_reason(outcome)}")
    finally:
        del os.environ[secret]


def _held(outcome: Outcome) -> bool:
    """The act failed, and for a reason that a protection gives."""
    if outcome.ok:
        return outcome.value == 0.0
    if outcome.status == "grader_error":
        return outcome.stage == "grade" and outcome.error_type in (
            "PermissionError",
            "FileNotFoundError",
            "OSError",
            "BlockingIOError",
        )
    return outcome.status in ("timeout", "memory", "disk")


def _reason(outcome: Outcome) -> str:
    if outcome.ok:
        return "nothing there" if outcome.value == 0.0 else "the act succeeded"
    last = outcome.text.strip().rpartition("\n")[2]
    return last or outcome.status


def main() -> int:
    """Print every protection; 1 when one does not hold or there is no sandbox."""
    with Sandbox() as sandbox:
        try:
            print(f"tier {sandbox.tier}")
        except RuntimeError as error:
            print(error)
            return 1
        protections = list(witness(sandbox))
    for protection in protections:
        print(f"{'ok' if protection.held else 'NO'}  {protection.name:<24} {protection.text}")
    return 0 if all(protection.held for protection in protections) else 1

"""Attacks on the tier `wasm`, each with the exception that must stop it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WasmAttack:
    """One attack.

    Attributes:
        body: The code that runs inside.
        error: The exception that must stop it.
    """

    body: str
    error: str

    @property
    def program(self) -> str:
        """A grader that returns 1.0 when the attack is refused and 0.0 when it succeeds."""
        tried = (
            f"    try:\n        {self.body}\n    except {self.error}:\n        return 1.0\n    return 0.0\n"
        )
        return f"def grade(sample, item):\n{tried}"


#: (protection that is tested, attack)
ATTEMPTS = (
    ("files of the host", WasmAttack("open('/etc/passwd')", "OSError")),
    ("folders of the host", WasmAttack("import os; os.listdir('/')", "OSError")),
    ("folders above the library", WasmAttack("import os; os.listdir('/usr/local/lib/..')", "OSError")),
    ("writing", WasmAttack("open('x', 'w')", "OSError")),
    (
        "network",
        WasmAttack("import urllib.request; urllib.request.urlopen('http://127.0.0.1:1')", "Exception"),
    ),
    ("environment", WasmAttack("import os; os.environ['HOME'] + os.environ['PATH']", "KeyError")),
    ("signals", WasmAttack("import os; os.kill(1, 9)", "AttributeError")),
    ("the C library", WasmAttack("import ctypes; ctypes.CDLL(None).system(b'true')", "Exception")),
)

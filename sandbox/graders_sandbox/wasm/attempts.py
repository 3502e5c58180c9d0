"""Attacks on the tier `wasm`, each with the exception that must stop it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attempt:
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
    ("files of the host", Attempt("open('/etc/passwd')", "OSError")),
    ("folders of the host", Attempt("import os; os.listdir('/')", "OSError")),
    ("folders above the library", Attempt("import os; os.listdir('/usr/local/lib/..')", "OSError")),
    ("writing", Attempt("open('x', 'w')", "OSError")),
    ("network", Attempt("import urllib.request; urllib.request.urlopen('http://127.0.0.1:1')", "Exception")),
    ("environment", Attempt("import os; os.environ['HOME'] + os.environ['PATH']", "KeyError")),
    ("signals", Attempt("import os; os.kill(1, 9)", "AttributeError")),
    ("the C library", Attempt("import ctypes; ctypes.CDLL(None).system(b'true')", "Exception")),
)

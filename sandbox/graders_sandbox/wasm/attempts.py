"""What a program may try against the tier `wasm`, each with the exception that it must meet."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt.

    Attributes:
        body: What runs inside.
        error: The exception that it must meet.
    """

    body: str
    error: str

    @property
    def program(self) -> str:
        """A grader that gives 1.0 when the attempt is refused and 0.0 when it succeeds."""
        tried = (
            f"    try:\n        {self.body}\n    except {self.error}:\n        return 1.0\n    return 0.0\n"
        )
        return f"def grade(sample, item):\n{tried}"


#: The protection that each witnesses, and the attempt.
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

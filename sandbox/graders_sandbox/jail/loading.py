"""What a template loads before it forks: a program's modules, its code, and its regular expressions."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import types
from collections.abc import Iterable
from contextlib import suppress

from graders_sandbox import protocol

TYPE_CHECKING = False  # without typing, whose pages each fork would copy
if TYPE_CHECKING:
    from typing import NoReturn

#: For a program's regular expressions; with slower ones each sample compiles them for itself.
PATTERNS_S = 0.25


def load(modules: Iterable[str]) -> None:
    """Import what programs name. What fails here, or leaves, does so in them, with their own traceback."""
    for name in modules:
        if name in sys.modules:
            continue
        # Left to samples where numpy bears no fork.
        if name == "numpy.random" and "numpy" not in sys.modules:
            continue
        with suppress(BaseException):
            importlib.import_module(name)
    if "tempfile" in sys.modules:
        vars(sys.modules["tempfile"])["tempdir"] = None  # where it was now is not where samples may write


def compiled(text: int) -> types.CodeType:
    """The program in a descriptor.

    Raises:
        SyntaxError, ValueError, MemoryError, RecursionError: it does not compile.
    """
    size = os.lseek(text, 0, os.SEEK_END)
    source = protocol.source_text(os.pread(text, size, 0))
    return compile(source, "<grader>", "exec", dont_inherit=True)


def compile_patterns(patterns: Iterable[tuple[str, int]]) -> None:
    """Have regular expressions in the cache of `re`, for a limited time.

    One that does not compile fails in the program, when it gets there; one that is not reached here is compiled there.
    """
    if not patterns or "re" not in sys.modules:
        return
    import re  # it is there

    def stop(*_: object) -> NoReturn:
        raise _TimeIsUp

    signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, PATTERNS_S)
        for pattern, flags in patterns:
            with suppress(Exception):
                re.compile(pattern, flags)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except _TimeIsUp:
        pass
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


class _TimeIsUp(BaseException):
    """No library takes it for an error of its own."""

"""Loads packages in a server, and a program's modules, code and regular expressions in a template, before they fork."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import types
from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress

from graders_sandbox import folders, protocol

from . import hugepages

#: False, since importing typing would add pages that each fork copies.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from .confinement import Confinement

#: Seconds for compiling a program's regular expressions; slower ones are compiled by each sample.
PATTERNS_S = 0.25


class ForkUnsafe(Exception):
    """Raised for a loaded module with which a server must not fork."""


def load(modules: Iterable[str]) -> None:
    """Import modules. One that fails or exits here does so again in the program, with its own traceback."""
    for name in modules:
        if name in sys.modules:
            continue
        # left to samples if numpy was not preloaded, since it does not allow forking then
        if name == "numpy.random" and "numpy" not in sys.modules:
            continue
        with suppress(BaseException):
            importlib.import_module(name)
    if "tempfile" in sys.modules:
        # reset, since samples may not write to the present folder
        vars(sys.modules["tempfile"])["tempdir"] = None


def preload(packages: Sequence[str], jail: Confinement) -> None:
    """Import the packages that sources need into a server, behind its filter.

    Raises:
        ForkUnsafe: a server must not fork with one of them.
    """
    # a folder for packages that write a temporary file while they are imported
    if jail.slots:
        os.environ["TMPDIR"] = jail.slots[0]
    with hugepages.one_stretch() if packages else nullcontext():
        load(packages)
    if jail.slots:
        folders.empty(jail.slots[0])
    if jail.accounts.has_threads():
        raise ForkUnsafe(
            f"one of {', '.join(packages)} started a thread; a server with threads must not fork"
        )


def compiled(text: int) -> types.CodeType:
    """The code of the program in a descriptor.

    Raises:
        SyntaxError, ValueError, MemoryError, RecursionError: it does not compile.
    """
    size = os.lseek(text, 0, os.SEEK_END)
    source = protocol.source_text(os.pread(text, size, 0))
    return compile(source, "<grader>", "exec", dont_inherit=True)


def compile_patterns(patterns: Iterable[tuple[str, int]]) -> None:
    """Compile regular expressions into the cache of `re`, for a limited time.

    An invalid one fails in the program, where it is used; one that is not reached in time is compiled there.
    """
    if not patterns or "re" not in sys.modules:
        return
    # it is there
    import re

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
    """Raised by the timer. A BaseException, which no library catches as an error of its own."""

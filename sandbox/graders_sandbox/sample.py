"""The child: one sample, from the fork to os._exit. Runs in the server's image, jailed before it reads its payload.

Kept short on purpose: after a fork every object that is touched copies a page, and those copies are the largest cost
of a sample.
"""

from __future__ import annotations

import gc
import json
import math
import os
import resource
import signal
import sys
import types
from collections.abc import Callable
from typing import Any

from .linux import landlock
from .linux import sys as kernel
from .linux.seccomp import SampleFilter

RESULT, PAYLOAD = 3, 4  # the only descriptors a sample has beside 0-2, which are /dev/null
_HIGH = 200  # where descriptors wait while their places are taken

NAME = "grader_program"  # the module's __name__, so that a main block does not run


class Jail:
    """What every sample of one server goes through, worked out once."""

    def __init__(
        self,
        *,
        landlocked: bool,
        filtered: bool,
        paths: bool,
        limits: list[tuple[int, int]],
        death_signal: bool,
    ) -> None:
        self.landlocked = landlocked
        self.filter = SampleFilter(paths=paths) if filtered else None
        self.limits = limits
        self.memory_bytes = dict(limits)[resource.RLIMIT_AS]
        self.death_signal = death_signal


def run(
    jail: Jail, rules: int, folder: str, payload: int, result: int, code: types.CodeType, seed: int
) -> None:
    """Never returns.

    Args:
        rules: The Landlock ruleset of this sample's folder; -1 for none.
        folder: Its own folder; "" for none.
        payload, result: Descriptors.
        code: The compiled source.
        seed: For random and numpy.
    """
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if jail.death_signal:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if folder:
        os.chdir(folder)
        os.environ["TMPDIR"] = folder
    # First high, then into place: a descriptor must not be closed by another that takes its number.
    os.dup2(payload, _HIGH)
    os.dup2(result, _HIGH + 1)
    if jail.landlocked:
        landlock.restrict(rules)
    os.dup2(_HIGH + 1, RESULT)
    os.dup2(_HIGH, PAYLOAD)
    os.closerange(PAYLOAD + 1, 65536)
    for which, amount in jail.limits:
        resource.setrlimit(which, (amount, amount))
    if jail.filter is not None:
        jail.filter.load(os.getpid())
    _grade(code, seed, os.write, os._exit)


def _grade(
    code: types.CodeType, seed: int, write: Callable[[int, bytes], int], leave: Callable[[int], Any]
) -> None:
    stage = b"p"
    try:
        row = json.loads(
            os.pread(PAYLOAD, os.lseek(PAYLOAD, 0, os.SEEK_END), 0)
        )  # fstat would need a path call
        os.close(PAYLOAD)
        _seed(seed)
        stage = b"i"
        module = types.ModuleType(NAME)
        sys.modules[NAME] = module
        exec(code, module.__dict__)
        stage = b"g"
        grade = module.__dict__.get("grade")
        if grade is None:
            raise NameError("the source does not define grade(sample, item)")
        value = grade(row["sample"], row["item"])
    except BaseException as error:
        write(RESULT, b"E" + stage + _described(error))
        leave(0)
    try:
        write(RESULT, _frame(value))
    finally:
        leave(0)


def _seed(seed: int) -> None:
    """Reproducible randomness, in whatever is loaded already."""
    if (random := sys.modules.get("random")) is not None:
        random.seed(seed)
    if (random := sys.modules.get("numpy.random")) is not None:
        random.seed(seed & 0xFFFFFFFF)


def _frame(value: object) -> bytes:
    kind = type(value)
    if kind is not float:
        if kind is int or kind is bool or _numpy_number(value):
            try:
                value = float(value)  # type: ignore[arg-type]  # a number, by the line above
            except OverflowError:
                return b"B" + b"grade returned an integer too large for a float"
        else:
            return b"B" + f"grade returned a {kind.__name__}, expected a number".encode(
                "utf-8", "backslashreplace"
            )
    if not math.isfinite(value):  # type: ignore[arg-type]  # a float by now
        return b"B" + f"grade returned {value!r}, expected a finite number".encode()
    from .protocol import VALUE

    return VALUE.pack(b"V", value)


def _numpy_number(value: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, (numpy.floating, numpy.integer, numpy.bool_))


def _described(error: BaseException) -> bytes:
    """The exception's class, NUL, and its traceback without our own frames."""
    try:
        gc.enable()
        name = (
            "DiskFull"
            if isinstance(error, OSError) and error.errno in (27, 28, 122)
            else type(error).__name__
        )
        if isinstance(error, MemoryError):
            return name.encode() + b"\0the program ran out of memory"
        import traceback

        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_globals is globals():
            trace = trace.tb_next
        if isinstance(error, RecursionError):
            text = f"RecursionError: {error}"
        else:
            text = "".join(traceback.format_exception(type(error), error, trace, limit=-20))
        return (
            name.encode("utf-8", "backslashreplace")
            + b"\0"
            + text.encode("utf-8", "backslashreplace")[-60_000:]
        )
    except BaseException:  # a hostile __str__: the class is all that can be said
        return b"Exception\0the exception could not be printed"

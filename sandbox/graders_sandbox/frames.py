"""Grades one row with a compiled program and returns a result frame (protocol.py).

Used by every tier: in samples of the Linux jails, inside the WebAssembly interpreter, and by the debugger in the
caller.
"""

from __future__ import annotations

import json
import sys
import types

from graders_sandbox import protocol, seeding

#: False, since importing typing would add pages that each fork copies.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: The module's __name__, so that a main block does not run.
NAME = "grader_program"
#: The scanner of json.loads, without its regular expressions, since each touched page is copied.
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # public, and missing from the stubs
_LARGEST = sys.float_info.max


def frame_of(
    code: types.CodeType,
    row_text: bytes,
    seed: int,
    module: types.ModuleType | None,
    on_error: Callable[[BaseException], object] | None = None,
) -> bytes:
    """The result frame of one row.

    Args:
        code: The program's code object.
        row_text: JSON of sample and item.
        seed: Seed of its randomness.
        module: The module that several rows share, executed by the first one; None for a new module.
        on_error: Called with the program's exception.
    """
    stage = b"p"
    try:
        row, _ = _scan(row_text.decode(), 0)
        seeding.seed(seed)
        stage = b"i"
        if module is None:
            module = types.ModuleType(NAME)
        if NAME not in sys.modules or sys.modules[NAME] is not module:
            sys.modules[NAME] = module
            exec(code, module.__dict__)
        stage = b"g"
        grade = module.__dict__.get("grade")
        if grade is None:
            raise NameError("the source does not define grade(sample, item)")
        return valued(grade(row["sample"], row["item"]))
    except BaseException as error:
        if on_error is not None:
            on_error(error)
        if stage == b"i":
            # so that a row that shares this process runs it for itself
            sys.modules.pop(NAME, None)
        return b"E" + stage + described(error)


def valued(value: object) -> bytes:
    kind = type(value)
    if kind is not float:
        if kind is int or kind is bool or _numpy_number(value):
            try:
                value = float(value)  # type: ignore[arg-type]  # a number, by the line above
            except OverflowError:
                return b"B" + b"grade returned an integer too large for a float"
        else:
            name = kind.__name__.encode("utf-8", "backslashreplace")[:200]
            return b"Bgrade returned a " + name + b", expected a number"
    if not abs(value) <= _LARGEST:  # type: ignore[arg-type]  # a float by now; nan is not either
        return b"B" + f"grade returned {value!r}, expected a finite number".encode()
    return protocol.VALUE.pack(b"V", value)


def _numpy_number(value: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, (numpy.floating, numpy.integer, numpy.bool_))


#: EFBIG, ENOSPC, EDQUOT.
_NO_ROOM = (27, 28, 122)


def described(error: BaseException) -> bytes:
    """The cause of an exception, its class, NUL, and its traceback without our own frames."""
    try:
        name = type(error).__name__.encode("utf-8", "backslashreplace")[:200]
        if isinstance(error, MemoryError):
            return b"m" + name + b"\0the program ran out of memory"
        cause = b"d" if isinstance(error, OSError) and error.errno in _NO_ROOM else b"-"
        import traceback

        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_globals is globals():
            trace = trace.tb_next
        if isinstance(error, RecursionError):
            text = f"RecursionError: {error}"
        else:
            text = "".join(traceback.format_exception(type(error), error, trace, limit=-20))
        return cause + name + b"\0" + _short(text)
    except BaseException:
        # a hostile __str__: the class is all that can be said
        return b"-Exception\0the exception could not be printed"


def _short(text: str) -> bytes:
    most = protocol.FRAME_MAX - 300
    data = text.encode("utf-8", "backslashreplace")
    if len(data) > most:
        data = data[: most // 2] + b"\n... cut ...\n" + data[-(most // 2) + 20 :]
    return data

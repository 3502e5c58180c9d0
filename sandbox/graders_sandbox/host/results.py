"""Turns samples' result frames into outcomes."""

from __future__ import annotations

import math
import os
import signal
from dataclasses import replace

from graders_sandbox.limits import Limits, Outcome, Status
from graders_sandbox.protocol import (
    BY_DEADLINE,
    BY_DISK,
    BY_REFUSAL,
    FRAME_MAX,
    LENGTH,
    OUTPUT,
    OUTPUT_MAX,
    VALUE,
    clean,
    clean_name,
)

_STAGES = {b"c": "compile", b"i": "import", b"g": "grade", b"p": "payload"}
_STATUS_OF: dict[bytes, Status] = {b"-": "grader_error", b"m": "memory", b"d": "disk"}

_O = b"O"
WRITTEN_MAX = OUTPUT_MAX + FRAME_MAX + LENGTH.size * (1 + OUTPUT_MAX // OUTPUT.size)
_NO_FILES = (
    "the code that run_untrusted ran asked for a file, or for a module that was not loaded ahead. This tier gives it none, and "
    "its score would not be that of other tiers: linux-full and linux-landlock, which need Landlock, give it a folder"
)


def read_result(frame: bytes) -> Outcome | None:
    """The outcome in a result frame; None when it is not exactly one frame."""
    kind = frame[:1]
    if kind == b"V" and len(frame) == VALUE.size:
        value = VALUE.unpack(frame)[1]
        return Outcome("value", value) if math.isfinite(value) else None
    if len(frame) > FRAME_MAX:
        return None
    if kind == b"B":
        return Outcome("bad_return", text=clean(frame[1:].decode("utf-8", "backslashreplace")))
    stage, cause = frame[1:2], frame[2:3]
    if kind == b"E" and stage in _STAGES and cause in _STATUS_OF and b"\0" in frame:
        error_type, _, text = frame[3:].partition(b"\0")
        return Outcome(
            _STATUS_OF[cause],
            stage=_STAGES[stage],
            error_type=clean_name(error_type.decode("utf-8", "backslashreplace")),
            text=clean(text.decode("utf-8", "backslashreplace")),
        )
    return None


def outcome(written: bytes, status: int, ended: int, wall_s: float, cpu_s: float, limits: Limits) -> Outcome:
    """The outcome of a sample, from its frames, its exit status and the reason of its end."""
    if not written.startswith(_O):
        return _outcome(written, status, ended, wall_s, cpu_s, limits)
    printed, at = bytearray(), 0
    while written.startswith(_O, at) and len(written) >= at + OUTPUT.size:
        piece = _piece(written[at:])
        printed += piece
        at += OUTPUT.size + len(piece)
    found = _outcome(written[at:], status, ended, wall_s, cpu_s, limits)
    return replace(found, printed=_readable(printed))


def _piece(frame: bytes) -> bytes:
    """The printed output in an output frame."""
    _, length = OUTPUT.unpack_from(frame)
    return frame[OUTPUT.size : OUTPUT.size + length]


def _readable(printed: bytearray) -> str:
    return clean(printed[:OUTPUT_MAX].decode("utf-8", "backslashreplace"), OUTPUT_MAX)


def _outcome(frame: bytes, status: int, ended: int, wall_s: float, cpu_s: float, limits: Limits) -> Outcome:
    if ended == BY_DEADLINE:
        return Outcome("timeout", error_type="wall", text=f"the program ran longer than {wall_s:g} s")
    if ended == BY_DISK:
        return Outcome("disk", text="the program left more on disk than its limit")
    if ended == BY_REFUSAL:
        return Outcome("infrastructure", error_type="NoFiles", text=_NO_FILES)
    if os.WIFSIGNALED(status):
        return _signalled(os.WTERMSIG(status), cpu_s, limits)
    code = os.WEXITSTATUS(status)
    if not frame:
        return Outcome("no_result", text=f"the program left with exit code {code} before it had a result")
    read = read_result(frame)
    if read is None or code:
        text = f"the program wrote {len(frame)} bytes that are not one result"
        return Outcome("protocol", text=f"{text}, and left with exit code {code}")
    return read


def _signalled(number: int, cpu_s: float, limits: Limits) -> Outcome:
    """The outcome of a program that ended by a signal. In a jail it cannot send itself the signals of limits."""
    name = signal.Signals(number).name if number in signal.valid_signals() else str(number)
    if number == signal.SIGXCPU or (number == signal.SIGKILL and cpu_s >= limits.cpu_s):
        text = f"the program used more than {limits.cpu_s:g} s of processor time"
        return Outcome("timeout", error_type="cpu", text=text)
    if number == signal.SIGKILL:
        return Outcome(
            "memory", error_type=name, text="the kernel killed the program, which used all of its memory"
        )
    return Outcome("crash", error_type=name, text=f"the program was ended by {name}")


def read_results(written: bytes, count: int) -> list[Outcome] | None:
    """The outcomes of `count` samples of one process; None when there are not exactly that many frames."""
    outcomes: list[Outcome] = []
    printed, at = bytearray(), 0
    while len(outcomes) < count:
        if len(written) < at + LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(written, at)
        at += LENGTH.size
        frame = written[at : at + length]
        at += length
        if frame.startswith(_O) and len(frame) >= OUTPUT.size:
            printed += _piece(frame)
            continue
        outcome = read_result(frame)
        if outcome is None:
            return None
        outcomes.append(replace(outcome, printed=_readable(printed)) if printed else outcome)
        printed.clear()
    return outcomes if at == len(written) else None

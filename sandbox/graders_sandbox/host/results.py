"""What samples wrote, as outcomes."""

from __future__ import annotations

import math

from graders_sandbox.limits import Outcome, Status
from graders_sandbox.protocol import FRAME_MAX, LENGTH, VALUE, clean, clean_name

_STAGES = {b"c": "compile", b"i": "import", b"g": "grade", b"p": "payload"}
_STATUS_OF: dict[str, Status] = {"MemoryError": "memory", "DiskFull": "disk"}


def read_result(frame: bytes) -> Outcome | None:
    """What a sample wrote; None when it is not exactly one frame."""
    kind = frame[:1]
    if kind == b"V" and len(frame) == VALUE.size:
        value = VALUE.unpack(frame)[1]
        return Outcome("value", value) if math.isfinite(value) else None
    if len(frame) > FRAME_MAX:
        return None
    if kind == b"B":
        return Outcome("bad_return", text=clean(frame[1:].decode("utf-8", "backslashreplace")))
    if kind == b"E" and frame[1:2] in _STAGES and b"\0" in frame:
        error_type, _, text = frame[2:].partition(b"\0")
        name = clean_name(error_type.decode("utf-8", "backslashreplace"))
        return Outcome(
            _STATUS_OF.get(name, "grader_error"),
            stage=_STAGES[frame[1:2]],
            error_type=name,
            text=clean(text.decode("utf-8", "backslashreplace")),
        )
    return None


def read_results(written: bytes, count: int) -> list[Outcome] | None:
    """What `count` samples of one process wrote; None when it is not exactly that many frames."""
    outcomes = []
    at = 0
    for _ in range(count):
        if len(written) < at + LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(written, at)
        at += LENGTH.size
        outcome = read_result(written[at : at + length])
        if outcome is None:
            return None
        outcomes.append(outcome)
        at += length
    return outcomes if at == len(written) else None

"""The bytes between host, server and sample. Fixed binary frames; nothing is unpickled anywhere.

host <-> server, one datagram each on a SOCK_SEQPACKET pair:

    to the server     S source        + descriptor of the source
                      J job source wall_s seed     + descriptors of the payload and of the result pipe
                      K job           stop it
    from the server   R tier          ready
                      F text          it could not start
                      X job wait_status ended wall_s cpu_s
                      C job text      the source does not compile

sample -> host, on the result pipe, once:

    V double                          the value
    E stage type NUL text             an exception
    B text                            what came back is no finite number
"""

from __future__ import annotations

import array
import math
import socket
import struct

from .limits import Outcome

START = struct.Struct("<cI")  # S, K
JOB = struct.Struct("<cIIdQ")
EXIT = struct.Struct("<cIiBdd")
VALUE = struct.Struct("<cd")

#: EXIT's `ended`: by itself, or by the server for one of these reasons.
BY_ITSELF, BY_DEADLINE, BY_HOST, BY_DISK = range(4)

STAGES = {b"c": "compile", b"i": "import", b"g": "grade", b"p": "payload"}
RESULT_MAX = 64 * 1024  # more than any frame; the pipe holds no more either
TEXT_MAX = 4096  # of a traceback, after cleaning


def clean(text: str) -> str:
    """Text from a sample, safe to print and to log: control characters and surrogates escaped, the middle cut."""
    safe = "".join(
        c if c == "\n" or (c.isprintable() and not "\ud800" <= c <= "\udfff") else _escaped(c)
        for c in text[:RESULT_MAX]
    )
    if len(safe) > TEXT_MAX:
        safe = safe[: TEXT_MAX // 2] + "\n... cut ...\n" + safe[-TEXT_MAX // 2 :]
    return safe


def _escaped(character: str) -> str:
    return "    " if character == "\t" else character.encode("unicode_escape").decode()


def read_result(frame: bytes) -> Outcome | None:
    """What a sample wrote; None when it is not exactly one frame."""
    kind = frame[:1]
    if kind == b"V" and len(frame) == VALUE.size:
        value = VALUE.unpack(frame)[1]
        return Outcome("value", value) if math.isfinite(value) else None
    if kind == b"B":
        return Outcome("bad_return", text=clean(frame[1:].decode("utf-8", "backslashreplace")))
    if kind == b"E" and frame[1:2] in STAGES and b"\0" in frame:
        error_type, _, text = frame[2:].partition(b"\0")
        name = clean(error_type.decode("utf-8", "backslashreplace"))[:200]
        status = _STATUS_OF.get(name, "grader_error")
        return Outcome(
            status,
            stage=STAGES[frame[1:2]],
            error_type=name,
            text=clean(text.decode("utf-8", "backslashreplace")),
        )  # type: ignore[arg-type]  # the table's values are statuses
    return None


_STATUS_OF = {"MemoryError": "memory", "DiskFull": "disk"}


def send(to: socket.socket, message: bytes, descriptors: list[int] | None = None) -> None:
    """One datagram with descriptors."""
    if descriptors:
        socket.send_fds(to, [message], descriptors)
    else:
        to.send(message)


def receive(source: socket.socket, size: int = 65536, most: int = 2) -> tuple[bytes, list[int]]:
    """One datagram and its descriptors, close-on-exec; b"" when the other side is gone."""
    fds = array.array("i")
    message, ancillary, _, _ = source.recvmsg(
        size, socket.CMSG_SPACE(most * fds.itemsize), socket.MSG_CMSG_CLOEXEC
    )
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return message, list(fds)

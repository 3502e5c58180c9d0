"""The protocol between host, server and sample: fixed binary frames, without pickle.

host <-> server, one datagram each on a SOCK_SEQPACKET pair:

    to the server     S source json                  + descriptor of the source; {"modules": [to load], "patterns": [[to
                      compile, flags]]}
                      (asks: whether it may start children for code of others)
                      D source                       forget it
                      J run source count wall_s asks + descriptors of the payload and of the result pipe
                      K run                          stop it
    from the server   L json                         jailed, and loads its packages now: {"tier": ..., "notes": [...]}
                      R                              ready
                      F text                         its tier does not work here
                      T text                         a requested module does not allow forking
                      X run wait_status ended wall_s cpu_s
                      C run text                     the source does not compile
                      N run text                     it could not be started

A payload is `count` rows, each: seed (u64), length (u32), JSON of sample and item.

sample -> host, on the result pipe:

    V double            the value
    E stage cause type NUL text   an exception; cause: m no memory, d no room on the disk, - anything else
    B text              the returned value is not a finite number
    O length text       printed output; none or several of these precede one of the others

One sample writes one frame of the first three. Several in one process write a length (u32) before each frame.
"""

from __future__ import annotations

import _socket
import struct
from collections.abc import Sequence

#: S, D, K, C, N.
NUMBER = struct.Struct("<cI")
JOB = struct.Struct("<cIIId?")
EXIT = struct.Struct("<cIiBdd")
VALUE = struct.Struct("<cd")
ROW = struct.Struct("<QI")
LENGTH = struct.Struct("<I")
#: O length: before text.
OUTPUT = struct.Struct("<cI")
#: Between a sample and the server, about the child that runs a model's code (see jail/untrusted).
#: U wall_s memory_bytes: start one; K 0 0: stop it.
ASK = struct.Struct("<cdQ")
#: O 0 0 waited_s + descriptor: started; X wait_status ended waited_s: it ended.
TOLD = struct.Struct("<ciBd")
#: waited_s: seconds of waiting until the folder of an earlier child of the same sample was empty.

#: EXIT's and TOLD's `ended`: by itself, by the server for one of these reasons, or (BY_FAULT) for a reason that the
#: program did not cause.
BY_ITSELF, BY_DEADLINE, BY_HOST, BY_DISK, BY_FAULT, BY_REFUSAL = range(6)

#: Exit code of a child that could not enter its jail; no code of a program has run.
NOT_JAILED = 70
#: Of what one sample prints, with what goes before each piece of it.
OUTPUT_MAX = 8192
#: Less than a page: a pipe takes it whole, also where pipes are short.
FRAME_MAX = 4000
#: Of a traceback, after cleaning.
TEXT_MAX = 4096


def source_text(data: bytes) -> str:
    """A program's text from the host's bytes, always UTF-8, even with another coding cookie."""
    return data.decode("utf-8", "surrogatepass").removeprefix("\ufeff")


def clean(text: str, most: int = TEXT_MAX) -> str:
    """A sample's text, safe to print and log: control characters and surrogates escaped, a long text's middle cut."""
    safe = "".join(
        c if c == "\n" or (c.isprintable() and not "\ud800" <= c <= "\udfff") else _escaped(c)
        for c in text[: 4 * most]
    )
    if len(safe) > most:
        safe = cut(safe, most)
    return safe


def clean_name(text: str) -> str:
    """As `clean`, for the name of a class: one line, at most 200 characters."""
    return clean(text[:200]).replace("\n", "\\n")[:200]


def cut(text: str, most: int) -> str:
    """A text, or head and tail of one that is too long."""
    mark = "\n... cut ...\n"
    half = (most - len(mark)) // 2
    return text if len(text) <= most else text[:half] + mark + text[-half:]


def _escaped(character: str) -> str:
    return "    " if character == "\t" else character.encode("unicode_escape").decode()


#: Descriptors in a message.
MOST = 3
# `socket` itself would add half a megabyte to every sample's image, here and elsewhere in server and template.
_INT = struct.calcsize("i")
_INTS = [struct.Struct(f"{count}i") for count in range(MOST + 1)]
# some systems that import this module cannot pass descriptors, or have no close-on-exec
SPACE = _socket.CMSG_SPACE(MOST * _INT) if hasattr(_socket, "CMSG_SPACE") else 0
CLOEXEC = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)
_RIGHTS = (_socket.SOL_SOCKET, getattr(_socket, "SCM_RIGHTS", 1))


def receive(source: _socket.socket, size: int) -> tuple[bytes, Sequence[int]]:
    """One message and its descriptors, close-on-exec; b"" when the other side has ended."""
    message, ancillary, _, _ = source.recvmsg(size, SPACE, CLOEXEC)
    return message, descriptors(ancillary)


def receive_into(buffer: bytearray, source: _socket.socket) -> tuple[memoryview, Sequence[int]]:
    """As `receive`, into a buffer that is valid until the next call, since each written page costs."""
    size, ancillary, _, _ = source.recvmsg_into([buffer], SPACE, CLOEXEC)
    return memoryview(buffer)[:size], descriptors(ancillary)


def descriptors(ancillary: list[tuple[int, int, bytes]]) -> Sequence[int]:
    """The descriptors in a message's ancillary data."""
    # one at most
    for _, _, data in ancillary:
        return _INTS[len(data) // _INT].unpack_from(data)
    return ()


def send(to: _socket.socket, message: bytes, descriptors: Sequence[int] = ()) -> None:
    """One message with descriptors."""
    if descriptors:
        to.sendmsg([message], [(*_RIGHTS, _INTS[len(descriptors)].pack(*descriptors))])
    else:
        to.send(message)

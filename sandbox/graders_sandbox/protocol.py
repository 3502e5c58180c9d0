"""The bytes between host, server and sample. Fixed binary frames; nothing is unpickled anywhere.

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
                      T text                         what it was told to load does not bear a fork server
                      X run wait_status ended wall_s cpu_s
                      C run text                     the source does not compile
                      N run text                     it could not be started

A payload is `count` rows, each: seed (u64), length (u32), JSON of sample and item.

sample -> host, on the result pipe:

    V double            the value
    E stage cause type NUL text   an exception; cause: m no memory, d no room on the disk, - anything else
    B text              what came back is no finite number
    O length text       what it printed; none or several of these come before one of the others

One sample writes one frame of the first three. Several in one process write a length (u32) before each frame.
"""

from __future__ import annotations

import _socket
import struct
from collections.abc import Sequence

NUMBER = struct.Struct("<cI")  # S, D, K, C, N
JOB = struct.Struct("<cIIId?")
EXIT = struct.Struct("<cIiBdd")
VALUE = struct.Struct("<cd")
ROW = struct.Struct("<QI")
LENGTH = struct.Struct("<I")
OUTPUT = struct.Struct("<cI")  # O length: before text
#: Between a sample and the server, about the child that runs a model's code (see jail/untrusted).
ASK = struct.Struct("<cdQ")  # U wall_s memory_bytes: start one; K 0 0: stop it
TOLD = struct.Struct("<ciBd")  # O 0 0 waited_s + descriptor: started; X wait_status ended waited_s: it ended
#: waited_s: how long it was waited for a folder to be emptied that an earlier child of the same sample had filled.

#: EXIT's and TOLD's `ended`: by itself, by the server for one of these reasons, or (BY_FAULT) by nothing that is the
#: program's doing.
BY_ITSELF, BY_DEADLINE, BY_HOST, BY_DISK, BY_FAULT, BY_REFUSAL = range(6)

NOT_JAILED = 70  # exit code of a child that could not enter its jail: nobody's code has run
OUTPUT_MAX = 8192  # of what one sample prints, with what goes before each piece of it
FRAME_MAX = 4000  # less than a page: a pipe takes it whole, also where pipes are short
TEXT_MAX = 4096  # of a traceback, after cleaning


def source_text(data: bytes) -> str:
    """A program's text from the bytes that the host sent: always UTF-8, whatever a coding cookie in it says."""
    return data.decode("utf-8", "surrogatepass").removeprefix("\ufeff")


def clean(text: str, most: int = TEXT_MAX) -> str:
    """Text from a sample, safe to print and to log: control characters and surrogates escaped, the middle cut."""
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
    """Head and tail of a text that is too long."""
    mark = "\n... cut ...\n"
    half = (most - len(mark)) // 2
    return text if len(text) <= most else text[:half] + mark + text[-half:]


def _escaped(character: str) -> str:
    return "    " if character == "\t" else character.encode("unicode_escape").decode()


MOST = 3  # descriptors in a message
# `socket` itself would bring half a megabyte into what every sample is a fork of; so would it elsewhere in server and template.
_INT = struct.calcsize("i")
_INTS = [struct.Struct(f"{count}i") for count in range(MOST + 1)]
# Not every system that may import this module passes descriptors, or closes them when it executes a program.
SPACE = _socket.CMSG_SPACE(MOST * _INT) if hasattr(_socket, "CMSG_SPACE") else 0
CLOEXEC = getattr(_socket, "MSG_CMSG_CLOEXEC", 0)
_RIGHTS = (_socket.SOL_SOCKET, getattr(_socket, "SCM_RIGHTS", 1))


def receive(source: _socket.socket, size: int) -> tuple[bytes, Sequence[int]]:
    """One message and its descriptors, close-on-exec; b"" when the other side is gone."""
    message, ancillary, _, _ = source.recvmsg(size, SPACE, CLOEXEC)
    return message, descriptors(ancillary)


def receive_into(buffer: bytearray, source: _socket.socket) -> tuple[memoryview, Sequence[int]]:
    """As `receive`, where each page that is written costs. What came is in the buffer until the next call."""
    size, ancillary, _, _ = source.recvmsg_into([buffer], SPACE, CLOEXEC)
    return memoryview(buffer)[:size], descriptors(ancillary)


def descriptors(ancillary: list[tuple[int, int, bytes]]) -> Sequence[int]:
    """Those that came with a message of which nothing but descriptors is expected."""
    for _, _, data in ancillary:  # one at most
        return _INTS[len(data) // _INT].unpack_from(data)
    return ()


def send(to: _socket.socket, message: bytes, descriptors: Sequence[int] = ()) -> None:
    """One message with descriptors."""
    if descriptors:
        to.sendmsg([message], [(*_RIGHTS, _INTS[len(descriptors)].pack(*descriptors))])
    else:
        to.send(message)

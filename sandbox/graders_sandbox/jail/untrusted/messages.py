"""Messages between a sample and the child that runs a model's code: a length and a text, one at a time each way.

Most fit into one chunk, and then take one system call on each side. Waiting has no time-out here: the server ends a
late child, which ends the wait.
"""

from __future__ import annotations

import _socket
import struct

SIZE = struct.Struct("<I")
_CHUNK, _LARGE_CHUNK = 4096, 1 << 20
#: No SIGPIPE, so that the end of the other side does not end this one.
_NO_SIGNAL = _socket.MSG_NOSIGNAL


def send(channel: _socket.socket, text: bytes) -> None:
    """Write one message.

    Raises:
        OSError: the other side has ended.
    """
    channel.sendall(SIZE.pack(len(text)) + text, _NO_SIGNAL)


def receive(channel: _socket.socket, most: int = 0xFFFFFFFF) -> bytes:
    """Read one message of bounded size.

    Raises:
        EOFError: the other side has ended.
        OSError: the channel is broken.
        ValueError: it is too long, or followed by other data.
    """
    data = bytearray()
    size = SIZE.size
    while len(data) < size:
        data += _part(channel, _CHUNK)
    (length,) = SIZE.unpack_from(data)
    if length > most:
        raise ValueError(f"it has {length} bytes; the limit is {most}")
    size += length
    while len(data) < size:
        data += _part(channel, min(size - len(data), _LARGE_CHUNK))
    if len(data) > size:
        raise ValueError(f"{len(data) - size} bytes follow it")
    return bytes(memoryview(data)[SIZE.size :])


def _part(channel: _socket.socket, most: int) -> bytes:
    part = channel.recv(most)
    if not part:
        raise EOFError
    return part

"""Messages between a sample and the child that runs a model's code."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from graders_sandbox.jail.untrusted import messages

LONG = b"x" * 3_000_000


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def framed(text: bytes) -> bytes:
    return messages.SIZE.pack(len(text)) + text


@pytest.mark.parametrize("text", [b"", b"{}", b"x" * 4092, b"x" * 4093, LONG], ids=len)
def test_a_text_arrives_as_it_was_sent(ends: tuple[socket.socket, socket.socket], text: bytes) -> None:
    """A text arrives unchanged, also if it fills a chunk or the socket."""
    ours, theirs = ends
    sender = threading.Thread(target=messages.send, args=(theirs, text))
    sender.start()

    assert messages.receive(ours) == text

    sender.join()


def test_a_text_may_come_in_pieces(ends: tuple[socket.socket, socket.socket]) -> None:
    """A byte at a time."""
    ours, theirs = ends

    def send() -> None:
        for byte in framed(b"[1, 2]"):
            theirs.sendall(bytes([byte]))

    sender = threading.Thread(target=send)
    sender.start()

    assert messages.receive(ours) == b"[1, 2]"

    sender.join()


BROKEN = [
    # what is written before the other side ends, the error
    pytest.param(b"", EOFError, id="nothing"),
    pytest.param(framed(b"abc")[:3], EOFError, id="half of a size"),
    pytest.param(framed(b"abc")[:-1], EOFError, id="half of a text"),
    pytest.param(framed(b"abc") + b"d", ValueError, id="an answer left ahead"),
    pytest.param(framed(b"x" * 101), ValueError, id="more than the limit"),
    pytest.param(messages.SIZE.pack(0xFFFFFFFF), ValueError, id="a claim of four gigabytes"),
]


@pytest.mark.parametrize(("written", "error"), BROKEN)
def test_malformed_messages_are_refused(
    ends: tuple[socket.socket, socket.socket], written: bytes, error: type[Exception]
) -> None:
    """A child can write what it likes."""
    ours, theirs = ends
    theirs.sendall(written)
    theirs.close()

    with pytest.raises(error):
        messages.receive(ours, 100)

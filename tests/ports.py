"""Ports of loopback for servers that start late or again."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port that no other program is given. Nobody listens on it, so that connections are refused until a server does."""
    with socket.socket() as holder:
        # with this option, which servers set too, a second socket may have the port while none listens
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]

"""`grader serve`: uvicorn with bounded connections, graceful shutdown, and quiet logs."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from importlib.util import find_spec
from math import ceil
from typing import TYPE_CHECKING, Any

import uvicorn

from graders.server.errors import ApiError
from graders.server.limits import Limits

if TYPE_CHECKING:
    from types import FrameType

    from starlette.types import ASGIApp

#: Connections that may wait to be accepted.
BACKLOG = 1024


class _ClientLimits:
    """Limits that uvicorn lacks: the time for headers and the beginning of the body, the size of headers, the time
    for a client to read its response, the number of connections.

    A mixin of uvicorn's protocol. It uses the attributes that both implementations have: `connections`, `cycle`,
    `loop`, `transport`.
    """

    limits: Limits
    connections: set[Any]
    cycle: Any
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _late: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)  # type: ignore[misc]  # the base class is known at run time alone
        if len(self.connections) > self.limits.connections:
            transport.abort()
            return
        self._late = self.loop.call_later(self.limits.head_s, transport.abort)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)  # type: ignore[misc]  # the base class is known at run time alone
        cycle = self.cycle
        # the headers are complete
        if cycle is not None and not cycle.response_complete:
            self._head_bytes = 0
            # and the body has begun
            if self._late is not None and (cycle.body or not cycle.more_body):
                self._late.cancel()
                self._late = None
            return
        self._head_bytes += len(data)
        if self._head_bytes > self.limits.head_bytes:
            self.send_400_response("The request's headers are too large.")
        elif self._late is None:
            self._late = self.loop.call_later(self.limits.head_s, self.transport.abort)

    def pause_writing(self) -> None:
        """The response fills the transport's buffer (64 kB): the client has to read some of it in time."""
        super().pause_writing()  # type: ignore[misc]  # the base class is known at run time alone
        if self._unread is None:
            self._unread = self.loop.call_later(self.limits.write_s, self.transport.abort)

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()  # type: ignore[misc]  # the base class is known at run time alone

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection. It is aborted if the client has not read its last response."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()  # type: ignore[misc]  # the base class is known at run time alone

    def connection_lost(self, error: Exception | None) -> None:
        for timer in (self._late, self._unread):
            if timer is not None:
                timer.cancel()
        super().connection_lost(error)  # type: ignore[misc]  # the base class is known at run time alone

    def send_400_response(self, message: str) -> None:
        """Answer invalid HTTP with the service's error body too."""
        if not self.transport.is_closing():
            body = ApiError(400, message, code="invalid_http").body()
            head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
            self.transport.close()


def protocol(limits: Limits) -> type[asyncio.Protocol]:
    """uvicorn's HTTP/1.1 protocol, the faster one where its parser is installed, with the limits of _ClientLimits."""
    from importlib import import_module

    fast = find_spec("httptools") is not None
    module, name = ("httptools_impl", "HttpToolsProtocol") if fast else ("h11_impl", "H11Protocol")
    base = getattr(import_module(f"uvicorn.protocols.http.{module}"), name)
    return type("Protocol", (_ClientLimits, base), {"limits": limits})


class HttpServer(uvicorn.Server):
    """uvicorn's server. The first SIGTERM or Ctrl-C drains; a second Ctrl-C does not wait."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. It names TCP as protocol, since asyncio disables Nagle's delay only for that.

    Raises:
        OSError: the address is in use, not of this machine, or invalid.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # on Windows it would let a second server take over the port of a running one
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def server(application: ASGIApp, *, limits: Limits | None = None) -> HttpServer:
    """A server that is not started: `await .serve(sockets=[listen(...)])` on the caller's event loop."""
    limits = limits or Limits()
    config = uvicorn.Config(
        application,
        http=protocol(limits),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # no decision depends on the client's address
        proxy_headers=False,
        timeout_keep_alive=ceil(limits.keep_alive_s),
        timeout_graceful_shutdown=ceil(limits.drain_s),
        h11_max_incomplete_event_size=limits.head_bytes,
    )
    return HttpServer(config)


def serve(
    application: ASGIApp,
    listener: socket.socket,
    *,
    limits: Limits | None = None,
    started: Callable[[], object] = lambda: None,
) -> None:
    """Serve on a listening socket until a signal, then finish the requests in progress.

    Args:
        started: Called once the server accepts requests.
    """
    running = server(application, limits=limits)

    async def main() -> None:
        ready = asyncio.create_task(_when_started(running, started))
        await running.serve(sockets=[listener])
        ready.cancel()

    loop_factory = running.config.get_loop_factory()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())


async def _when_started(running: HttpServer, then: Callable[[], object]) -> None:
    while not running.started:
        await asyncio.sleep(0.01)
    then()


def log_to_stderr() -> None:
    """Log the server's own errors to stderr, a line of JSON each."""
    logger = logging.getLogger("graders.server")
    logger.addHandler(logging.StreamHandler(sys.stderr))
    logger.propagate = False
    quiet = logging.getLogger("uvicorn.error")
    # its tracebacks may quote a request
    quiet.setLevel(logging.CRITICAL + 1)


def more_descriptors(n_descriptors: int) -> None:
    """Raise the soft limit of open files to the given number."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = n_descriptors + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))

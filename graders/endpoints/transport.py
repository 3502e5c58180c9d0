"""Transports: our own HTTP/1.1 on asyncio, and httpx2.

The reason for our own: with 200 requests in flight httpx2 2.16 spends 2 to 3 ms of CPU on each (its pool scans all
connections at every change), and this one a sixth of that; benchmarks/judges.py measures both. httpx2 is used where the
environment names a proxy, or where graders.toml asks for it (transport = "httpx2").
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from graders.endpoints.connection import MAX_ANSWER_BYTES, MAX_HEAD_BYTES, Connection
from graders.endpoints.contract import Reply, Transport
from graders.errors import ModelServerError

CONNECT_S = 10.0
#: Seconds after which an idle connection is not reused, since many servers close theirs silently.
IDLE_S = 30.0


class DirectTransport:
    """HTTP/1.1 with kept-alive connections, over asyncio streams. Used on one event loop."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, str], list[Connection]] = {}
        self._ssl: ssl.SSLContext | None = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        parts = urlsplit(url)
        idle = self._idle.setdefault((parts.scheme, parts.netloc), [])
        async with asyncio.timeout(timeout_s):
            connection = _fresh_enough(idle) or await self._connect(parts)
            try:
                reply, reusable = await connection.exchange(parts, headers, body)
            except BaseException as error:
                # also when cancelled: the next request must not read the rest of this answer
                connection.close()
                if isinstance(error, (EOFError, ValueError, asyncio.LimitOverrunError, zlib.error)):
                    raise ConnectionError(_broken(error)) from None
                raise
        if reusable:
            connection.idle_since = asyncio.get_running_loop().time()
            idle.append(connection)
        else:
            connection.close()
        return reply

    async def _connect(self, parts: SplitResult) -> Connection:
        secure = parts.scheme == "https"
        if secure and self._ssl is None:
            self._ssl = ssl.create_default_context()
        port = parts.port or (443 if secure else 80)
        try:
            async with asyncio.timeout(CONNECT_S):
                reader, writer = await asyncio.open_connection(
                    parts.hostname, port, ssl=self._ssl if secure else None, limit=MAX_HEAD_BYTES
                )
        except TimeoutError:
            raise ConnectionError(f"no connection to {parts.netloc} within {CONNECT_S:g} s") from None
        except ssl.SSLCertVerificationError:
            # a retry does not help
            raise
        except OSError as error:
            raise ConnectionError(f"no connection to {parts.netloc}: {error.strerror or error}") from None
        return Connection(reader, writer)

    async def aclose(self) -> None:
        idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()


def _fresh_enough(idle: list[Connection]) -> Connection | None:
    """The most recently used connection, unless the server has closed it or it is too old."""
    now = asyncio.get_running_loop().time()
    while idle:
        connection = idle.pop()
        if connection.alive and now - connection.idle_since < IDLE_S:
            return connection
        connection.close()
    return None


def _broken(error: BaseException) -> str:
    # IncompleteReadError
    if isinstance(error, EOFError):
        return (
            "the connection ended within the response"
            if getattr(error, "partial", b"")
            else ("the connection ended without a response")
        )
    return f"the response is not HTTP: {error}"


class HttpxTransport:
    """A transport over httpx2, for proxies and its other features; imported at the first request."""

    def __init__(self) -> None:
        self._client: asyncio.Task[Any] | None = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        import httpx2

        if self._client is None:
            # created once for all concurrent requests, and on a thread, since reading certificates takes 30 ms
            made = asyncio.to_thread(
                httpx2.AsyncClient,
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=256),
                timeout=httpx2.Timeout(None, connect=CONNECT_S),
            )
            self._client = asyncio.create_task(made)
        try:
            client = await asyncio.shield(self._client)
        except (ValueError, ImportError) as error:
            raise ModelServerError(f"the proxy that the environment names cannot be used: {error}") from None
        try:
            async with (
                asyncio.timeout(timeout_s),
                client.stream("POST", url, headers=dict(headers), content=body) as response,
            ):
                data = bytearray()
                async for chunk in response.aiter_bytes():
                    data += chunk
                    if len(data) > MAX_ANSWER_BYTES:
                        raise ConnectionError(f"the response is longer than {MAX_ANSWER_BYTES} bytes")
                got = {name.lower(): value for name, value in response.headers.items()}
                return Reply(response.status_code, got, bytes(data))
        except (httpx2.TransportError, httpx2.DecodingError, httpx2.InvalidURL) as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from None

    async def aclose(self) -> None:
        made, self._client = self._client, None
        if made is not None and not (made.done() and made.exception()):
            await (await made).aclose()


class AutoTransport:
    """DirectTransport, but httpx2 for addresses with a proxy in the environment (such as HTTPS_PROXY)."""

    def __init__(self) -> None:
        self._transports: dict[str, Transport] = {}
        self._by_origin: dict[str, str] = {}

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        origin = url[: url.find("/", 8)]
        name = self._by_origin.get(origin)
        if name is None:
            name = self._by_origin[origin] = "httpx2" if _proxied(url) else "direct"
        return await self.transport(name).post(url, headers, body, timeout_s)

    def transport(self, name: str) -> Transport:
        """The transport of that name, created when first needed."""
        if name not in self._transports:
            self._transports[name] = TRANSPORTS[name]()
        return self._transports[name]

    async def aclose(self) -> None:
        for transport in self._transports.values():
            await transport.aclose()


def _proxied(url: str) -> bool:
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    proxies = getproxies()
    return bool((proxies.get(parts.scheme) or proxies.get("all")) and not proxy_bypass(parts.hostname or ""))


TRANSPORTS: dict[str, type[DirectTransport] | type[HttpxTransport] | type[AutoTransport]] = {
    "auto": AutoTransport,
    "direct": DirectTransport,
    "httpx2": HttpxTransport,
}

"""One HTTP exchange, three ways: our own HTTP/1.1 on asyncio, httpx2, and a user's own client.

Why our own: with 200 requests in flight httpx2 2.16 spends 2 to 3 ms of CPU on each (its pool looks through all
connections whenever one changes), a call over this one with all around it a sixth of that; benchmarks/judges.py
measures both. httpx2 is used where the environment names a proxy, or where graders.toml asks for it
(transport = "httpx2").
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

from graders.errors import ModelServerError

CONNECT_S = 10.0
#: A verdict is small; more is a fault.
MAX_ANSWER_BYTES = 16 * 1024 * 1024
MAX_HEAD_BYTES = 64 * 1024
#: An idle connection is not used again after this: many servers end theirs silently.
IDLE_S = 30.0


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Makes HTTP exchanges."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        """The whole response, whatever its status. Never tries again on its own.

        Raises:
            TimeoutError: it was not whole within `timeout_s`.
            OSError: there is none, or not all of it.
        """
        ...

    async def aclose(self) -> None:
        """Close connections; the transport may be used again after."""
        ...


class Direct:
    """HTTP/1.1 with kept-alive connections, over asyncio streams. Used on one event loop."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, str], list[_Connection]] = {}
        self._ssl: ssl.SSLContext | None = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        parts = urlsplit(url)
        idle = self._idle.setdefault((parts.scheme, parts.netloc), [])
        async with asyncio.timeout(timeout_s):
            connection = _fresh_enough(idle) or await self._connect(parts)
            try:
                reply, reusable = await connection.exchange(parts, headers, body)
            except BaseException as error:
                # cancelled, too: the rest of an answer must not be read by the next request
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

    async def _connect(self, parts: SplitResult) -> _Connection:
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
            # asking again will not help
            raise
        except OSError as error:
            raise ConnectionError(f"no connection to {parts.netloc}: {error.strerror or error}") from None
        return _Connection(reader, writer)

    async def aclose(self) -> None:
        idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()


def _fresh_enough(idle: list[_Connection]) -> _Connection | None:
    """The connection used last, unless the server has closed it or it is too old."""
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


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.idle_since = 0.0

    @property
    def alive(self) -> bool:
        return not (self._reader.at_eof() or self._reader.exception() or self._writer.is_closing())

    def close(self) -> None:
        self._writer.transport.abort()

    async def exchange(
        self, parts: SplitResult, headers: Mapping[str, str], body: bytes
    ) -> tuple[Reply, bool]:
        """The response, and whether the connection can be used again."""
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        host = parts.netloc.rpartition("@")[2]
        lines = [f"POST {target or '/'} HTTP/1.1", f"host: {host}", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join(lines)
        if head.count("\n") != len(lines) - 1:
            raise ValueError("a header or the URL holds a line break")
        self._writer.write(head.encode("latin-1") + b"\r\n\r\n" + body)
        await self._writer.drain()
        version, status, got = await self._head()
        while 100 <= status < 200:
            version, status, got = await self._head()
        encoding = got.get("transfer-encoding", "").lower()
        ended = False
        if status in (204, 304):
            data = b""
        elif "chunked" in encoding:
            data = await self._chunks()
        elif "content-length" in got:
            data = await self._reader.readexactly(_size(got["content-length"], 10))
        else:
            data, ended = await self._rest(), True
        # though we did not ask for it
        if got.get("content-encoding", "").lower() in ("gzip", "deflate"):
            data = _inflated(data)
        keep = got.get("connection", "" if version == "1.1" else "close").lower()
        return Reply(status, got, data), not ended and keep != "close"

    async def _head(self) -> tuple[str, int, dict[str, str]]:
        raw = await self._reader.readuntil(b"\r\n\r\n")
        first, *rest = raw[:-4].decode("latin-1").split("\r\n")
        protocol, _, code = first.partition(" ")
        if not protocol.startswith("HTTP/1."):
            raise ValueError(f"it starts with {first[:40]!r}")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)
        }
        return protocol[5:], int(code[:3]), headers

    async def _chunks(self) -> bytes:
        data = bytearray()
        while True:
            size = _size((await self._reader.readuntil(b"\r\n")).split(b";")[0].decode("latin-1"), 16)
            if size == 0:
                break
            if len(data) + size > MAX_ANSWER_BYTES:
                raise ConnectionError(f"the response is longer than {MAX_ANSWER_BYTES} bytes")
            data += await self._reader.readexactly(size)
            if await self._reader.readexactly(2) != b"\r\n":
                raise ValueError("a chunk is longer than it says")
        # trailers
        while await self._reader.readuntil(b"\r\n") != b"\r\n":
            pass
        return bytes(data)

    async def _rest(self) -> bytes:
        """All until the server ends the connection: HTTP's oldest way, still in use."""
        data = bytearray()
        while chunk := await self._reader.read(65536):
            data += chunk
            if len(data) > MAX_ANSWER_BYTES:
                raise ConnectionError(f"the response is longer than {MAX_ANSWER_BYTES} bytes")
        return bytes(data)


def _size(text: str, base: int) -> int:
    size = int(text.strip(), base)
    if not 0 <= size <= MAX_ANSWER_BYTES:
        raise ConnectionError(f"a response of {size} bytes; the most is {MAX_ANSWER_BYTES}")
    return size


def _inflated(data: bytes) -> bytes:
    # gzip or zlib, by its header
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    whole = inflater.decompress(data, MAX_ANSWER_BYTES)
    if inflater.unconsumed_tail:
        raise ConnectionError(f"the response is longer than {MAX_ANSWER_BYTES} bytes")
    return whole


class Httpx:
    """The exchange over httpx2, imported with the first request: proxies, and whatever else it can do."""

    def __init__(self) -> None:
        self._client: asyncio.Task[Any] | None = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        import httpx2

        if self._client is None:
            # made once for all who ask meanwhile, and on a thread: reading certificates takes 30 ms
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
    """Direct, but httpx2 for addresses that the environment sends through a proxy (HTTPS_PROXY and its kin)."""

    def __init__(self) -> None:
        self._ways: dict[str, Transport] = {}
        self._by_origin: dict[str, str] = {}

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        origin = url[: url.find("/", 8)]
        way = self._by_origin.get(origin)
        if way is None:
            way = self._by_origin[origin] = "httpx2" if _proxied(url) else "direct"
        return await self.way(way).post(url, headers, body, timeout_s)

    def way(self, name: str) -> Transport:
        """The transport of that name, made when first needed."""
        if name not in self._ways:
            self._ways[name] = TRANSPORTS[name]()
        return self._ways[name]

    async def aclose(self) -> None:
        for way in self._ways.values():
            await way.aclose()


def _proxied(url: str) -> bool:
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    proxies = getproxies()
    return bool((proxies.get(parts.scheme) or proxies.get("all")) and not proxy_bypass(parts.hostname or ""))


TRANSPORTS: dict[str, type[Direct] | type[Httpx] | type[AutoTransport]] = {
    "auto": AutoTransport,
    "direct": Direct,
    "httpx2": Httpx,
}

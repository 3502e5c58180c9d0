"""HTTP/1.1 on one connection, with asyncio's streams."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from urllib.parse import SplitResult

from graders.endpoints.contract import Reply

#: Bytes of a response. A verdict is small; a larger response is an error.
MAX_ANSWER_BYTES = 16 * 1024 * 1024
MAX_HEAD_BYTES = 64 * 1024


class Connection:
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
        # some servers compress although the request did not ask for it
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
        """The body up to the end of the connection, HTTP's oldest framing, still in use."""
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

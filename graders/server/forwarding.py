"""Forwards requests to another server and passes its response back, also as a stream."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from starlette.responses import StreamingResponse

from graders.evals.logs import StreamedAnswer
from graders.jsontext import loads
from graders.server.errors import ApiError
from graders.server.request import ClientGone

if TYPE_CHECKING:
    import httpx2

CONNECT_S = 10.0
#: Bytes of a response that can be logged; a longer one is only passed on.
KEPT_BYTES = 16 * 1024**2
#: Response headers that clients use, which are passed on.
PASSED = re.compile(r"content-type|retry-after(-ms)?|x-should-retry|x-ratelimit-.*|openai-(model|version)")
#: Stores a completion.
Keep: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[None]]


def http_client() -> httpx2.AsyncClient:
    """An HTTP client without a time-out for responses."""
    import httpx2

    return httpx2.AsyncClient(timeout=httpx2.Timeout(None, connect=CONNECT_S))


async def sent(client: httpx2.AsyncClient, outgoing: httpx2.Request, model: str) -> httpx2.Response:
    """Send a request and wait for the headers of its response.

    Raises:
        ApiError: 502, the model's server cannot be reached.
    """
    import httpx2

    try:
        return await client.send(outgoing, stream=True)
    except httpx2.HTTPError as error:
        text = f"The server of model {model[:80]!r} gave no answer: {error or type(error).__name__}."
        raise ApiError(502, text, type="server_error", code="model_unreachable") from None


def passed_on(answer: httpx2.Response, kind: str, keep: Keep | None) -> StreamingResponse:
    """The client's response, streamed from another server's.

    Args:
        kind: "chat" or "responses".
        keep: Called with the complete completion.
    """
    headers = {name: value for name, value in answer.headers.items() if PASSED.fullmatch(name)}
    kept = keep if answer.status_code == 200 else None
    return StreamingResponse(_parts(answer, kind, kept), answer.status_code, headers)


async def _parts(answer: httpx2.Response, kind: str, keep: Keep | None) -> AsyncIterator[bytes]:
    """The response's bytes as they arrive. A complete one is stored before its last bytes are sent."""
    import httpx2

    streamed = StreamedAnswer(kind) if "event-stream" in answer.headers.get("content-type", "") else None
    whole = bytearray()
    try:
        async for part in answer.aiter_bytes():
            if keep is not None and streamed is not None and streamed.n_bytes <= KEPT_BYTES:
                streamed.feed(part)
                # clients leave at the event that ends a stream and may then read the stored completion, so store it now
                if streamed.ended:
                    await _kept(keep, streamed.whole())
                    keep = None
            elif keep is not None and streamed is None:
                whole += part
                if len(whole) <= KEPT_BYTES:
                    continue
                # too long to be stored: pass on what was held back
                part, keep = bytes(whole), None
                whole.clear()
            yield part
        if keep is not None:
            await _kept(keep, streamed.whole() if streamed is not None else _object(bytes(whole)))
        if whole:
            yield bytes(whole)
    except httpx2.HTTPError:
        # the model's server broke off within its response, so this response breaks off too
        raise ClientGone from None
    finally:
        await answer.aclose()


async def _kept(keep: Keep, found: dict[str, Any] | None) -> None:
    if found is not None:
        await keep(found)


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        value = loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None

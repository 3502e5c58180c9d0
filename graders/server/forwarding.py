"""Requests that another server answers: sent on, and the answer passed back as it comes, also as a stream."""

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
KEPT_BYTES = 16 * 1024**2  # of an answer that is kept; a longer one is only passed on
#: Headers of the model's server that its clients act on.
PASSED = re.compile(r"content-type|retry-after(-ms)?|x-should-retry|x-ratelimit-.*|openai-(model|version)")
#: Keeps an answer that the client wants to be kept.
Keep: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[None]]


def http_client() -> httpx2.AsyncClient:
    """A client without a time limit for answers."""
    import httpx2

    return httpx2.AsyncClient(timeout=httpx2.Timeout(None, connect=CONNECT_S))


async def sent(client: httpx2.AsyncClient, outgoing: httpx2.Request, model: str) -> httpx2.Response:
    """The answer, of which the headers have come.

    Raises:
        ApiError: 502, the server of this model cannot be asked.
    """
    import httpx2

    try:
        return await client.send(outgoing, stream=True)
    except httpx2.HTTPError as error:
        text = f"The server of model {model[:80]!r} gave no answer: {error or type(error).__name__}."
        raise ApiError(502, text, type="server_error", code="model_unreachable") from None


def passed_on(answer: httpx2.Response, kind: str, keep: Keep | None) -> StreamingResponse:
    """The response that another server gives.

    Args:
        kind: "chat" or "responses".
        keep: Gets the completion when all of it has come.
    """
    headers = {name: value for name, value in answer.headers.items() if PASSED.fullmatch(name)}
    kept = keep if answer.status_code == 200 else None
    return StreamingResponse(_parts(answer, kind, kept), answer.status_code, headers)


async def _parts(answer: httpx2.Response, kind: str, keep: Keep | None) -> AsyncIterator[bytes]:
    """The answer's bytes as they come; what has come to its end is kept before the last of them is sent on."""
    import httpx2

    streamed = StreamedAnswer(kind) if "event-stream" in answer.headers.get("content-type", "") else None
    whole = bytearray()
    try:
        async for part in answer.aiter_bytes():
            if keep is not None and streamed is not None and streamed.n_bytes <= KEPT_BYTES:
                streamed.feed(part)
                # clients leave with the event that ends a stream, and ask for what was kept: the connection may go on
                if streamed.ended:
                    await _kept(keep, streamed.whole())
                    keep = None
            elif keep is not None and streamed is None:
                whole += part
                if len(whole) <= KEPT_BYTES:
                    continue
                # too long to be kept: what was held back goes on
                part, keep = bytes(whole), None
                whole.clear()
            yield part
        if keep is not None:
            await _kept(keep, streamed.whole() if streamed is not None else _object(bytes(whole)))
        if whole:
            yield bytes(whole)
    except httpx2.HTTPError:
        # the model's server broke off within its answer: so does this one
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

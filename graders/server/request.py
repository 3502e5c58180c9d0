"""Reads requests: the bounded body, its JSON, its parameters."""

from __future__ import annotations

import asyncio
import codecs
import time
from collections.abc import Awaitable, Mapping
from random import getrandbits
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.types import Message, Scope

from graders.jsontext import has_more_values, loads
from graders.server.errors import ApiError, overloaded
from graders.server.limits import BodyBudget, Limits
from graders.spec.wording import missing, wrong_type
from graders.suggest import did_you_mean

T = TypeVar("T")

JSON = "application/json"
NDJSON = "application/x-ndjson"
#: The key of the Call in the ASGI scope.
CALL = "graders.call"
#: Bytes of a body that is too large which are read and discarded, so that the client reads the response.
DISCARD_BYTES = 256 * 1024**2
#: Seconds by which a row's deadline precedes the client's time-out, so that the client gets the row's flag.
MARGIN_S = 2.0
#: The official clients' own time-outs, in seconds.
TIMEOUT_HEADERS = (b"x-stainless-read-timeout", b"x-stainless-timeout")


class ClientGone(Exception):
    """Raised when the client closed the connection before its response; nothing is sent."""


class Call:
    """One request: the fields for the access log, and the resources to release after it.

    Attributes:
        id: The x-request-id.
        headers: The request's headers, names in lower case; of a repeated name the last.
        two_hosts: Whether there are several Host headers, of which a proxy may have used another one.
        started: time.perf_counter().
        deadline: time.monotonic() after which the client no longer waits.
        body_bytes: Bytes of its body that count against the buffer budget.
        streamed_bytes: Bytes of its body that were written to disk.
        route: The endpoint's name, "none" without one.
        type, flags, n_rows: Type of the grader, flags and number of its rows.
    """

    __slots__ = (
        "body_bytes",
        "deadline",
        "flags",
        "headers",
        "id",
        "n_rows",
        "route",
        "started",
        "streamed_bytes",
        "two_hosts",
        "type",
    )

    def __init__(self, scope: Scope, timeout_s: float) -> None:
        # ids must be unique, not secret
        self.id = f"req_{getrandbits(128):032x}"
        headers = scope["headers"]
        self.headers: dict[bytes, bytes] = dict(headers)
        self.two_hosts = len(self.headers) < len(headers) and [name for name, _ in headers].count(b"host") > 1
        self.started = time.perf_counter()
        self.deadline = time.monotonic() + _timeout_s(self.headers, timeout_s)
        self.body_bytes = 0
        self.streamed_bytes = 0
        self.route = "none"
        self.type = ""
        self.flags: tuple[str, ...] = ()
        self.n_rows = 0


def _timeout_s(headers: Mapping[bytes, bytes], most: float) -> float:
    for name in TIMEOUT_HEADERS:
        if name in headers:
            try:
                wanted = float(headers[name])
            except ValueError:
                continue
            if wanted > 0:
                return min(most, wanted - min(MARGIN_S, wanted / 5))
    return most


def require_media_type(call: Call, *allowed: str) -> str:
    """The content type, one of those allowed.

    Raises:
        ApiError: 415. Browsers send other content types for foreign pages without a preflight request.
    """
    found = call.headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    if found not in allowed:
        wanted = " or ".join(f"'{media_type}'" for media_type in allowed)
        message = f"Unsupported content type: expected {wanted}, but got '{found[:80]}'."
        raise ApiError(415, message, code="unsupported_content_type")
    if call.headers.get(b"content-encoding", b"identity") != b"identity":
        raise ApiError(
            415, "Compressed request bodies are not supported; send it as it is.", code="unsupported_encoding"
        )
    return found


async def read_body(request: Request, limits: Limits, buffered: BodyBudget) -> bytes:
    """The complete body.

    Raises:
        ApiError: 413 it is too large, 408 it does not arrive, 429 too much is in memory.
        ClientGone: the client left.
    """
    # bounded together with the headers, since a timer for each request would cost a tenth of it
    message = await request.receive()
    if not message.get("more_body", False):
        return await _part(request, message, limits, buffered)
    parts = [await _part(request, message, limits, buffered)]
    try:
        async with asyncio.timeout(limits.body_s):
            while message.get("more_body", False):
                message = await request.receive()
                parts.append(await _part(request, message, limits, buffered))
    except TimeoutError:
        text = f"The request's body did not arrive within {limits.body_s:g} s."
        raise ApiError(408, text, code="request_timeout", headers={"connection": "close"}) from None
    return b"".join(parts)


async def _part(request: Request, message: Message, limits: Limits, buffered: BodyBudget) -> bytes:
    """One part of the body, counted against the budget."""
    call: Call = request.scope[CALL]
    if message["type"] == "http.disconnect":
        raise ClientGone
    part: bytes = message.get("body", b"")
    if call.body_bytes + len(part) > limits.body_bytes:
        raise await _too_large(request, message, limits)
    if not buffered.add(len(part)):
        await discard(request, message)
        raise overloaded("the bodies under way fill the memory set aside for them")
    call.body_bytes += len(part)
    return part


async def _too_large(request: Request, message: Message, limits: Limits) -> ApiError:
    complete = await discard(request, message)
    text = f"The request's body is too large: the limit is {limits.body_bytes} bytes."
    headers = {} if complete else {"connection": "close"}
    return ApiError(413, text, code="request_too_large", headers=headers)


async def discard(request: Request, message: Message) -> bool:
    """Read and discard the body, so that the client stops writing and reads the response; returns whether all came."""
    n_bytes = 0
    while message.get("more_body", False) and n_bytes < DISCARD_BYTES:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        n_bytes += len(message.get("body", b""))
    return not message.get("more_body", False)


def read_json(body: bytes, limits: Limits) -> Any:
    """The body's JSON.

    Raises:
        ApiError: 400 it is not JSON, 413 it has too many values.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    if has_more_values(body, limits.json_values):
        text = (
            f"The request's JSON has more than {limits.json_values} values. Send fewer rows at once, or as NDJSON, "
            "where the limit is for each line."
        )
        raise ApiError(413, text, code="too_many_values")
    try:
        return loads(body)
    except ValueError as error:
        text = f"We could not parse the JSON body of your request: {error}."
        raise ApiError(400, text, code="invalid_json") from None


def parameters(body: Any, known: tuple[str, ...], required: tuple[str, ...]) -> dict[str, Any]:
    """The request's JSON object, checked for unknown and missing parameters.

    Raises:
        ApiError: 400, in the service's words.
    """
    if not isinstance(body, dict):
        raise ApiError(400, wrong_type("body", "an object", body), code="invalid_type")
    for name in required:
        if name not in body:
            raise ApiError(400, missing(name), param=name, code="missing_required_parameter")
    for name in body:
        if name not in known:
            hint = did_you_mean(name, known)
            text = f"Unknown parameter: '{name[:80]}'. {hint}".rstrip()
            raise ApiError(400, text, param=name[:80], code="unknown_parameter")
    return body


def typed(body: Mapping[str, Any], name: str, types: type | tuple[type, ...], wanted: str) -> Any:
    """One parameter, checked for its type; None when it is absent.

    Raises:
        ApiError: 400, it has another type.
    """
    value = body.get(name)
    if name in body and not isinstance(value, types):
        raise ApiError(400, wrong_type(name, wanted, value), param=name, code="invalid_type")
    return value


async def cancelled_with_client(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled if the client leaves.

    Raises:
        ClientGone: the client left.
    """
    task = asyncio.ensure_future(work)
    # the body has been read, so the next message is the disconnection
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        gone.cancel()
        task.cancel()

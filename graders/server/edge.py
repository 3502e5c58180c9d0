"""The application: what holds for every request, and which endpoint answers it.

Who may ask, ids and times, the access log, and that there is an answer whatever happens. Paths here have no parameters,
so that one look into a dict finds an endpoint; starlette's router would cost a third of what it takes to grade.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, BinaryIO, TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Router
from starlette.types import Lifespan, Message, Receive, Scope, Send

from graders.jsontext import dumps
from graders.server.errors import ApiError, overloaded
from graders.server.limits import Buffered, Limits
from graders.server.metrics import Metrics
from graders.server.request import CALL, Call, ClientGone

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

error_log = logging.getLogger("graders.server")

#: What may be looked at without the token: whether the server lives, and what holds nothing of anybody's.
OPEN = frozenset({"/", "/healthz", "/readyz", "/openapi.json"})
#: What is answered however much is under way.
ALWAYS = OPEN | {"/metrics", "/state"}
#: Host headers of a server that wants no token. A page of a stranger whose name was made to point here has another.
LOOPBACK = frozenset({b"localhost", b"127.0.0.1", b"[::1]"})
LOG_EVERY_S = 0.1  # a line waits at most this long
CLIENT_LEFT = 499  # what logs and metrics call it; never sent


class AccessLog:
    """A line of JSON for each request, written some at a time: a write for each would cost more than a grade.

    Used on one event loop.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lines: list[bytes] = []

    def add(self, fields: dict[str, Any]) -> None:
        if not self._lines:
            asyncio.get_running_loop().call_later(LOG_EVERY_S, self.flush)
        self._lines.append(dumps(fields))

    def flush(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            try:
                self._file.write(b"\n".join((*lines, b"")))
                self._file.flush()
            except OSError:  # whoever read it has gone: grading goes on without a log
                return


class Application:
    """An ASGI application. Nothing that a request holds, and no key, goes into a log."""

    def __init__(
        self,
        routes: Mapping[str, Mapping[str, Endpoint]],
        *,
        token: str | None,
        limits: Limits,
        buffered: Buffered,
        metrics: Metrics,
        log: AccessLog | None,
        lifespan: Lifespan[Any],
    ) -> None:
        """
        Args:
            routes: path -> method -> endpoint.
        """
        self._routes = routes
        self._token = token.encode() if token else None
        self._limits = limits
        self._buffered = buffered
        self._metrics = metrics
        self._log = log
        self._others = Router(lifespan=lifespan)  # for what is not HTTP
        self.under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._others(scope, receive, send)
            return
        call = scope[CALL] = Call(scope, self._limits.timeout_s)
        status, n_bytes = 0, 0

        async def answer(message: Message) -> None:
            nonlocal status, n_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
                ms = (time.perf_counter() - call.started) * 1000
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", call.id.encode()),
                    (b"openai-processing-ms", b"%d" % ms),
                ]
            else:
                n_bytes += len(message.get("body", b""))
            await send(message)

        self.under_way += 1
        try:
            try:
                response = await self._endpoint(scope, call)(Request(scope, receive))
            except ApiError as error:
                response = error.response()
            await response(scope, receive, answer)
        except ClientGone:
            status = status or CLIENT_LEFT
        except BaseException as error:  # cancelled while the server stops, or a bug
            explained = _explain(error, call)
            if not status:
                await explained.response()(scope, receive, answer)
        finally:
            self.under_way -= 1
            self._buffered.drop(call.body_bytes)
            self._note(scope["method"], call, status, n_bytes)

    def _endpoint(self, scope: Scope, call: Call) -> Endpoint:
        """Who answers this request.

        Raises:
            ApiError: nobody.
        """
        path, method = scope["path"], scope["method"]
        if refusal := self._refusal(path, call):
            raise refusal
        methods = self._routes.get(path)
        if methods is None:
            raise ApiError(404, f"Invalid URL ({method} {path})", code="unknown_url")
        endpoint = methods.get(method)
        if endpoint is None:
            allowed = ", ".join(methods)
            text = f"Not allowed to {method} on {path}; it takes {allowed}."
            raise ApiError(405, text, code="method_not_supported", headers={"allow": allowed})
        call.route = endpoint.__name__
        return endpoint

    def _refusal(self, path: str, call: Call) -> ApiError | None:
        """Why this request is not looked at further; None when it is."""
        if self.under_way > self._limits.requests and path not in ALWAYS:
            self._metrics.refused["requests"] += 1
            return overloaded(f"{self._limits.requests} are under way")
        if self._token is None:
            return _strange_host(call)
        return None if path in OPEN else _unknown_key(call, self._token)

    def _note(self, method: str, call: Call, status: int, n_bytes: int) -> None:
        seconds = time.perf_counter() - call.started
        self._metrics.request(call.route, status, seconds)
        if self._log is not None:
            fields: dict[str, Any] = {
                "time": round(time.time(), 3),
                "request_id": call.id,
                "method": method,
                "route": call.route,
                "status": status,
                "ms": round(seconds * 1000, 3),
                "bytes_in": call.body_bytes,
                "bytes_out": n_bytes,
            }
            if call.type:
                fields["type"] = call.type
                fields["rows"] = call.n_rows
                if call.flags:
                    fields["flags"] = call.flags
            self._log.add(fields)


def _explain(error: BaseException, call: Call) -> ApiError:
    """The answer when something is wrong with us. A bug is logged without its message, which may quote the request."""
    if not isinstance(error, Exception):
        text = "The server is shutting down."
        return ApiError(503, text, type="server_error", code="shutting_down", headers={"connection": "close"})
    frames = [
        f"{os.path.basename(frame.filename)}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    error_log.error("%s", _line({"request_id": call.id, "error": type(error).__name__, "at": frames}))
    text = f"The server had an error while processing your request. Its log has it under {call.id}."
    return ApiError(500, text, type="server_error", code="internal_error")


def _line(fields: dict[str, Any]) -> str:
    return dumps(fields).decode()


def _unknown_key(call: Call, token: bytes) -> ApiError | None:
    """Whether neither `Authorization: Bearer` nor `api-key` carries the token; compared in constant time."""
    scheme, _, bearer = call.headers.get(b"authorization", b"").partition(b" ")
    keys = [call.headers.get(b"api-key", b""), bearer if scheme.lower() == b"bearer" else b""]
    if any(hmac.compare_digest(key.strip(), token) for key in keys):
        return None
    found = any(key.strip() for key in keys)
    text = (
        "Incorrect API key provided. It is the token that the server was started with."
        if found
        else "You didn't provide an API key: send it as 'Authorization: Bearer KEY' or in an 'api-key' header."
    )
    code = "invalid_api_key" if found else None
    return ApiError(401, text, code=code, headers={"www-authenticate": "Bearer"})


def _strange_host(call: Call) -> ApiError | None:
    """Whether the request names us as a stranger would."""
    name = call.headers.get(b"host", b"")
    host = name if name.endswith(b"]") else name.rpartition(b":")[0] or name
    if host.lower() in LOOPBACK:
        return None
    text = (
        "Without a token this server answers on loopback names only (localhost, 127.0.0.1, [::1]). Start it with "
        "--token, or GRADERS_TOKEN, to reach it by another name."
    )
    return ApiError(403, text, code="unknown_host")

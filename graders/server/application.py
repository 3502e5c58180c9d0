"""The ASGI application: routing, and the handling that all requests share.

It checks access, assigns ids, measures times, writes the access log, and turns every exception into a response.
"""

from __future__ import annotations

import logging
import os
import time
import traceback
from typing import Any

from starlette.requests import Request
from starlette.routing import Router as Lifecycle
from starlette.types import Lifespan, Message, Receive, Scope, Send

from graders.jsontext import dumps
from graders.server.access import AccessRules, is_open
from graders.server.errors import ApiError, overloaded
from graders.server.log import AccessLog
from graders.server.request import CALL, Call, ClientGone
from graders.server.routing import Endpoint
from graders.server.service import Service

error_log = logging.getLogger("graders.server")

#: Paths that are answered under overload too, like those without a token.
ALWAYS = frozenset({"/metrics", "/state"})
#: The status in logs and metrics for a client that left; never sent.
CLIENT_LEFT = 499


class Application:
    """The ASGI application. Contents of requests and keys are never logged."""

    def __init__(
        self, service: Service, *, token: str | None, log: AccessLog | None, lifespan: Lifespan[Any]
    ) -> None:
        self._service = service
        self._router = service.router
        self._access = AccessRules(token)
        self._log = log
        # for lifespan events and other scopes than HTTP
        self._others = Lifecycle(lifespan=lifespan)
        self.under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._others(scope, receive, send)
            return
        call = scope[CALL] = Call(scope, self._service.limits.timeout_s)
        status, n_bytes = 0, 0

        async def answer(message: Message) -> None:
            nonlocal status, n_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
                ms = (time.perf_counter() - call.started) * 1000
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", call.id.encode()),
                    (b"x-content-type-options", b"nosniff"),
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
        except BaseException as error:
            # a cancellation at shutdown, or a bug
            explained = _explain(error, call)
            if not status:
                await explained.response()(scope, receive, answer)
        finally:
            self.under_way -= 1
            self._service.buffered.drop(call.body_bytes)
            self._note(scope["method"], call, status, n_bytes)

    def _endpoint(self, scope: Scope, call: Call) -> Endpoint:
        """The endpoint for this request.

        Raises:
            ApiError: access is refused, the server is overloaded, or there is no endpoint.
        """
        path, method = scope["path"], scope["method"]
        most = self._service.limits.requests
        if self.under_way > most and path not in ALWAYS and not is_open(path):
            raise self._service.refused("requests", f"{most} are under way")
        if refusal := self._access.refusal(method, path, call):
            raise refusal
        found = self._router.find(path)
        if found is None:
            raise ApiError(404, f"Invalid URL ({method} {path})", code="unknown_url")
        endpoint = found.methods.get(method)
        if endpoint is None:
            allowed = ", ".join(found.methods)
            text = f"Not allowed to {method} on {path}; it takes {allowed}."
            raise ApiError(405, text, code="method_not_supported", headers={"allow": allowed})
        scope["path_params"] = found.parameters
        call.route = endpoint.__name__
        return endpoint

    def _note(self, method: str, call: Call, status: int, n_bytes: int) -> None:
        seconds = time.perf_counter() - call.started
        self._service.metrics.request(call.route, status, seconds)
        if self._log is not None:
            fields: dict[str, Any] = {
                "time": round(time.time(), 3),
                "request_id": call.id,
                "method": method,
                "route": call.route,
                "status": status,
                "ms": round(seconds * 1000, 3),
                "bytes_in": call.body_bytes + call.streamed_bytes,
                "bytes_out": n_bytes,
            }
            if call.type:
                fields["type"] = call.type
                fields["rows"] = call.n_rows
                if call.flags:
                    fields["flags"] = call.flags
            self._log.add(fields)


def _explain(error: BaseException, call: Call) -> ApiError:
    """The response to an internal error. A bug is logged without its message, which may quote the request."""
    if not isinstance(error, Exception):
        text = "The server is shutting down."
        return ApiError(503, text, type="server_error", code="shutting_down", headers={"connection": "close"})
    if isinstance(error, MemoryError):
        return overloaded("the server is short of memory")
    frames = [
        f"{os.path.basename(frame.filename)}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    error_log.error("%s", _line({"request_id": call.id, "error": type(error).__name__, "at": frames}))
    text = f"The server had an error while processing your request. Its log has it under {call.id}."
    return ApiError(500, text, type="server_error", code="internal_error")


def _line(fields: dict[str, Any]) -> str:
    return dumps(fields).decode()

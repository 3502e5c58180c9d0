"""The service's error body, and the statuses it comes with.

The official clients retry 408, 409, 429 and 5xx. So those are left to what a retry can mend: 408 a request that did not
arrive in time, 429 too much under way, 503 the server is going down. Everything else is a 4xx that stays what it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from graders.errors import SpecError
from graders.jsontext import dumps

RETRY_AFTER_S = 1  # overload passes as fast as rows end; the clients add their own back-off


class ApiError(Exception):
    """A request that gets no result.

    Attributes:
        status: Of the response.
        message, type, param, code: The fields of the service's `error` object.
        headers: Beside the usual ones.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        type: str = "invalid_request_error",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """The service's error body."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return dumps({"error": error})

    def response(self) -> Response:
        return Response(self.body(), self.status, self.headers, "application/json")


class Json(Response):
    """A JSON response."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return dumps(content)

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """The two that every result has, without the general way's work."""
        length = b"%d" % len(self.body)
        self.raw_headers = [(b"content-length", length), (b"content-type", b"application/json")]


def unknown_model(name: str) -> ApiError:
    """404, in the service's words."""
    text = f"The model '{name[:80]}' does not exist or you do not have access to it."
    return ApiError(404, text, param="model", code="model_not_found")


def overloaded(what: str) -> ApiError:
    """429, which says that a retry helps."""
    return ApiError(
        429,
        f"Too many requests: {what}. Try again later.",
        type="requests",
        code="rate_limit_exceeded",
        headers={"retry-after": str(RETRY_AFTER_S)},
    )


def invalid_spec(error: SpecError) -> ApiError:
    """400 with every problem of the spec in the message; `param` and `code` are the first's.

    Messages name places within the grader, as the service's do; `param` is the place in the request.
    """
    errors = [problem for problem in error.problems if problem.severity == "error"] or list(error.problems)
    first = errors[0]
    at = first.path if first.path.startswith("[") or not first.path else f".{first.path}"
    lines = [f"{problem.message} {problem.suggestion}".rstrip() for problem in errors]
    return ApiError(400, "\n".join(lines), param=f"grader{at}", code=first.code)

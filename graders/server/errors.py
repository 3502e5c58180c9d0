"""The service's error body and its statuses.

The official clients retry 408, 409, 429 and 5xx. So these are used only where a retry helps: 408 for a request that did
not arrive in time, 429 for overload, 503 during shutdown. Every other refusal is a 4xx that clients do not retry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from graders.errors import SpecError
from graders.jsontext import dumps

#: Seconds until a retry. Overload ends as fast as rows are finished, and clients add their own back-off.
RETRY_AFTER_S = 1


class ApiError(Exception):
    """Raised for a request that gets an error response.

    Attributes:
        status: Status of the response.
        message, type, param, code: The fields of the service's `error` object.
        headers: Further headers.
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


class JsonResponse(Response):
    """A JSON response."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return dumps(content)

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Set the two headers that every result has, which is faster than starlette's general code."""
        length = b"%d" % len(self.body)
        self.raw_headers = [(b"content-length", length), (b"content-type", b"application/json")]


def unknown_model(name: str) -> ApiError:
    """404 in the service's words."""
    text = f"The model '{name[:80]}' does not exist or you do not have access to it."
    return ApiError(404, text, param="model", code="model_not_found")


def overloaded(what: str) -> ApiError:
    """429 with a Retry-After header."""
    return ApiError(
        429,
        f"Too many requests: {what}. Try again later.",
        type="requests",
        code="rate_limit_exceeded",
        headers={"retry-after": str(RETRY_AFTER_S)},
    )


def invalid_spec(error: SpecError) -> ApiError:
    """400 with every problem of the spec in the message, and the first one's `param` and `code`.

    Messages name paths within the grader, as the service's do; `param` is the path within the request.
    """
    errors = [problem for problem in error.problems if problem.severity == "error"] or list(error.problems)
    first = errors[0]
    at = first.path if first.path.startswith("[") or not first.path else f".{first.path}"
    lines = [f"{problem.message} {problem.suggestion}".rstrip() for problem in errors]
    return ApiError(400, "\n".join(lines), param=f"grader{at}", code=first.code)

"""Error responses: the message, the names in it, and the time to wait. Pure functions.

Servers have various structures for errors and spell one parameter in several ways, so names in a complaint are compared
without case and underscores.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from graders.endpoints.concurrency import duration, retry_after
from graders.endpoints.contract import Reply

#: Keys whose values quote the request or the model and do not describe the error.
_QUOTES = frozenset({"input", "ctx", "url", "failed_generation"})

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_QUOTED = re.compile(r"""["'`]([A-Za-z][A-Za-z0-9_.\[\]]*)["'`]""")
_WAIT = re.compile(
    r"(?:retry|try again)\s+(?:in|after)\s+((?:\d+(?:\.\d+)?\s*(?:ms|s|m|h|seconds?|minutes?|hours?)(?![a-z])\s*)+)",
    re.IGNORECASE,
)


def plain_name(name: str) -> str:
    """A name in the form for comparing: equal for `reasoning_effort`, `reasoningEffort` and `ReasoningEffort`."""
    return name.replace("_", "").lower()


@dataclass(frozen=True)
class Complaint:
    """An error response.

    Attributes:
        status: The HTTP status, or the one in the body of a 200.
        body: The body as text.
        headers: The headers, with lower-case names.
    """

    status: int
    body: str
    headers: Mapping[str, str]

    @cached_property
    def _json(self) -> Any:
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def field(self, name: str) -> str:
        """A text field of the error object, "" when it is absent. Some servers send a list of one error."""
        data = self._json[0] if isinstance(self._json, list) and self._json else self._json
        error = data.get("error", data) if isinstance(data, Mapping) else None
        value = error.get(name) if isinstance(error, Mapping) else error if name == "message" else None
        return value if isinstance(value, str) else ""

    @cached_property
    def text(self) -> str:
        """All texts of the error, without quotes of the request."""
        return self.body if self._json is None else "\n".join(_texts(self._json))

    @cached_property
    def names(self) -> frozenset[str]:
        """Every word that may be a parameter's name, as `plain_name`."""
        return frozenset(map(plain_name, _NAME.findall(self.text)))

    @cached_property
    def quoted(self) -> frozenset[str]:
        """The names in quotation marks, or in the error's own `param` and `loc`."""
        named = [*_QUOTED.findall(self.text), *_texts(self._json, only=("param", "loc"))]
        return frozenset(plain_name(part) for name in named for part in _NAME.findall(name))

    @cached_property
    def parameter(self) -> frozenset[str]:
        """The names in the error's `param`."""
        return frozenset(map(plain_name, _NAME.findall(self.field("param"))))

    def wait_s(self, now_wall: float) -> float:
        """Seconds to wait, from the headers or the body; 0.0 when unknown."""
        return retry_after(self.headers, now_wall) or self._wait_in_body()

    @property
    def says_when(self) -> bool:
        """Whether the server names a time for the next attempt, and so expects to answer then."""
        return bool({"retry-after", "retry-after-ms"} & self.headers.keys() or self._wait_in_body())

    def _wait_in_body(self) -> float:
        delays = [*_texts(self._json, only=("retryDelay",)), *_WAIT.findall(self.text)]
        return max(map(duration, delays), default=0.0)

    def __str__(self) -> str:
        """The status and the server's own message, short."""
        message, code = self.field("message") or self.body[:200], self.field("code")
        return (
            f"status {self.status}" + (f" {code}" if code else "") + (f": {message[:500]}" if message else "")
        )


def complaint_of(reply: Reply, status: int = 0) -> Complaint:
    """The error in a response. `status`: a status in the body that replaces the response's."""
    return Complaint(status or reply.status, reply.body.decode("utf-8", "replace"), reply.headers)


def _texts(value: Any, only: tuple[str, ...] = (), inside: bool = False) -> Iterator[str]:
    """Every text in a JSON value; with `only`, only texts below these keys."""
    inside = inside or not only
    if isinstance(value, str):
        if inside:
            yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in _QUOTES:
                yield from _texts(inner, only, inside or key in only)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, only, inside)

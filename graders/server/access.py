"""Access control: by token; without one, requests from this machine that no foreign web page sent."""

from __future__ import annotations

import hmac

from graders.server.errors import ApiError
from graders.server.request import Call
from graders.server.routing import is_page

#: Paths that need no token: health, readiness and the API's description. Pages need none either, see `is_open`.
OPEN = frozenset({"/healthz", "/readyz", "/openapi.json"})
#: Host headers accepted without a token. A foreign page whose domain resolves to this machine sends another one.
LOOPBACK = frozenset({b"localhost", b"127.0.0.1", b"[::1]"})
#: Methods without side effects.
SAFE = frozenset({"GET", "HEAD"})


def is_open(path: str) -> bool:
    """Whether a path needs no token."""
    return path in OPEN or is_page(path)


class AccessRules:
    """The access rules. A refusal has a reason that the sender can act on."""

    def __init__(self, token: str | None) -> None:
        self._token = token.encode() if token else None

    def refusal(self, method: str, path: str, call: Call) -> ApiError | None:
        """The error for a request without access; None when it has access."""
        if call.two_hosts:
            return ApiError(400, "The request has several Host headers; send one.", code="invalid_http")
        if self._token is not None:
            return None if is_open(path) else _unknown_key(call, self._token)
        return _foreign_host(call) or (None if method in SAFE else _foreign_origin(call))


def _unknown_key(call: Call, token: bytes) -> ApiError | None:
    """The error unless `Authorization: Bearer` or `api-key` holds the token, compared in constant time."""
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


def _foreign_host(call: Call) -> ApiError | None:
    """The error for a request whose Host header is not a loopback name."""
    name = call.headers.get(b"host", b"")
    host = name if name.endswith(b"]") else name.rpartition(b":")[0] or name
    if host.lower() in LOOPBACK:
        return None
    text = (
        "Without a token this server answers on loopback names only (localhost, 127.0.0.1, [::1]). Start it with "
        "--token, or GRADERS_TOKEN, to reach it by another name."
    )
    return ApiError(403, text, code="unknown_host")


def _foreign_origin(call: Call) -> ApiError | None:
    """The error for a request that a browser sends for a foreign page.

    Browsers send uploads and requests without a body without a preflight request, so they have to be refused here.
    """
    origin = call.headers.get(b"origin")
    if origin is None or origin.partition(b"://")[2] == call.headers.get(b"host"):
        return None
    text = (
        f"A page of {origin.decode('latin-1')[:80]!r} may not use this server: it was started without a token. "
        "Start it with --token, or GRADERS_TOKEN, and send that as API key."
    )
    return ApiError(403, text, code="unknown_origin")

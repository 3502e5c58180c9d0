"""Who may ask: holders of the token, or without one whoever is on this machine and is no page of a stranger."""

from __future__ import annotations

import hmac

from graders.server.errors import ApiError
from graders.server.request import Call
from graders.server.routing import is_page

#: Answered without the token: whether the server lives, and what it takes. Pages are too: see `is_open`.
OPEN = frozenset({"/healthz", "/readyz", "/openapi.json"})
#: Host headers of a server that wants no token. A page of a stranger whose name was made to point here has another.
LOOPBACK = frozenset({b"localhost", b"127.0.0.1", b"[::1]"})
#: Methods that change nothing.
SAFE = frozenset({"GET", "HEAD"})


def is_open(path: str) -> bool:
    """Whether a path is answered without the token."""
    return path in OPEN or is_page(path)


class Access:
    """Refuses requests, each with a reason that its sender can act on."""

    def __init__(self, token: str | None) -> None:
        self._token = token.encode() if token else None

    def refusal(self, method: str, path: str, call: Call) -> ApiError | None:
        """Why this request is not answered; None when it is."""
        if call.two_hosts:
            return ApiError(400, "The request has several Host headers; send one.", code="invalid_http")
        if self._token is not None:
            return None if is_open(path) else _unknown_key(call, self._token)
        return _strange_host(call) or (None if method in SAFE else _strange_origin(call))


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
    """Whether the request names this server as a stranger would."""
    name = call.headers.get(b"host", b"")
    host = name if name.endswith(b"]") else name.rpartition(b":")[0] or name
    if host.lower() in LOOPBACK:
        return None
    text = (
        "Without a token this server answers on loopback names only (localhost, 127.0.0.1, [::1]). Start it with "
        "--token, or GRADERS_TOKEN, to reach it by another name."
    )
    return ApiError(403, text, code="unknown_host")


def _strange_origin(call: Call) -> ApiError | None:
    """Whether a browser sends the request for a page that is not this server's.

    Uploads and requests without a body go out without the browser asking first, so the answer has to be a refusal.
    """
    origin = call.headers.get(b"origin")
    if origin is None or origin.partition(b"://")[2] == call.headers.get(b"host"):
        return None
    text = (
        f"A page of {origin.decode('latin-1')[:80]!r} may not use this server: it was started without a token. "
        "Start it with --token, or GRADERS_TOKEN, and send that as API key."
    )
    return ApiError(403, text, code="unknown_origin")

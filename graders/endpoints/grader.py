"""A client for graders behind addresses of their own: POST {"sample", "item"}, answered by {"score": number}.

A spec may name any address, and the request contains the row with its reference answer. So requests are sent only to
hosts that have a table in the configuration:

    [endpoint_graders."grader.example.com"]
    headers_env = { authorization = "MY_GRADER_TOKEN" }     # header -> the variable that holds its value
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from graders.ask import EndpointAsk, EndpointReply
from graders.config.config import Config
from graders.config.keys import ENDPOINT_GRADER_KEYS
from graders.config.route import Route
from graders.endpoints.call import EndpointCall
from graders.endpoints.complaint import Complaint
from graders.endpoints.contract import Reply, Transport
from graders.endpoints.endpoint import Endpoint, Endpoints, Timing
from graders.errors import EndpointNotAllowed, EndpointParseError, EndpointServerError, GradeError
from graders.usage import NO_USAGE, Usage

#: Statuses after which a retry may help, as after 5xx.
_PASSING = (408, 409, 425, 429)


class EndpointGraders:
    """Scores rows by graders behind addresses. Used on one event loop."""

    def __init__(
        self, config: Config, *, transport: Transport | None = None, timing: Timing | None = None
    ) -> None:
        """`config`: its table [endpoint_graders] has the allowed hosts and their settings."""
        self._config = config
        # no budget, which is for judges
        self._endpoints = Endpoints(Config(), transport=transport, max_calls=0, max_cost=0.0, timing=timing)

    async def answer(self, ask: EndpointAsk, *, deadline: float | None = None) -> EndpointReply:
        """The score of one row.

        Args:
            deadline: time.monotonic() seconds after which the answer is no longer needed.

        Raises:
            EndpointNotAllowed: the configuration does not name the address's host.
            EndpointServerError: the endpoint could not be asked: network, time-out, status.
            EndpointParseError: it answered, but not with a score.
        """
        endpoint = self._endpoint(ask)
        ends = endpoint.timing.clock() + endpoint.route.timeout_s
        call = ScoreCall(endpoint, ask, ends if deadline is None else min(deadline, ends))
        try:
            return await call.answer()
        except (EndpointParseError, EndpointServerError):
            raise
        except GradeError as error:
            # the shared code's errors are about models
            failure = EndpointServerError(str(error))
            raise failure.replace(
                usage=None, provenance=error.provenance, seconds=error.seconds
            ) from error.__cause__

    def _endpoint(self, ask: EndpointAsk) -> Endpoint:
        host = _host_of(ask.url)
        table = self._config.table("endpoint_graders").get(host)
        if table is None:
            raise EndpointNotAllowed(
                f"the grader's address {ask.url!r} is not asked: the configuration does not allow its host. If rows "
                f'may go there, add [endpoint_graders."{host}"] to graders.toml'
            )
        settings = {**ENDPOINT_GRADER_KEYS, **table}
        secrets = settings.pop("headers_env")
        limits = [settings.pop("requests_per_minute"), ask.requests_per_minute]
        headers = {**ask.headers, **{name: _secret(variable, host) for name, variable in secrets.items()}}
        route = Route(
            ask.url,
            base_url=ask.url,
            api_key_env="",
            headers=headers,
            requests_per_minute=min(filter(None, limits), default=0),
            **settings,
        )
        return self._endpoints.at(ask.url, route)

    async def aclose(self) -> None:
        """Close connections; the client may be used again after."""
        await self._endpoints.aclose()


def _host_of(url: str) -> str:
    """The host of an address, with its port if it has one; "" where two parsers might disagree."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    # with a user in front two parsers may disagree about the host
    if parts.scheme not in ("http", "https") or "@" in parts.netloc or "\\" in url or not parts.hostname:
        return ""
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return name if port is None else f"{name}:{port}"


def _secret(variable: str, host: str) -> str:
    value = os.environ.get(variable, "")
    if not value:
        raise EndpointServerError(
            f'[endpoint_graders."{host}"] takes a header from {variable}, and that variable is not set'
        )
    return value


@dataclass(frozen=True, slots=True)
class ParsedScore:
    """The parsed response of a grader."""

    value: float
    body: Mapping[str, Any]
    model: str = ""
    usage: Usage = NO_USAGE


class ScoreCall(EndpointCall[ParsedScore, EndpointReply]):
    """One request for a row's score, with its attempts."""

    def __init__(self, endpoint: Endpoint, ask: EndpointAsk, deadline: float) -> None:
        super().__init__(endpoint, deadline)
        self._ask = ask

    def body(self) -> dict[str, Any]:
        return {"sample": self._ask.sample, "item": self._ask.item}

    def form(self) -> Mapping[str, Any]:
        return {}

    def expected_tokens(self) -> Usage:
        return NO_USAGE

    def review(self, complaint: Complaint, body: Mapping[str, Any], message: str) -> Exception | None:
        passes = complaint.status in _PASSING or complaint.status >= 500
        return None if passes else EndpointServerError(message)

    def parse(self, reply: Reply) -> ParsedScore:
        try:
            body = json.loads(reply.body)
        except (ValueError, RecursionError):
            start = reply.body[:60].decode("utf-8", "replace")
            raise EndpointParseError(f"status 200, but the body is not JSON: {start!r}") from None
        score = body.get("score") if isinstance(body, Mapping) else None
        if isinstance(score, bool) or not isinstance(score, (int, float)) or not _is_finite(score):
            shown = json.dumps(body)[:200]
            raise EndpointParseError(
                f'status 200, but not an object with a finite number as "score": {shown}'
            )
        return ParsedScore(float(score), body)

    def accept(self, parsed: ParsedScore, body: Mapping[str, Any]) -> EndpointReply:
        return EndpointReply(parsed.value, parsed.body, self.provenance(), self.seconds)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        # an integer that is too large for a float
        return False

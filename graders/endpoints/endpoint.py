"""Endpoints with the state that their callers share: limits, connections, budget, totals, capabilities."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from graders.config.config import Config
from graders.config.route import OPENAI_URL, Price, Route
from graders.endpoints.capabilities import STRUCTURED_MODES, EndpointCapabilities
from graders.endpoints.concurrency import ConcurrencyLimiter
from graders.endpoints.contract import Transport
from graders.endpoints.spending import Budget, ModelTotals, Totals, price_of
from graders.endpoints.transport import TRANSPORTS
from graders.errors import ModelStop

Token: TypeAlias = Callable[[Route], "str | Awaitable[str]"]

USER_AGENT = "local-graders"


@dataclass(frozen=True, slots=True)
class Timing:
    """Clock and randomness, which tests replace.

    Attributes:
        clock: Seconds, as time.monotonic.
        jitter: From 0 to 1.
    """

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The destination of one model name, with the state that its callers share.

    Attributes:
        model: The name as specs have it.
        url: The URL for requests.
        limiter: Shared by all models of one address.
        capabilities: Shared by all that ask this model there.
        budget: Shared by everything of one `Endpoints`.
        own_transport: Whether the caller passed a transport, so that no key is needed.
    """

    model: str
    route: Route
    url: str
    limiter: ConcurrencyLimiter
    capabilities: EndpointCapabilities
    transport: Transport
    totals: ModelTotals
    budget: Budget
    price: Price | None
    timing: Timing
    request_ids: Iterator[str]
    token: Token | None = None
    own_transport: bool = False

    async def headers(self) -> tuple[dict[str, str], str]:
        """A request's headers, and the secret in them, which must not appear in messages.

        Raises:
            ModelStop: the address is OpenAI's and there is no key.
        """
        route, secret = self.route, ""
        headers = {
            "content-type": "application/json",
            "accept": "application/json",
            "user-agent": USER_AGENT,
            "x-client-request-id": next(self.request_ids),
        }
        if self.token is not None:
            made = self.token(route)
            secret = await made if inspect.isawaitable(made) else made
        if secret:
            headers["authorization"] = f"Bearer {secret}"
        elif secret := route.key():
            headers |= {"api-key": secret} if route.azure else {"authorization": f"Bearer {secret}"}
        elif route.base_url == OPENAI_URL and not self.own_transport and not route.headers:
            raise ModelStop(
                f"model {self.model!r} goes to {OPENAI_URL}, and {route.api_key_env or 'no variable'} holds no key; "
                "set it, or send the model elsewhere in graders.toml ([models] and [endpoints])"
            )
        headers |= {name.lower(): value for name, value in route.headers.items()}
        return headers, secret


class Endpoints:
    """Every endpoint of a configuration, made when first asked. Used on one event loop.

    Attributes:
        totals: Requests and usage so far.
    """

    def __init__(
        self,
        config: Config,
        *,
        transport: Transport | None = None,
        token: Token | None = None,
        max_calls: int | None = None,
        max_cost: float | None = None,
        timing: Timing | None = None,
    ) -> None:
        """
        Args:
            config: The routes of model names, and the limits of each address.
            transport: The HTTP client for all routes; None: each route's own.
            token: Returns a bearer token for a route, sync or async, called for each attempt; "" for the route's key.
            max_calls, max_cost: Budget in HTTP requests and in the price table's currency, beyond which every question
                is refused with ModelStop; None: as in [judge], by default no limit.
        """
        self.totals = Totals()
        self.timing = timing or Timing()
        judge = config.table("judge")
        self._config = config
        self._budget = Budget(
            judge.get("max_calls") if max_calls is None else max_calls,
            judge.get("max_cost") if max_cost is None else max_cost,
        )
        self._given = transport
        self._token = token
        self._capabilities: dict[tuple[Config, str, str], EndpointCapabilities] = {}
        self._of_parents: list[object] = []
        self._start()

    def _start(self) -> None:
        """Create the state that belongs to one process and its event loop."""
        self._pid = os.getpid()
        self._transports: dict[str, Transport] = {}
        self._limiters: dict[str, ConcurrencyLimiter] = {}
        self._endpoints: dict[tuple[Config, str, str], Endpoint] = {}
        self._request_ids = request_ids()

    @property
    def has_given_transport(self) -> bool:
        """Whether the caller passed a transport: a function or client that answers for one purpose."""
        return self._given is not None

    def find(self, model: str, config: Config | None = None, operation: str = "") -> Endpoint:
        """The endpoint of a model name.

        Args:
            config: The configuration with the name's route; None: this object's own.
            operation: A path other than that of completions, such as "/embeddings".
        """
        if self._pid != os.getpid():
            self.forked()
        key = (config or self._config, model, operation)
        endpoint = self._endpoints.get(key)
        if endpoint is None:
            endpoint = self._endpoints[key] = self._made(*key)
        return endpoint

    def at(self, url: str, route: Route) -> Endpoint:
        """The endpoint of an address without a model name."""
        if self._pid != os.getpid():
            self.forked()
        # requests to one address may have different headers
        key = (self._config, url, repr(route))
        endpoint = self._endpoints.get(key)
        if endpoint is None:
            limits = (route.max_in_flight, route.requests_per_minute, route.tokens_per_minute)
            endpoint = self._endpoints[key] = self._endpoint(self._config, url, route, url, limits)
        return endpoint

    def _made(self, config: Config, model: str, operation: str) -> Endpoint:
        route = config.route(model)
        url, limits = route.url(model, operation), config.limits_of(route.origin)
        return self._endpoint(config, model, route, url, limits)

    def _endpoint(
        self, config: Config, model: str, route: Route, url: str, limits: tuple[int, int, int]
    ) -> Endpoint:
        start = EndpointCapabilities()
        if route.structured != "auto":
            start = EndpointCapabilities(STRUCTURED_MODES.index(route.structured), adaptive=False)
        return Endpoint(
            model=model,
            route=route,
            url=url,
            limiter=self._limiter(route.origin, limits),
            capabilities=self._capabilities.setdefault((config, url, route.model or model), start),
            transport=self._given or self._transport(route.transport),
            totals=self.totals.models[model],
            budget=self._budget,
            price=price_of(config, model),
            timing=self.timing,
            request_ids=self._request_ids,
            token=self._token,
            own_transport=self._given is not None,
        )

    def _limiter(self, origin: str, limits: tuple[int, int, int]) -> ConcurrencyLimiter:
        """The limiter that all endpoints of an address share."""
        if origin not in self._limiters:
            timing = self.timing
            self._limiters[origin] = ConcurrencyLimiter(*limits, clock=timing.clock, sleep=timing.sleep)
        return self._limiters[origin]

    def _transport(self, name: str) -> Transport:
        if name not in self._transports:
            self._transports[name] = TRANSPORTS[name]()
        return self._transports[name]

    def forked(self) -> None:
        """Replace the state in a forked child, which must not touch the parent's connections and tasks."""
        # kept, since freeing them would close the parent's connections
        self._of_parents += [self._transports, self._endpoints, self._limiters]
        self._budget.forked()
        self._start()

    async def aclose(self) -> None:
        """Close connections; the next question opens new ones."""
        for transport in (self._given, *self._transports.values()):
            if transport is not None:
                await transport.aclose()


def request_ids() -> Iterator[str]:
    """Ids for requests, to be found in a server's log; unique across processes."""
    prefix = os.urandom(6).hex()
    return (f"{prefix}-{number}" for number in itertools.count(1))

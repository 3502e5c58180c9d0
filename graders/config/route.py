"""Routes: the address, the key and the request options of a model name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

OPENAI_URL = "https://api.openai.com/v1"

#: Endings of an address that users paste with it.
_OPERATIONS = ("/chat/completions", "/completions", "/responses", "/embeddings")


@dataclass(frozen=True, slots=True)
class Route:
    """The route of one model name: an address and how requests are made to it.

    Attributes:
        name: The model name in specs, or "*".
        endpoint: The name of its [endpoints] table, "" when it has none.
        mapped: Whether the configuration or OPENAI_BASE_URL gives the address; else it is OpenAI's.
        base_url: The address up to and including `/v1`; `{model}` in it becomes the model's name.
        model: The name sent; "" is the name in the spec.
        api: "chat" (/chat/completions) or "responses" (/responses). Never chosen automatically.
        api_key_env: The environment variable with the key; "" sends none. The default is OPENAI_API_KEY for OpenAI's
            address and the one in OPENAI_BASE_URL, AZURE_OPENAI_API_KEY with `azure`, else "", so that a key is sent
            only to the address that it is meant for.
        azure: Send the key as `api-key` instead of a bearer token.
        api_version: Azure's deployment URLs: base_url is the resource's, the model's name is the deployment's.
        headers, query: Added to every request.
        transport: "auto", "direct" or "httpx2": the HTTP client (see transport.py).
        max_in_flight: Requests in flight at once. Halved after a 429 or a time-out, then raised slowly.
        requests_per_minute, tokens_per_minute: Limits of the user's, beside the server's; 0 is none. Where models of
            one address set different limits, the smallest holds for all of them.
        attempt_timeout_s, timeout_s: For one attempt, and for a question with all its attempts.
        max_attempts: Attempts for one question, the first included. Attempts that a server refuses for a missing
            feature are not counted.
        structured: "auto" starts with json_schema and falls back where the server lacks it; or the name of one mode.
        steps: Whether reasoning steps are asked for before the result, as the hosted service does.
        out_of_range: "clip" as the service does, or "error".
        votes: Number of questions for one verdict, odd; the verdict is their median or majority.
        expected_score: The mean over the probabilities of whole numbers, in place of the sampled number: "off", "auto"
            (where the server gives log-probabilities) or "required" (a parse error where it does not). The range has
            to be one of whole numbers with at most 10 steps.
    """

    name: str
    endpoint: str = ""
    mapped: bool = False
    base_url: str = OPENAI_URL
    model: str = ""
    api: str = "chat"
    api_key_env: str = "OPENAI_API_KEY"
    azure: bool = False
    api_version: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    transport: str = "auto"
    max_in_flight: int = 128
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    attempt_timeout_s: float = 120.0
    timeout_s: float = 600.0
    max_attempts: int = 6
    structured: str = "auto"
    steps: bool = True
    out_of_range: str = "clip"
    votes: int = 1
    expected_score: str = "off"

    def key(self) -> str:
        """The API key, "" when there is none."""
        return os.environ.get(self.api_key_env, "").strip() if self.api_key_env else ""

    @property
    def origin(self) -> str:
        """The base URL without a final slash. Models with the same origin share limits."""
        return self.base_url.rstrip("/")

    @property
    def address_hint(self) -> str:
        """A hint about an address that answers 404; "" when there is none."""
        plain = not self.api_version and "/v" not in self.base_url.partition("://")[2]
        return f"; most servers have their API under /v1: {self.origin}/v1" if plain else ""

    def url(self, model: str, operation: str = "") -> str:
        """The URL for a model name; `operation` is a path other than that of completions."""
        base, query = self.origin, dict(self.query)
        if self.api_version:
            query = {"api-version": self.api_version, **query}
            if "/deployments/" not in base:
                base += "/openai/deployments/{model}"
        from urllib.parse import quote, urlencode

        url = base.replace("{model}", quote(self.model or model, safe=""))
        url += operation or ("/responses" if self.api == "responses" else "/chat/completions")
        if query:
            url += "?" + urlencode(query)
        return url


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a model per million tokens, in any currency.

    Attributes:
        cached: Price of prompt tokens that the server had cached; None: as `input`.
    """

    input: float
    output: float
    cached: float | None = None


def route_of(name: str, fields: Mapping[str, Any]) -> Route:
    """The route; where the file does not name the key's variable, the default for its address is filled in."""
    route = _with_clean_address(Route(name, **fields))
    if "api_key_env" in fields:
        return route
    ours = (OPENAI_URL, os.environ.get("OPENAI_BASE_URL", "").rstrip("/"))
    env = "AZURE_OPENAI_API_KEY" if route.azure else "OPENAI_API_KEY" if route.origin in ours else ""
    return replace(route, api_key_env=env)


def _with_clean_address(route: Route) -> Route:
    """The route without a query or the path of an operation in its base_url."""
    from urllib.parse import parse_qsl

    base, _, query = route.base_url.partition("?")
    scheme, separator, rest = base.partition("://")
    for operation in _OPERATIONS:
        rest = rest.rstrip("/").removesuffix(operation) if rest.rstrip("/").endswith(operation) else rest
    return replace(
        route, base_url=scheme.lower() + separator + rest, query={**dict(parse_qsl(query)), **route.query}
    )

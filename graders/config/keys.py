"""The tables and keys of graders.toml, with their defaults and allowed values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from graders.config.route import Route

#: Top-level tables of the file; other packages read theirs by Config.table.
TABLES = (
    "endpoints",
    "models",
    "judge",
    "prices",
    "sandbox",
    "metrics",
    "embeddings",
    "templates",
    "sampler",
    "endpoint_graders",
    "evals",
    "tuning",
    "tests",
)


CHOICES = {
    "api": ("chat", "responses"),
    "transport": ("auto", "direct", "httpx2"),
    "structured": ("auto", "json_schema", "json_object", "prompt"),
    "out_of_range": ("clip", "error"),
    "expected_score": ("off", "auto", "required"),
}
_LEAST = {
    "max_in_flight": 1,
    "max_attempts": 1,
    "votes": 1,
    "attempt_timeout_s": 0.001,
    "timeout_s": 0.001,
    "batch": 1,
}
#: Keys of an endpoint's or a model's table, with their defaults.
ROUTE_KEYS: Mapping[str, Any] = {
    field.name: getattr(Route(""), field.name)
    for field in fields(Route)
    if field.name not in ("name", "endpoint", "mapped")
}
#: Keys of [judge] that do not belong to a route: budgets of a run, and compile options.
JUDGE_KEYS: Mapping[str, Any] = {"max_cost": 0.0, "max_calls": 0, "recording": "", "harden": False}
#: Keys of one host's table in [endpoint_graders], with their defaults.
ENDPOINT_GRADER_KEYS: Mapping[str, Any] = {
    "headers_env": {},
    "transport": "auto",
    "max_in_flight": 16,
    "requests_per_minute": 0,
    "attempt_timeout_s": 60.0,
    "timeout_s": 300.0,
    "max_attempts": 4,
}
_KIND = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    dict: "a table of texts",
}


def mistake_in(key: str, value: Any, default: Any) -> str:
    """The mistake in a key's value, given the type of its default; "" when there is none."""
    if isinstance(default, bool) or isinstance(value, bool):
        fits = isinstance(default, bool) and isinstance(value, bool)
    elif isinstance(default, (int, float)):
        number = int if isinstance(default, int) else (int, float)
        fits = isinstance(value, number) and value >= _LEAST.get(key, 0)
    elif isinstance(default, Mapping):
        fits = isinstance(value, Mapping) and all(isinstance(v, str) for v in value.values())
    else:
        fits = isinstance(value, str)
    if not fits:
        least = f" of at least {_LEAST[key]:g}" if key in _LEAST else ""
        return f"expected {_KIND[type(default)]}{least}, found {value!r}"
    if key in CHOICES and value not in CHOICES[key]:
        return f"expected one of {', '.join(CHOICES[key])}, found {value!r}"
    if key == "votes" and value % 2 == 0:
        return f"expected an odd number, found {value}"
    if key == "base_url" and not value.lower().startswith(("http://", "https://")):
        return f"expected an address with http:// or https://, found {value!r}"
    if key == "base_url" and "@" in value.split("/")[2]:
        return "a user or password in an address is shown in results; send it in headers instead"
    return ""

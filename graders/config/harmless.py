"""HARMLESS: the settings that an untrusted graders.toml may contain."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

#: Characters of a setting's value in messages.
SHOWN_CHARS = 60
#: Whether an untrusted file may set a value.
Rule: TypeAlias = Callable[[Any], bool]
# An address on this machine, spelled so that no two URL parsers can disagree about its host.
_LOOPBACK_URL = re.compile(
    r"https?://(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?(?:/[\w.~{}/-]*)?", re.ASCII
)


def _any(value: Any) -> bool:
    return True


def _one_of(*values: Any) -> Rule:
    return lambda value: any(value is choice or value == choice for choice in values)


def _at_most(most: float) -> Rule:
    return lambda value: isinstance(value, (int, float)) and value <= most


def _is_below(value: Any) -> bool:
    """Whether a path, or each path of a list, stays inside the folder of the file that names it."""
    paths = [value] if isinstance(value, str) else value
    return isinstance(paths, list) and all(
        isinstance(path, str) and not os.path.isabs(path) and ".." not in re.split(r"[/\\]", path)
        for path in paths
    )


def _is_loopback(value: Any) -> bool:
    return isinstance(value, str) and _LOOPBACK_URL.fullmatch(value) is not None


# Keys of a route. Not included: headers and query (they may carry credentials), azure and api_version (they choose a
# key), and every address but this machine's (it would receive the rows, and perhaps a key).
_ROUTE: Mapping[str, Any] = {
    "endpoint": _any,
    "base_url": _is_loopback,
    "model": _any,
    "api": _any,
    "api_key_env": _one_of(""),
    "transport": _any,
    "max_in_flight": _at_most(256),
    "requests_per_minute": _any,
    "tokens_per_minute": _any,
    "attempt_timeout_s": _any,
    "timeout_s": _any,
    # bounded, since they multiply the cost of a run
    "max_attempts": _at_most(10),
    "votes": _at_most(9),
    "structured": _any,
    "steps": _any,
    "out_of_range": _any,
    "expected_score": _any,
}
# Keys of the sandbox that cannot weaken it. The numbers are its defaults.
_SANDBOX: Mapping[str, Any] = {
    "require": _any,
    "unsandboxed": _one_of(False),
    "seed": _any,
    "hash_seed": _any,
    "in_flight": _at_most(64),
    "servers": _at_most(8),
    "samples_per_process": _one_of(1),
    "limits": {
        "source_bytes": _at_most(256 * 1024),
        "wall_s": _at_most(120),
        "cpu_s": _at_most(120),
        "memory_bytes": _at_most(2 * 1024**3),
        "disk_bytes": _at_most(1024**3),
        "inodes": _at_most(10_000),
        "descriptors": _at_most(128),
        "threads": _at_most(64),
        "payload_bytes": _at_most(256 * 1024**2),
    },
}
#: Everything that a found, untrusted file may set; "*" is any name. A new key of the configuration needs trust until it
#: is added here.
HARMLESS: Mapping[str, Any] = {
    "endpoints": {"*": _ROUTE},
    "models": {"*": _ROUTE},
    "judge": {**_ROUTE, "max_cost": _any, "max_calls": _any, "harden": _any},
    "sampler": {**_ROUTE, "models": {"*": _ROUTE}},
    "prices": {"*": {"input": _any, "output": _any, "cached": _any}},
    "sandbox": _SANDBOX,
    "metrics": {"*": _any},
    # not a folder's name: native code would parse the model in it
    "embeddings": {"model": _one_of("minilm"), "threads": _at_most(64), "cache_mb": _at_most(1024)},
    "templates": {"values": _any},
    "evals": {"nulls": _any, "in_flight": _at_most(256)},
    # no files outside of the folder: their content would be sent to judges
    "tests": {"*": {"*": _any, "spec": _is_below, "data": _is_below}},
}
# With an endpoint, `model` is a name on the wire.
_REMOTE_EMBEDDINGS: Mapping[str, Any] = {
    "endpoint": _any,
    "model": _any,
    "dimensions": _any,
    "batch": _at_most(2048),
    "cache_mb": _at_most(1024),
}


def settings_that_need_trust(tables: Mapping[str, Any]) -> list[str]:
    """The settings of a configuration that are not in HARMLESS, such as `sandbox.unsandboxed = True`."""
    embeddings = tables.get("embeddings")
    if isinstance(embeddings, Mapping) and "endpoint" in embeddings:
        return list(_beyond(tables, {**HARMLESS, "embeddings": _REMOTE_EMBEDDINGS}, ""))
    return list(_beyond(tables, HARMLESS, ""))


def _beyond(table: Mapping[str, Any], allowed: Mapping[str, Any], at: str) -> Iterator[str]:
    for key, value in table.items():
        here = f"{at}.{_key(key)}" if at else _key(key)
        rule = allowed.get(key, allowed.get("*"))
        if isinstance(rule, Mapping) and isinstance(value, Mapping):
            yield from _beyond(value, rule, here)
        elif rule is _ROUTE and isinstance(value, str):
            # the value of a model may be a text, an endpoint's name
            continue
        elif not callable(rule) or not rule(value):
            shown = repr(value)
            yield f"{here} = {shown if len(shown) <= SHOWN_CHARS else shown[: SHOWN_CHARS - 3] + '...'}"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[\w-]{1,100}", key, re.ASCII) else repr(key[:SHOWN_CHARS])

"""What a graders.toml may set that nobody has trusted."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

SHOWN_CHARS = 60  # of a setting's value in messages
#: Whether a value may be set by a file that nobody has trusted.
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
    """Whether a path, or each of several, stays in the folder of the file that names it."""
    paths = [value] if isinstance(value, str) else value
    return isinstance(paths, list) and all(
        isinstance(path, str) and not os.path.isabs(path) and ".." not in re.split(r"[/\\]", path)
        for path in paths
    )


def _is_loopback(value: Any) -> bool:
    return isinstance(value, str) and _LOOPBACK_URL.fullmatch(value) is not None


# Where a question goes and how it is asked. Not here: headers and query (they may carry credentials), azure and
# api_version (they choose a key), every address but this machine's (it would get the rows, and perhaps a key).
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
    # these multiply what a run costs
    "max_attempts": _at_most(10),
    "votes": _at_most(9),
    "structured": _any,
    "steps": _any,
    "out_of_range": _any,
    "expected_score": _any,
}
# Of the sandbox: what keeps it as strong as it is without a file. The numbers are its defaults.
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
#: All that a file may set which was found and not trusted; "*" is any name. A new key of the configuration needs trust
#: until it stands here.
HARMLESS: Mapping[str, Any] = {
    "endpoints": {"*": _ROUTE},
    "models": {"*": _ROUTE},
    "judge": {**_ROUTE, "max_cost": _any, "max_calls": _any, "harden": _any},
    "sampler": {**_ROUTE, "models": {"*": _ROUTE}},
    "prices": {"*": {"input": _any, "output": _any, "cached": _any}},
    "sandbox": _SANDBOX,
    "metrics": {"*": _any},
    # not a folder's name: its model would be parsed by native code
    "embeddings": {"model": _one_of("minilm"), "threads": _at_most(64), "cache_mb": _at_most(1024)},
    "templates": {"values": _any},
    "evals": {"nulls": _any, "in_flight": _at_most(256)},
    # not somebody's other files: judges would be sent their content
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
    """What a configuration sets beyond HARMLESS, as `sandbox.unsandboxed = True`."""
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
            # a model's whole value may be an endpoint's name
            continue
        elif not callable(rule) or not rule(value):
            shown = repr(value)
            yield f"{here} = {shown if len(shown) <= SHOWN_CHARS else shown[: SHOWN_CHARS - 3] + '...'}"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[\w-]{1,100}", key, re.ASCII) else repr(key[:SHOWN_CHARS])

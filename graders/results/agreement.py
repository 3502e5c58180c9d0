"""Comparison of two headers: whether they belong to one run, and what differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graders.results.read import Header

#: Options without an effect on rewards or lines, and options that a resumed file keeps.
_INDECISIVE = ("merge", "ids", "question")


def decisive(header: Header) -> dict[str, Any]:
    """The options that affect rewards or lines: fields, texts, options of templates and metrics."""
    options = {option: value for option, value in header.options.items() if option not in _INDECISIVE}
    return options | {path: value for path, value in _leaves(header.provenance) if path.endswith("options")}


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The changed parts of a provenance, in words."""
    was, now = dict(_leaves(old)), dict(_leaves(new))
    return [
        f"{path} {was.get(path)}, now {now.get(path)}"
        for path in sorted(was.keys() | now.keys())
        if was.get(path) != now.get(path)
    ]


def _leaves(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _leaves(inner, f"{before}{key}.")
        else:
            yield f"{before}{key}", inner

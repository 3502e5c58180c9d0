"""Where in a JSON or YAML text a path stands: line and column for messages. Scanned only when there is something to say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]  # the standard library's own scanner

_BLANK = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(r"[^\s,\]}]+")


class Positions:
    """The offsets of every value in a valid text, found on first use.

    An object's member is placed at its key, so that a message points at the word to change.
    """

    def __init__(self, text: str, *, yaml: bool = False) -> None:
        self.text = text
        self._walk = _walk_yaml if yaml else _walk
        self._offsets: dict[str, int] | None = None

    def offset(self, path: str) -> int | None:
        if self._offsets is None:
            self._offsets = dict(self._walk(self.text))
        return self._offsets.get(path)


def locate(positions: Positions, path: str) -> tuple[int, int]:
    """1-based line and column of `path`, or of the nearest thing around it that is there."""
    while (offset := positions.offset(path)) is None:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    before = positions.text[:offset]
    return before.count("\n") + 1, offset - before.rfind("\n")


def _walk_yaml(text: str) -> Iterator[tuple[str, int]]:
    import yaml

    seen: set[int] = set()  # an alias is another node's place, and may even be around itself

    def nodes(node: yaml.Node, path: str) -> Iterator[tuple[str, int]]:
        if id(node) in seen:
            return
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = f"{path}.{key.value}" if path else str(key.value)
                yield here, key.start_mark.index
                yield from nodes(value, here)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                here = f"{path}[{index}]"
                yield here, value.start_mark.index
                yield from nodes(value, here)

    root = yaml.compose(text)
    yield "", 0
    if root is not None:
        yield from nodes(root, "")


def _walk(text: str) -> Iterator[tuple[str, int]]:
    """Every path of the text with its offset. Iterative: the text may nest deeply."""

    def blank(at: int) -> int:
        match = _BLANK.match(text, at)
        assert match is not None  # it matches everywhere
        return match.end()

    at = blank(0)
    yield "", at
    # (path of the container, next index or None for an object)
    open_: list[tuple[str, int | None]] = []
    here = ""
    while True:
        at = blank(at)
        if text[at] in "{[":
            open_.append((here, 0 if text[at] == "[" else None))
            at += 1
        elif text[at] == '"':
            _, at = scanstring(text, at + 1)
        else:
            scalar = _SCALAR.match(text, at)
            assert scalar is not None
            at = scalar.end()
        # what follows a value, or an opening bracket: close, separate, or name the next member
        while True:
            at = blank(at)
            if not open_:
                return
            if text[at] in "}]":
                open_.pop()
                at += 1
                continue
            break
        if text[at] == ",":
            at = blank(at + 1)
        path, index = open_[-1]
        if index is None:
            start = at
            key, at = scanstring(text, at + 1)
            at = blank(at) + 1  # the colon
            here = f"{path}.{key}" if path else key
            yield here, start
        else:
            open_[-1] = (path, index + 1)
            here = f"{path}[{index}]"
            yield here, blank(at)

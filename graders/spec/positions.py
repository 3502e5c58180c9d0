"""Line and column of a path in a JSON or YAML text, for messages. The text is scanned only when one is needed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from json.decoder import scanstring  # type: ignore[attr-defined]  # the standard library's own scanner
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import yaml

_BLANK = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(r"[^\s,\]}]+")
_STEP_END = re.compile(r"[.\[]|\Z")


@dataclass(slots=True)
class Node:
    """A value of the text: its offset, and its members by key or index.

    A member of an object has the position of its key, so that a message points at the word to change.
    """

    offset: int
    members: dict[str | int, Node] = field(default_factory=dict)

    def find(self, path: str) -> Node | None:
        """The node at a path such as `graders.exact.input[0]`; None when it is not there.

        Keys may hold dots and brackets themselves, so each beginning of the path that is a key is tried.
        """
        if not path:
            return self
        index, bracket, rest = path[1:].partition("]")
        if path[0] == "[" and bracket and index.isdecimal() and int(index) in self.members:
            return self.members[int(index)].find(rest.removeprefix("."))
        for end in _STEP_END.finditer(path):
            member = self.members.get(path[: end.start()])
            found = member and member.find(path[end.start() :].removeprefix("."))
            if found:
                return found
        return None


class Positions:
    """The offsets of every value in a valid text, found on first use."""

    def __init__(self, text: str, *, yaml: bool = False) -> None:
        self.text = text
        self._scan = _yaml_nodes if yaml else _json_nodes
        self._root: Node | None = None

    def locate(self, path: str) -> tuple[int, int]:
        """1-based line and column of `path`, or of its nearest ancestor that exists."""
        if self._root is None:
            self._root = self._scan(self.text)
        while (node := self._root.find(path)) is None:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        before = self.text[: node.offset]
        return before.count("\n") + 1, node.offset - before.rfind("\n")


def _yaml_nodes(text: str) -> Node:
    import yaml

    # an alias refers to another node, and may even contain itself
    seen: set[int] = set()

    def add(node: yaml.Node, into: Node) -> None:
        if id(node) in seen:
            return
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                member = into.members[str(key.value)] = Node(key.start_mark.index)
                add(value, member)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                member = into.members[index] = Node(value.start_mark.index)
                add(value, member)

    root = Node(0)
    composed = yaml.compose(text)
    if composed is not None:
        add(composed, root)
    return root


def _json_nodes(text: str) -> Node:
    """The nodes of a JSON text. Iterative: the text may nest deeply."""

    def blank(at: int) -> int:
        match = _BLANK.match(text, at)
        # the pattern matches everywhere
        assert match is not None
        return match.end()

    at = blank(0)
    here = root = Node(at)
    # (container, next index or None for an object)
    open_: list[tuple[Node, int | None]] = []
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
        # after a value or an opening bracket: a closing bracket, a comma, or the next member's key
        while True:
            at = blank(at)
            if not open_:
                return root
            if text[at] in "}]":
                open_.pop()
                at += 1
                continue
            break
        if text[at] == ",":
            at = blank(at + 1)
        container, index = open_[-1]
        if index is None:
            start = at
            key, at = scanstring(text, at + 1)
            # the colon
            at = blank(at) + 1
            here = container.members[key] = Node(start)
        else:
            open_[-1] = (container, index + 1)
            here = container.members[index] = Node(blank(at))

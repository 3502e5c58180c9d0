"""Constants in a spec: of its programs and their regular expressions, its templates, its formula.

A program is not parsed here: its patterns come from the sandbox's reader, and its constants from a scan of the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from graders.spec.model import SpecModel

MOST = 40  # constants of one spec: a long program has hundreds, and each is a sample a row
LONGEST = 200  # characters of one

#: A literal on one line, with its content. Prefixes and escapes are kept as written. None starts at an escaped quote,
#: so that a line of them is read once.
_LITERAL = re.compile(
    r"""(?<![\w\\])[rRbBuUfF]{0,2}(?:"([^"\\\n]*(?:\\.[^"\\\n]*)*)"|'([^'\\\n]*(?:\\.[^'\\\n]*)*)')"""
)
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])")
_GROUP = re.compile(r"(?<!\\)\((?:\?[:P<=!]?[^()]*|[^()]*)\)[*+?]*")
_VARIABLE = re.compile(r"\{\{[^{}]*\}\}")


def constants(spec: SpecModel) -> tuple[str, ...]:
    """Texts to try as samples, each once, in the order of the spec."""
    found: dict[str, None] = {}
    for leaf in spec.leaves().values():
        for text in (*_of_program(leaf.program() or ""), *_of_templates(leaf)):
            if text.strip() and len(text) <= LONGEST:
                found.setdefault(text)
    formula = spec.formula()
    found.update(dict.fromkeys(_NUMBER.findall(formula.text if formula else "")))
    return tuple(found)[:MOST]


def verdicts(spec: SpecModel) -> tuple[str, ...]:
    """The verdict of each judge with the highest reward, as JSON."""
    leaves = spec.leaves().values()
    return tuple(json.dumps(leaf.best_verdict()) for leaf in leaves if leaf.judge() is not None)


def _of_program(source: str) -> Iterator[str]:
    if not source:
        return
    from graders_sandbox import SandboxUnavailable, read_source

    try:
        patterns = [pattern for pattern, _flags in read_source(source).patterns]
    except (SandboxUnavailable, OSError):
        patterns = []
    for pattern in patterns:
        yield from _matched_by(pattern)
    for literal in _LITERAL.finditer(source):
        yield from _matched_by(literal[1] or literal[2] or "")
    yield from _NUMBER.findall(source)


def _matched_by(pattern: str) -> Iterator[str]:
    """A pattern as it stands, without its groups, with a word in them, and with numbers where it wants digits."""
    yield pattern
    if "\\d" in pattern and (numbered := _numbered(pattern)) != "9":
        yield numbered
    for filling in ("", "zqxj"):
        text = _GROUP.sub(filling, pattern)
        text = re.sub(r"\\[sSdDwWbBAZ][*+?]*|\.[*+]\??|[\^$]", "", text)
        text = re.sub(r"\\(.)", r"\1", text)
        if text != pattern:
            yield text


def _numbered(pattern: str) -> str:
    """A text such as "score: 9/9" that a simple pattern takes."""
    text = pattern.replace("\\[", "\0").replace("\\]", "\1")
    text = re.sub(r"\(\?[a-zA-Z]+\)|\\[bBAZ]|\\[sW][*?]|-\?|[\^$]", "", text)
    text = re.sub(r"\[[^\[\]]*\][*+?]?", lambda one: "9" if re.search(r"\\d|0-9", one[0]) else "", text)
    text = re.sub(r"\\d(?:[*+?]|\{[\d,]+\})?", "9", text)
    text = re.sub(r"\\[sW]\+?", " ", text)
    text = re.sub(r"(?<!\\)\((?:\?(?:P<\w+>|:))?|(?<!\\)\)[*+?]?|(?<!\\)[*+?]", "", text)
    return re.sub(r"\\(.)", r"\1", text).replace("\0", "[").replace("\1", "]")


def _of_templates(leaf: SpecModel) -> Iterator[str]:
    if leaf.judge() is None:
        for _field, template in leaf.templates():
            yield from (part.strip() for part in _VARIABLE.split(template))

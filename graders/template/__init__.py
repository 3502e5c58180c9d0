"""Templates: text with `{{ item.path }}` and `{{ sample.path }}` in it, and nothing else.

The text is split once. A path consists of dict keys and list indexes, never attributes, and may step into a string
that holds a JSON object or list. Inserted values are not rendered again. Every other brace is plain text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from graders.errors import GradeError, MissingVariable
from graders.jsontext import parse
from graders.row import Row
from graders.values import json_value

#: Characters of one rendered text, and of all texts that one row sends to judges: sixteen times the longest context of
#: a judge. A template may name a value thousands of times, so a small request could otherwise fill the memory.
RENDERED_MAX_CHARS = 64 * 1024**2
FEW_PIECES = 8

# Possessive quantifiers (`*+`, `++`) suffice, since no character of a step can begin the next one. Without
# backtracking a long path takes no memory.
_KEY = r"[^\s.\[\]{}]++"
STEPS = rf"(?:\.{_KEY}|\[\d{{1,9}}\])*+"
_STEP = re.compile(rf"\.({_KEY})|\[(\d+)\]")
# A variable: double braces around item or sample and a path. Blanks inside the braces are optional.
_VARIABLE = re.compile(rf"\{{\{{\s*(item|sample)({STEPS})\s*\}}\}}")


class RenderedTooLong(GradeError):
    """A row's values make a template longer than RENDERED_MAX_CHARS."""

    def __init__(self, n_chars: int) -> None:
        super().__init__(
            f"the template would render to {n_chars} characters with this row; the limit is {RENDERED_MAX_CHARS}"
        )


def check_rendered(n_chars: int) -> None:
    """Raises RenderedTooLong for more characters than are rendered."""
    if n_chars > RENDERED_MAX_CHARS:
        raise RenderedTooLong(n_chars)


@dataclass(frozen=True, slots=True)
class Path:
    """The path of a value: `item` or `sample`, then keys (str) and list indexes (int)."""

    namespace: str
    steps: tuple[str | int, ...]

    def __str__(self) -> str:
        return self.namespace + "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in self.steps)

    def value(self, row: Row) -> Any:
        """The value in this row.

        Raises:
            MissingVariable: the row does not have it; the message lists the keys that it has.
            SampleParseError: a value on the way has no JSON form.
        """
        value: Any = row.item if self.namespace == "item" else row.sample
        step: Any
        for depth, step in enumerate(self.steps):
            if isinstance(value, str):
                value = _inside(value)
            elif not isinstance(value, (Mapping, list)):
                value = json_value(value, Path(self.namespace, self.steps[:depth]))
            try:
                if isinstance(value, list if isinstance(step, int) else Mapping):
                    value = value[step]
                    continue
            except (KeyError, IndexError):
                pass
            raise MissingVariable(str(Path(self.namespace, self.steps[: depth + 1])), _names(value))
        return value


def _inside(text: str) -> Any:
    """The parsed value of a string that is a JSON object or list; any other string itself."""
    if text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        return parse(text)
    except ValueError:
        return text


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, Mapping):
        return tuple(map(str, value))[:20]
    if isinstance(value, list):
        return (f"a list of {len(value)}",)
    return (f"a {type(value).__name__}",)


_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def json_text(value: Any, where: object = "value") -> str:
    """The text of a value that is not a string: JSON with non-ASCII characters kept (`true`, `null`, `1.0`).

    Args:
        where: Name of the value's field, for the error.

    Raises:
        SampleParseError: the value has no JSON form.
    """
    if not isinstance(value, str):
        try:
            return _ENCODE(value)
        except (TypeError, ValueError, RecursionError):
            # another library's value, NaN, or a value without a JSON form
            pass
    value = json_value(value, where)
    return value if isinstance(value, str) else _ENCODE(value)


def python_text(value: Any, where: object = "value") -> str:
    """As `json_text`, spelled as Python spells it (`True`, `None`, `1.0`)."""
    value = json_value(value, where)
    return value if isinstance(value, str) else repr(value)


#: Forms in which values that are not strings are rendered. The service's way is not published; JSON is ours (docs/parity.md).
RENDERERS: dict[str, Callable[..., str]] = {"json": json_text, "python": python_text}


class Template:
    """A text, split once at its variables.

    Attributes:
        text: As written.
        paths: The variables in order, repeats included.
        constant: The text when it has no variable, else None.
        pieces: Its texts and variables in order. The rendered text joins the texts and the variables' values.
    """

    __slots__ = ("_escape", "constant", "paths", "pieces", "render", "text", "to_text")

    def __init__(self, text: str, values: str = "json", escape: Callable[[str], str] | None = None) -> None:
        """
        Args:
            text: Any text; everything but its variables stays unchanged.
            values: How values that are not strings are rendered, a key of RENDERERS.
            escape: Applied to the text of each value before it is inserted; None leaves it unchanged.
        """
        self.text = text
        self.to_text = RENDERERS[values]
        self._escape = escape
        pieces: list[str | Path] = []
        end = 0
        for match in _VARIABLE.finditer(text):
            pieces += [text[end : match.start()], Path(match[1], parse_steps(match[2]))]
            end = match.end()
        pieces.append(text[end:])
        self.pieces = tuple(piece for piece in pieces if piece != "")
        self.paths = tuple(piece for piece in pieces if isinstance(piece, Path))
        self.constant: str | None = None if self.paths else text
        #: The text with a row's values inserted; raises MissingVariable, SampleParseError or RenderedTooLong.
        self.render: Callable[[Row], str] = self._renderer()

    def _renderer(self) -> Callable[[Row], str]:
        """The cheapest function for this template: most are a constant, or one variable one step deep."""
        to_text = self.to_text
        if self.constant is not None:
            constant = self.constant
            return lambda row: constant
        if self._escape is not None:
            return self._render_escaped
        if len(self.pieces) > 1:
            return self._render_pieces
        path = self.paths[0]
        if len(path.steps) != 1 or not isinstance(path.steps[0], str):
            return self._render_pieces
        key: Any = path.steps[0]

        if path.namespace == "sample":

            def render(row: Row) -> str:
                try:
                    value = row.sample[key]
                except KeyError:
                    value = path.value(row)
                return value if value.__class__ is str else to_text(value, path)
        else:

            def render(row: Row) -> str:
                try:
                    value = row.item[key]
                except KeyError:
                    value = path.value(row)
                return value if value.__class__ is str else to_text(value, path)

        return render

    def _render_pieces(self, row: Row) -> str:
        to_text = self.to_text
        texts = []
        n_made = 0
        for piece in self.pieces:
            value = piece if piece.__class__ is str else piece.value(row)  # type: ignore[union-attr]  # only Path is left
            if value.__class__ is not str:
                value = to_text(value, piece)
                # checked for each value, since these texts are copies, unlike the others
                n_made += len(value)
                check_rendered(n_made)
            texts.append(value)
        # a few pieces cannot make a text much longer than the row: their length is checked after joining
        if len(texts) > FEW_PIECES:
            check_rendered(sum(map(len, texts)))
        text = "".join(texts)
        if len(text) > RENDERED_MAX_CHARS:
            raise RenderedTooLong(len(text))
        return text

    def _render_escaped(self, row: Row) -> str:
        escape, to_text = self._escape, self.to_text
        assert escape is not None
        texts = []
        n_chars = 0
        for piece in self.pieces:
            if isinstance(piece, str):
                text = piece
            else:
                value = piece.value(row)
                text = escape(value if value.__class__ is str else to_text(value, piece))
            n_chars += len(text)
            check_rendered(n_chars)
            texts.append(text)
        return "".join(texts)


def parse_steps(path: str) -> tuple[str | int, ...]:
    """`.a[0].b` as ("a", 0, "b")."""
    return tuple(int(index) if index else key for key, index in _STEP.findall(path))

"""Templates: text with `{{ item.path }}` and `{{ sample.path }}` in it, and nothing else.

The text is split once. A path is dict keys and list indexes, never attributes, and may step into a string that
holds a JSON object or list. Values are put in as they are and never rendered again. Every other brace is text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graders.errors import GradeError, MissingVariable
from graders.jsontext import parse
from graders.row import Row
from graders.samples import SAMPLE_KEYS
from graders.values import json_value

NAMESPACES = ("item", "sample")
#: What a sample of the service can have (graders guide, and recorded payloads); `output` is an alias that we tolerate.
KNOWN_SAMPLE_KEYS = frozenset(
    (*SAMPLE_KEYS, "output", "output_reasoning_summary", "output_audio", "model", "input", "finish_reason", "usage", "error")
)  # fmt: skip
_WRITTEN_MAX = 200  # characters of a variable that is looked for
#: Of one rendered text, and of all texts that one row's judges are asked about. Sixteen times the longest context of a
#: judge. A template may name a value thousands of times, so a small request could otherwise fill the memory.
RENDERED_MAX_CHARS = 64 * 1024**2
FEW_PIECES = 8

# Possessive (`*+`, `++`): no character of a step can begin what follows it, so nothing has to be remembered for a
# second try, and a long path takes no memory.
_KEY = r"[^\s.\[\]{}]++"
_STEPS = rf"(?:\.{_KEY}|\[\d{{1,9}}\])*+"
_PATH = re.compile(rf"{_STEPS}\Z")
_STEP = re.compile(rf"\.({_KEY})|\[(\d+)\]")
# A variable: double braces around item or sample and a path. Blanks inside the braces are optional.
_VARIABLE = re.compile(rf"\{{\{{\s*(item|sample)({_STEPS})\s*\}}\}}")
# What was probably meant as one: a word in double braces, then perhaps something that begins like a path. The blanks
# around the path are stripped, not matched: two repeats that both take blanks would need quadratic time.
_BRACES = re.compile(r"\{\{([^{}]*)\}\}")
_WORD = re.compile(r"[A-Za-z_]\w*")


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
    """Where a value is: `item` or `sample`, then keys (str) and list indexes (int)."""

    namespace: str
    steps: tuple[str | int, ...]

    def __str__(self) -> str:
        return self.namespace + "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in self.steps)

    def value(self, row: Row) -> Any:
        """The value in this row.

        Raises:
            MissingVariable: the row does not have it; the message lists what is there instead.
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
    """What a string holds when it is a JSON object or list; the string itself when it is not."""
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
    """How a value that is not a plain string is put into a text: as JSON, non-ASCII kept (`true`, `null`, `1.0`).

    Args:
        where: Name of the value's field, for the error.

    Raises:
        SampleParseError: the value has no JSON form.
    """
    if not isinstance(value, str):
        try:
            return _ENCODE(value)
        except (TypeError, ValueError, RecursionError):
            pass  # another library's value, NaN, or no JSON at all
    value = json_value(value, where)
    return value if isinstance(value, str) else _ENCODE(value)


def python_text(value: Any, where: object = "value") -> str:
    """As `json_text`, spelled as Python spells it (`True`, `None`, `1.0`)."""
    value = json_value(value, where)
    return value if isinstance(value, str) else repr(value)


#: How values that are not strings are rendered. The service's way is not published; JSON is ours (docs/parity.md).
RENDERERS: dict[str, Callable[..., str]] = {"json": json_text, "python": python_text}


class Template:
    """A text, split once at its variables.

    Attributes:
        text: As written.
        paths: The variables in order, repeats included.
        constant: The text when it has no variable, else None.
        pieces: Its texts and variables in order; joined, rendered by `to_text`, they are the result.
    """

    __slots__ = ("_around", "constant", "paths", "pieces", "render", "text", "to_text")

    def __init__(self, text: str, values: str = "json", around: Callable[[str], str] | None = None) -> None:
        """
        Args:
            text: Any text; what is not a variable stays as it is.
            values: How values that are not strings are rendered, a key of RENDERERS.
            around: What is made of each value's text before it is put in; None: it stays as it is.
        """
        self.text = text
        self.to_text = RENDERERS[values]
        self._around = around
        pieces: list[str | Path] = []
        end = 0
        for match in _VARIABLE.finditer(text):
            pieces += [text[end : match.start()], Path(match[1], parse_steps(match[2]))]
            end = match.end()
        pieces.append(text[end:])
        self.pieces = tuple(piece for piece in pieces if piece != "")
        self.paths = tuple(piece for piece in pieces if isinstance(piece, Path))
        self.constant: str | None = None if self.paths else text
        #: Put this row's values in; raises MissingVariable, SampleParseError or RenderedTooLong.
        self.render: Callable[[Row], str] = self._renderer()

    def _renderer(self) -> Callable[[Row], str]:
        """The cheapest function for this shape: most templates are a constant, or one variable one step deep."""
        to_text = self.to_text
        if self.constant is not None:
            constant = self.constant
            return lambda row: constant
        if self._around is not None:
            return self._render_around
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
                # each time: these are copies, the other texts are not
                n_made += len(value)
                check_rendered(n_made)
            texts.append(value)
        # a few pieces make no text that is much longer than the row, so that they are counted when they are joined
        if len(texts) > FEW_PIECES:
            check_rendered(sum(map(len, texts)))
        text = "".join(texts)
        if len(text) > RENDERED_MAX_CHARS:
            raise RenderedTooLong(len(text))
        return text

    def _render_around(self, row: Row) -> str:
        around, to_text = self._around, self.to_text
        assert around is not None
        texts = []
        n_chars = 0
        for piece in self.pieces:
            if isinstance(piece, str):
                text = piece
            else:
                value = piece.value(row)
                text = around(value if value.__class__ is str else to_text(value, piece))
            n_chars += len(text)
            check_rendered(n_chars)
            texts.append(text)
        return "".join(texts)


def parse_steps(path: str) -> tuple[str | int, ...]:
    """`.a[0].b` as ("a", 0, "b")."""
    return tuple(int(index) if index else key for key, index in _STEP.findall(path))


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something in a text that looks like a variable and is not what was probably meant.

    Attributes:
        severity: "error": it is no variable. "lenient": one that we only tolerate. "warning": it is text, or may be missing.
        source: Where it is known from that the service would not take what we tolerate; "" for others.
    """

    text: str
    message: str
    code: str
    severity: str
    source: str = ""

    @property
    def fatal(self) -> bool:
        return self.severity == "error"


def mistakes(text: str) -> list[Mistake]:
    """What `validate` says about a template, in the order of the text. Braces around anything else are text."""
    found = []
    for match in _BRACES.finditer(text):
        written, inside = match[0], match[1].strip()
        word = _WORD.match(inside)
        if word is None:
            continue
        namespace, path = word[0], inside[word.end() :].lstrip()
        if path and path[0] not in ".[":
            continue
        if (mistake := _mistake(written, namespace, path)) is not None:
            found.append(mistake)
    return found + list(_single_braces(text))


def _mistake(written: str, namespace: str, path: str) -> Mistake | None:
    """What is wrong with one pair of braces that holds a name and perhaps a path."""
    if namespace not in NAMESPACES:
        message = (
            f"Invalid template '{written}': a variable begins with 'item.' or 'sample.', not '{namespace}'."
        )
        return Mistake(written, message, "invalid_template_namespace", "error")
    if not _PATH.match(path):
        message = f"Invalid template '{written}': a path is made of '.key' and '[0]' steps, not '{path}'."
        return Mistake(written, message, "invalid_template_path", "error")
    if not path:
        message = f"'{written}' puts the whole {namespace} in as JSON; name a field if one was meant."
        source = "no document or recorded spec of the service has it"
        return Mistake(written, message, "bare_namespace", "lenient", source)
    first = parse_steps(path)[0]
    if namespace == "sample" and parse_steps(path) == ("output",):
        message = f"'{written}' is read as '{{{{ sample.output_text }}}}', the documented name."
        source = "it stands in one example of the public reference, and the documented keys do not have it"
        return Mistake(written, message, "sample_output_alias", "lenient", source)
    if namespace == "sample" and first not in KNOWN_SAMPLE_KEYS:
        message = f"The service's samples have no '{first}': '{written}' fails unless your samples bring it."
        return Mistake(written, message, "unknown_sample_variable", "warning")
    return None


def _single_braces(text: str) -> Iterator[Mistake]:
    """`{item.answer}`: text, though a variable was probably meant."""
    for start in NAMESPACES:
        at = text.find("{" + start + ".")
        while at >= 0:
            end = text.find("}", at, at + _WRITTEN_MAX)
            alone = text[at - 1 : at] != "{" and text[end + 1 : end + 2] != "}"
            if end > 0 and alone and _PATH.match(text[at + 1 + len(start) : end]):
                written = text[at : end + 1]
                message = f"'{written}' is text: a variable has double braces, '{{{written}}}'."
                yield Mistake(written, message, "single_braces", "warning")
            at = text.find("{" + start + ".", at + 1)

"""Finds misspelt variables: texts in a template that look like a variable and are none, or another than meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from graders.samples import SAMPLE_KEYS
from graders.template import STEPS, parse_steps

NAMESPACES = ("item", "sample")
#: Keys of a sample on the service (graders guide, and recorded payloads); `output` is an alias that we tolerate.
KNOWN_SAMPLE_KEYS = frozenset(
    (*SAMPLE_KEYS, "output", "output_reasoning_summary", "output_audio", "model", "input", "finish_reason", "usage", "error")
)  # fmt: skip
#: Characters of a misspelt variable that is looked for.
_WRITTEN_MAX = 200
_PATH = re.compile(rf"{STEPS}\Z")
# A likely variable: a word in double braces, then perhaps something that begins like a path. The blanks around the path
# are stripped, not matched: two repeats that both match blanks would need quadratic time.
_BRACES = re.compile(r"\{\{([^{}]*)\}\}")
_WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Mistake:
    """A text that looks like a variable and probably means another one.

    Attributes:
        severity: "error": not a variable. "lenient": a variable that we tolerate and the service refuses. "warning":
            plain text, or a variable that may be missing.
        source: For "lenient": the evidence that the service refuses it; "" for others.
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
    """The mistakes in a template, in the order of the text. Braces around anything else are plain text."""
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
    """The mistake in one pair of braces that holds a name and perhaps a path."""
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
    """Single braces such as `{item.answer}`: plain text that was probably meant as a variable."""
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

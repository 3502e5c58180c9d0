"""Every regular expression of ours, and every search by hand, takes time linear in its text.

Whoever writes a template, a spec, a row, a judge's answer or a header chooses the texts that these see. An expression
that reads a part of its text twice for each of its characters holds the interpreter for minutes.
"""

from __future__ import annotations

import ast
import importlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.core.patterns import BRACES, DIGITS, NOT_OURS, PATTERNS, Text, run

ROOT = Path(__file__).parents[2]
SOURCES = {"graders": ROOT / "graders", "graders_sandbox": ROOT / "sandbox" / "graders_sandbox"}

#: A module without it has no expressions, and is not parsed: this table is made whenever tests are collected.
IMPORTS_RE = re.compile(r"^\s*(?:import|from) re\b", re.MULTILINE)

#: Milliseconds of processor time that the smaller text has to take at least, so that the ratio is not noise.
LEAST_MS = 1.0
#: Characters of the smaller text at most: a quadratic search takes far more than LEAST_MS for so many.
MOST = 2**14
#: How much longer the larger text is: the ratio of times is FACTOR when linear, its square when quadratic.
FACTOR = 8
#: Between the two, far from both.
RATIO_MAX = 24.0


@dataclass(frozen=True)
class RegexCall:
    """One call of the module `re`: where it stands, and the call itself."""

    key: str
    module: str
    call: ast.Call

    def patterns(self, names: dict[str, Any]) -> list[re.Pattern[str]]:
        """The compiled expression, or all that one call compiles in turn."""
        module = importlib.import_module(self.module)
        made = getattr(module, self.key.partition(":")[2], None)
        if isinstance(made, re.Pattern):
            return [made]
        if made is not None and isinstance(getattr(made, "__self__", None), re.Pattern):
            return [made.__self__]
        if isinstance(made, tuple) and not isinstance(made[0], re.Pattern):
            return [step[0].__self__ for step in made]
        call = ast.Call(ast.parse("re.compile", mode="eval").body, [self.call.args[0], *self._flags()], [])
        code = compile(ast.fix_missing_locations(ast.Expression(call)), self.key, "eval")
        return [eval(code, {**vars(module), **names})]

    def _flags(self) -> list[ast.expr]:
        by_name = [word.value for word in self.call.keywords if word.arg == "flags"]
        return by_name or self.call.args[{"compile": 1, "sub": 4}.get(self.method, 2) :]

    @property
    def method(self) -> str:
        assert isinstance(self.call.func, ast.Attribute)
        return self.call.func.attr


def expressions() -> Iterator[RegexCall]:
    """Every call of `re` in our sources that names an expression."""
    for package, folder in SOURCES.items():
        for path in sorted(folder.rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            if not IMPORTS_RE.search(source):
                continue
            parts = path.relative_to(folder).with_suffix("").parts
            module = ".".join((package, *(part for part in parts if part != "__init__")))
            for place, call in _calls(ast.parse(source), ""):
                yield RegexCall(f"{module}:{place}", module, call)


def _calls(node: ast.AST, place: str) -> Iterator[tuple[str, ast.Call]]:
    """Calls with the function, or at a module's top the assigned name, that they stand in."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        place = node.name
    elif isinstance(node, (ast.Assign, ast.AnnAssign)) and not place:
        place = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        names = (
            [node.module]
            if isinstance(node, ast.ImportFrom)
            else [name.name for name in node.names if name.asname]
        )
        assert "re" not in names, "`import re` as it is, so that this test sees each expression"
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        of = node.func.value
        if isinstance(of, ast.Name) and of.id == "re" and node.func.attr not in ("escape", "purge"):
            yield place, node
    for child in ast.iter_child_nodes(node):
        yield from _calls(child, place)


def numbered(found: Iterator[RegexCall]) -> dict[str, RegexCall]:
    """By key; the second expression of one place is `place#2`."""
    by_key: dict[str, RegexCall] = {}
    for one in found:
        key, n = one.key, 1
        while key in by_key:
            n += 1
            key = f"{one.key}#{n}"
        by_key[key] = one
    return by_key


FOUND = numbered(expressions())


def cpu_ms(work: Callable[[Any], Any], text: Any) -> float:
    """Processor time of this thread."""
    started = time.thread_time_ns()
    work(text)
    return (time.thread_time_ns() - started) / 1e6


def growth(work: Callable[[Any], Any], text: Text) -> float:
    """How much longer a text takes that is FACTOR times as long; 1.0 where even the longest takes no time."""
    n = 64
    while (least := min(cpu_ms(work, text(n)) for _ in range(3))) < LEAST_MS:
        n *= 2
        if n >= MOST:
            return 1.0
    return cpu_ms(work, text(FACTOR * n)) / least


def is_linear(work: Callable[[Any], Any], text: Text) -> bool:
    """Whether one of three measurements says so: what else runs on the machine lengthens some, and shortens none."""
    return any(growth(work, text) < RATIO_MAX for _ in range(3))


def test_every_expression_is_attacked() -> None:
    """A new expression needs a row in PATTERNS of patterns.py, with the texts that are worst for it."""
    assert sorted(set(FOUND) - {*PATTERNS, *NOT_OURS}) == [], "add these to PATTERNS in patterns.py"


def test_every_row_has_an_expression() -> None:
    """Each row of PATTERNS belongs to an expression that is there."""
    assert sorted({*PATTERNS, *NOT_OURS} - set(FOUND)) == [], "move these in patterns.py, or take them out"


@pytest.mark.parametrize("key", sorted(PATTERNS.keys() & FOUND.keys()))
def test_expressions_are_linear(key: str) -> None:
    """H2 of the review: four of them were quadratic or cubic."""
    entry = PATTERNS[key]
    for pattern in FOUND[key].patterns(entry.names):
        how = FOUND[key].method if FOUND[key].method != "compile" else entry.how

        def work(text: str, pattern: re.Pattern[str] = pattern, how: str = how) -> object:
            if how == "sub":
                return pattern.sub("", text)
            found = getattr(pattern, how)(text)
            return sum(1 for _ in found) if how == "finditer" else found

        for number, text in enumerate(entry.texts):
            assert is_linear(work, text), f"{pattern.pattern!r}, text {number}: {text(40)!r}"


def _template(text: str) -> object:
    from graders.template import Template

    return Template(text)


def _mistakes(text: str) -> object:
    from graders.template.mistakes import mistakes

    return mistakes(text)


def _without_blanks(text: str) -> object:
    from graders.preflight.graders import _without_blanks

    return _without_blanks(text)


def _verdict(text: str) -> object:
    from graders.judges.reading import read_verdict
    from graders.verdict import AmbiguousVerdict, Verdict

    try:
        return read_verdict(text, Verdict(), tolerant=True)
    except AmbiguousVerdict:
        return None


def _duration(text: str) -> object:
    from graders.endpoints.concurrency import retry_after

    return retry_after({"x-ratelimit-reset-requests": text}, 0.0)


def _ends(text: str) -> object:
    from graders.adapters.decoded import SpecialTokens

    return SpecialTokens(["</s>", "<pad>"]).answer(text)


def _nearest(names: list[str]) -> object:
    from graders.suggest import did_you_mean

    return did_you_mean("abc" * 20, names)


def _nearest_long(text: str) -> object:
    from graders.suggest import did_you_mean

    return did_you_mean(text, ["b" * 50, text[:-1]])


SEARCHES: list[tuple[str, Callable[[Any], object], list[Text]]] = [
    ("a template", _template, BRACES),
    ("mistakes of a template", _mistakes, BRACES),
    ("equal templates", _without_blanks, BRACES),
    ("a judge's answer", _verdict, [
        run("\n", "x", "```\n"), run(" ", "\nx", "``` "), run("```\n", "x"), run("{"), run('{"a":'), run("{", start='{"a": "'),
        run('{"a": 1,'), run("{},", start='{"a":[' * 100), run('{"a', '"'), run("<think>"), run(" ", start="<think>"),
        run('{"\\"'), run("{}"), run('{"a": NaN,'),
    ]),
    ("special tokens at the end", _ends, [run("</s>", "x"), run("</s>"), run(" </s>"), run(" ", "x"), run(" ")]),
    ("a duration", _duration, [*DIGITS, run("1m")]),
    ("the nearest of many names", _nearest, [lambda n: ["abd" * 20 + str(k) for k in range(n // 64)]]),
    ("the nearest to a long name", _nearest_long, [run("a"), run("ab")]),
]  # fmt: skip


@pytest.mark.parametrize(("work", "texts"), [s[1:] for s in SEARCHES], ids=[s[0] for s in SEARCHES])
def test_searches_are_linear(work: Callable[[Any], object], texts: list[Text]) -> None:
    """Functions that search by hand take time linear in their text."""
    for number, text in enumerate(texts):
        assert is_linear(work, text), f"text {number}: {text(40)!r}"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"\{\{\s*([A-Za-z_]\w*)\s*([.\[][^{}]*?)?\s*\}\}", run(" ", start="{{a")),
        (r"(\d+(?:\.\d+)?)(ms|s|m|h)", run("1")),
    ],
)
def test_the_measure_sees_what_is_not_linear(pattern: str, text: Text) -> None:
    """Two expressions of the review that were not: one of five measurements says so, since a busy machine hides it in some."""
    compiled = re.compile(pattern)

    assert any(
        growth(lambda given: sum(1 for _ in compiled.finditer(given)), text) > RATIO_MAX for _ in range(5)
    )

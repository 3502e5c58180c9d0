"""The forms of tests for `run_untrusted`. Each becomes a function of the child that returns one result."""

from __future__ import annotations

import builtins
import types
from collections.abc import Callable, Mapping
from types import SimpleNamespace

from graders_sandbox import protocol

from .client import Child, ChildEnded, UntrustedError
from .plain import same

#: False, since importing typing would add pages that each fork copies.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    TestStatus = Literal[
        "passed", "failed", "error", "timeout", "memory", "disk", "crash", "exit", "unreadable"
    ]


class TestResult(SimpleNamespace):
    """The result of one test.

    Attributes:
        status: "passed"; "failed" (a wrong answer); "error" (an exception); "timeout"; "memory"; "disk"; "crash" (a
            signal); "exit" (the code exited); "unreadable" (the answer is not plain data).
        text: The reason, without the expected value.
    """

    status: TestStatus
    text: str

    def __init__(self, status: TestStatus, text: str = "") -> None:
        super().__init__(status=status, text=text)

    @property
    def passed(self) -> bool:
        return self.status == "passed"


def prepared(test: object, names: tuple[str, ...]) -> Callable[[Child], TestResult]:
    """The test as a function of the child.

    Args:
        test: A test in one of the forms in `run_untrusted`.
        names: The functions under test.

    Raises:
        TypeError, ValueError, SyntaxError: it has none of these forms, or names no function.
    """
    if isinstance(test, str):
        if not names:
            raise ValueError("tests that are text need entry=, the name of the function under test")
        return _text_test(compile(test, "<test>", "exec", dont_inherit=True), names)
    if not isinstance(test, Mapping):
        raise TypeError(f"a test is text or a dict, not {type(test).__name__}")
    if "stdout" in test:
        return _program_test(str(test.get("stdin", "")), str(test["stdout"]))
    if "expect" not in test:
        raise ValueError(
            f"a test needs 'expect' or 'stdout'; this one has {', '.join(map(repr, test)) or 'nothing'}"
        )
    name = test.get("call") or (names[0] if names else None)
    if not isinstance(name, str):
        raise ValueError("a test needs 'call', or entry=, the name of the function under test")
    return _call_test(name, test)


def result(test: Callable[[Child], TestResult], child: Child) -> TestResult:
    """Run one test."""
    try:
        return test(child)
    except ChildEnded as ended:
        return TestResult(ended.status, str(ended))
    except UntrustedError as error:
        return TestResult("error", str(error))
    except Exception as error:
        # of the test's own text
        return TestResult("error", f"{type(error).__name__} in the test: {error}")


def _call_test(name: str, test: Mapping[str, Any]) -> Callable[[Child], TestResult]:
    expected, tolerance = test["expect"], float(test.get("tolerance", 0.0))
    args, kwargs = list(test.get("args", ())), dict(test.get("kwargs", {}))

    def run(child: Child) -> TestResult:
        got = child.call(name, args, kwargs)
        if same(got, expected, tolerance):
            return TestResult("passed")
        return TestResult("failed", f"{name} returned {_shown(got)}")

    return run


class _Names(dict[str, object]):
    """The built-ins of test text. While `check` runs, unknown names are functions of the code, as in HumanEval."""

    child: Child | None = None

    def __missing__(self, name: str) -> object:
        if self.child is None:
            raise KeyError(name)
        return self.child.function(name)


def _text_test(code: types.CodeType, names: tuple[str, ...]) -> Callable[[Child], TestResult]:
    def run(child: Child) -> TestResult:
        child.ready()
        functions = {name: child.function(name) for name in names}
        known = _Names(vars(builtins))
        space: dict[str, Any] = {"__name__": "grader_test", "__builtins__": known, **functions}
        try:
            exec(code, space)
            check = space.get("check")
            if isinstance(check, types.FunctionType):
                known.child = child
                # a prompt before the test may have defined them too
                space.update(functions)
                check(functions[names[0]])
        except AssertionError as error:
            return TestResult("failed", f"AssertionError: {error}" if str(error) else "an assertion failed")
        return TestResult("passed")

    return run


def _program_test(stdin: str, stdout: str) -> Callable[[Child], TestResult]:
    def lines(text: str) -> list[str]:
        return [line.rstrip() for line in text.rstrip().splitlines()]

    def run(child: Child) -> TestResult:
        got = child.program(stdin)
        if lines(got) == lines(stdout):
            return TestResult("passed")
        return TestResult("failed", f"it wrote {_shown(got)}")

    return run


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:
        # an integer with more digits than Python prints
        text = "a very long integer"
    return protocol.cut(text, 200)

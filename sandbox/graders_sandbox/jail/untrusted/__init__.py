"""`run_untrusted`, for graders of programs that a model wrote: it runs them in a second jailed child.

Code inside `grade` controls that sample's score: it sees `item`, and the pipe for the result. So code that `grade`
judges must not run there. It runs in a separate child, forked from a template that never held the row or any grader's
source, and receives only the code and, one by one, the arguments of calls. Its answers are read as plain data (numbers,
texts, lists, ...) and compared in the grader's process. It can claim a wrong value, but it cannot know the right one.

    from graders_sandbox import run_untrusted

    def grade(sample, item):
        verdict = run_untrusted(sample["output_text"], item["tests"], timeout=5, entry="add")
        return verdict.score
"""

from __future__ import annotations

import _socket
import json
import sys
from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import graders_sandbox

from . import messages, program
from .client import Child
from .forms import TestResult, prepared, result

#: False, since importing typing would add pages that each fork copies.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = Any

MEMORY_BYTES = 512 * 1024**2
#: Python rewrites a function's code when it has run eight times.
_REHEARSALS = 10


class UntrustedResult(SimpleNamespace):
    """One result for each test, in order.

    Attributes:
        results: Results of the tests; code that does not load fails them all.
    """

    results: tuple[TestResult, ...]

    def __init__(self, results: tuple[TestResult, ...]) -> None:
        super().__init__(results=results)

    @property
    def passed(self) -> int:
        """The number of passed tests."""
        return sum(result.passed for result in self.results)

    @property
    def ok(self) -> bool:
        """Whether there are tests and all passed."""
        return bool(self.results) and self.passed == len(self.results)

    @property
    def score(self) -> float:
        """The fraction that passed, in [0, 1]; 0.0 when there are no tests."""
        return self.passed / len(self.results) if self.results else 0.0


def run_untrusted(
    code: str,
    tests: str | Sequence[str | Mapping[str, Json]],
    timeout: float = 10.0,
    *,
    entry: str | Sequence[str] | None = None,
    memory_bytes: int = MEMORY_BYTES,
) -> UntrustedResult:
    """Run untrusted code against tests, in a separate process. Works only inside `grade`.

    Tests come in these forms; a sequence may mix them:

        {"args": [1, 2], "expect": 3}    calls `entry`, or the function in "call"; optional "kwargs", and "tolerance"
                                         (absolute, for floats). A tuple equals a list with the same elements, since
                                         JSON has only lists.
        {"stdin": "1 2", "stdout": "3"}  runs the code as a program in a fresh child; blanks at line ends do not count
        "assert add(1, 2) == 3"          statements that run here, with `entry` as functions that call the child
        "def check(candidate): ..."      as in HumanEval: `check` is called with the first of `entry`. Names that the
                                         test does not define are functions of the code and return what it claims:
                                         if a prompt defines them, put it before the test's text.

    Test text is trusted like the grader itself. The child's answers are None, bool, int, float, complex, str, bytes,
    list, tuple, set, frozenset or dict: an answer of another type fails the test. numpy's scalars and arrays become
    numbers and lists. Arguments must be of these types too; changes that the code makes to them stay in the child.

    Only the code itself can fail a test. When the sandbox cannot start its child, the whole sample is repeated.

    Args:
        code: A module's source.
        tests: The tests; a single text is one test.
        timeout: Seconds of the code for all tests together. When a test ends the child, the others continue in a new
            one, whose start does not count.
        entry: The functions under test.
        memory_bytes: Address space of the child beyond the template; at most the sample's own limit.

    Raises:
        RuntimeError: not inside `grade` of a sandbox.
        TypeError, ValueError: a test has none of these forms, or names no function.
    """
    names = (entry,) if isinstance(entry, str) else tuple(entry or ())
    listed = [tests] if isinstance(tests, (str, Mapping)) else list(tests)
    runs = [prepared(test, names) for test in listed]
    child = Child(code, timeout, memory_bytes)
    try:
        return UntrustedResult(tuple(result(run, child) for run in runs))
    finally:
        child.stop()


class _RehearsedChild(Child):
    """A child that answers in this process, for rehearsals."""

    def __init__(self) -> None:
        self._left = 1.0
        self._number = 0
        self._broken = None
        self._channel, self._theirs = _socket.socketpair()
        self._space: dict[str, Any] = {}

    def _ask(self, request: list[Any]) -> Any:
        # the answer is written before the question, since no other process writes it
        answer = program.answer(self._space, json.dumps([self._number + 1, *request]).encode())
        messages.send(self._theirs, answer)
        value = super()._ask(request)
        messages.receive(self._theirs)
        return value


def rehearse() -> None:
    """Run the code of both sides of a child once, in the first template, as `template.warm` does for the other code."""
    graders_sandbox.run_untrusted  # noqa: B018  # looked up once, for all programs that import it
    child = _RehearsedChild()
    forms = [{"args": [1, "x"], "expect": [1, "x"]}, "def check(f):\n    assert f(1, [2.0]) == (1, [2.0])"]
    for _ in range(_REHEARSALS):
        child._ask(["load", "def f(*args):\n    return args\n", 0])
        for test in forms:
            result(prepared(test, ("f",)), child)
    del sys.modules[program.MODULE]

"""For graders of programs that a model wrote: `run_untrusted` runs them in a second jailed child.

Whoever runs inside `grade` owns that sample's score: it sees `item`, and the pipe that the result goes to. So code that
`grade` is to judge must not run there. Here it runs in a child of its own, a fork of a template that never held the row or
any grader's source: it is told the code and, one by one, the arguments of calls. What it answers is read as plain data
(numbers, texts, lists, ...) and compared in the grader's process. It can claim a wrong value; it cannot know the right one.

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

TYPE_CHECKING = False  # without typing, whose pages each fork would copy
if TYPE_CHECKING:
    from typing import Any

    Json = Any

MEMORY_BYTES = 512 * 1024**2
_REHEARSALS = 10  # Python rewrites a function's code when it has run eight times


class Verdict(SimpleNamespace):
    """One result for each test, in order.

    Attributes:
        results: Of the tests; a code that does not even load fails them all.
    """

    results: tuple[TestResult, ...]

    def __init__(self, results: tuple[TestResult, ...]) -> None:
        super().__init__(results=results)

    @property
    def passed(self) -> int:
        """How many passed."""
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
) -> Verdict:
    """Run code that nobody trusts against tests. Works inside `grade` only, in a process of its own.

    Tests come in these forms; a sequence may mix them:

        {"args": [1, 2], "expect": 3}       calls `entry`, or what "call" names; "kwargs" and "tolerance" (absolute, for
                                            floats) if wanted. A tuple equals a list with the same things in it, since
                                            JSON has only lists.
        {"stdin": "1 2", "stdout": "3"}     runs the code as a program in a fresh child; blanks at line ends do not count
        "assert add(1, 2) == 3"             statements that run here, with `entry` as functions that call the child
        "def check(candidate): ..."         as HumanEval has it: `check` is called with the first of `entry`. Names that
                                            the test does not define are functions of the code. They answer what the
                                            code claims: where a prompt defines them, put it before the test's text.

    Test text is trusted like the grader itself. What the child answers arrives as None, bool, int, float, complex, str,
    bytes, list, tuple, set, frozenset or dict and nothing else: an answer of another type fails the test. numpy's scalars
    and arrays come as numbers and lists. Arguments must be of these types too; changes that the code makes to them stay
    in the child.

    Only what the code does fails a test. When the sandbox cannot start its child, the whole sample is done again.

    Args:
        code: A module's source.
        tests: A text alone is one test.
        timeout: Seconds that the code may take for all tests together. When a test ends the child, the others go on in a
            new one; the time to start it is not counted.
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
        return Verdict(tuple(result(run, child) for run in runs))
    finally:
        child.stop()


class _RehearsedChild(Child):
    """A child whose answers are made in this process."""

    def __init__(self) -> None:
        self._left = 1.0
        self._number = 0
        self._broken = None
        self._channel, self._theirs = _socket.socketpair()
        self._space: dict[str, Any] = {}

    def _ask(self, request: list[Any]) -> Any:
        # The answer has to be there before the question: nobody else would write it.
        answer = program.answer(self._space, json.dumps([self._number + 1, *request]).encode())
        messages.send(self._theirs, answer)
        value = super()._ask(request)
        messages.receive(self._theirs)
        return value


def rehearse() -> None:
    """In the first template: run what samples run for a child and the child for them, as `template.warm` does for all others."""
    graders_sandbox.run_untrusted  # noqa: B018  # looked up once, for all programs that import it
    child = _RehearsedChild()
    forms = [{"args": [1, "x"], "expect": [1, "x"]}, "def check(f):\n    assert f(1, [2.0]) == (1, [2.0])"]
    for _ in range(_REHEARSALS):
        child._ask(["load", "def f(*args):\n    return args\n", 0])
        for test in forms:
            result(prepared(test, ("f",)), child)
    del sys.modules[program.MODULE]

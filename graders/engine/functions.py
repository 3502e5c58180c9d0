"""Graders written as Python: a function `grade(sample, item)` as the spec of a python grader.

    @graders.python
    def grade(sample, item):
        return float(sample["output_text"] == item["answer"])

    grade.run("Paris", {"answer": "Paris"}).reward

The function is sent to the sandbox as source text, so it cannot use names from outside of itself.
"""

from __future__ import annotations

import dis
import inspect
import textwrap
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any, overload

from graders.engine.backends import Backends
from graders.engine.compile import compile
from graders.engine.grader import Grader
from graders.errors import Problem, SpecError
from graders.kinds import program_grader

#: The function's name in the program, whatever its name here.
ENTRY = "grade"


@overload
def python(grade: Callable[..., Any], *, name: str = "", backends: Backends | None = None) -> Grader: ...
@overload
def python(*, name: str = "", backends: Backends | None = None) -> Callable[[Callable[..., Any]], Grader]: ...
def python(
    grade: Callable[..., Any] | None = None, *, name: str = "", backends: Backends | None = None
) -> Grader | Callable[[Callable[..., Any]], Grader]:
    """The Grader of a function `grade(sample, item)`, whose source runs in the sandbox; also a decorator.

    Args:
        grade: Gets the sample object and the item, and returns a finite number. Imports stand inside of it.
        name: The grader's name; default: the function's.
        backends: As in `graders.compile`.

    Raises:
        SpecError: the source cannot be found, or the function uses names from outside of itself.
    """
    if grade is None:
        return lambda function: python(function, name=name, backends=backends)
    return compile(program_grader(source_of(grade), name or grade.__name__), backends=backends)


def source_of(function: Callable[..., Any]) -> str:
    """The source of a program whose `grade` is this function.

    Raises:
        SpecError: the source cannot be found, or the function uses names from outside of itself; the message lists
            them and says what to do instead.
    """
    label = getattr(function, "__qualname__", repr(function))
    if not inspect.isfunction(function):
        raise _refused(label, "is no function that is written in Python")
    if function.__name__ == "<lambda>":
        raise _refused(label, "is a lambda, whose source is a part of a line; write it with def")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise _refused(label, "is no plain function: grade(sample, item) returns a number")
    if function.__code__.co_freevars:
        taken = ", ".join(function.__code__.co_freevars)
        raise _refused(
            label, f"takes {taken} from the function around it; define it inside of {function.__name__}"
        )
    outside = [name for name in dict.fromkeys(_globals(function.__code__)) if name in function.__globals__]
    outside = [name for name in outside if name != function.__name__]
    if outside:
        raise _refused(
            label,
            f"uses {', '.join(outside)} of its module, which the program would not have; import or define it inside of "
            f"{function.__name__}, or pass the whole file: graders.compile('file.py')",
        )
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        raise _refused(label, "has no source that can be read; write it in a file") from None
    # annotations may use names that the program lacks, so they must not be evaluated
    source = f"from __future__ import annotations\n\n\n{source[source.index('def ') :]}"
    return source if function.__name__ == ENTRY else f"{source}\n\n{ENTRY} = {function.__name__}\n"


def _globals(code: CodeType) -> Iterator[str]:
    """The global names that a function and its inner functions load."""
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield step.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _globals(constant)


def _refused(label: str, why: str) -> SpecError:
    return SpecError([Problem("source", f"{label} cannot be a python grader: it {why}.", "not_a_program")])

"""Runs programs of python graders in the sandbox and turns its outcomes into answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from graders.ask import Answer, CodeAsk, CodeReply
from graders.engine.futures import follow
from graders.errors import GradeError, PythonRuntimeError, PythonServerError, SampleParseError

if TYPE_CHECKING:
    from graders_sandbox import Outcome, Sandbox

#: Sandbox outcomes that the program itself caused: python_grader_runtime_error. The others become
#: python_grader_server_error with the outcome as its type; how the service reports time-outs is not published.
RUNTIME_OUTCOMES = ("grader_error", "bad_return")


def submit_programs(
    sandbox: Callable[[], Sandbox], asked: Sequence[tuple[CodeAsk, Future[Answer]]], deadline: float | None
) -> None:
    """Submit programs, with a single wake-up of the sandbox's thread.

    Args:
        sandbox: Returns the sandbox; the error of an invalid configuration becomes the rows' answer.
    """
    try:
        runner = sandbox()
    except (ValueError, TypeError) as error:
        text = f"the [sandbox] configuration is not valid: {error}"
        for _, future in asked:
            future.set_result(PythonServerError(text, "infrastructure"))
        return
    timeout_s = None if deadline is None else max(0.001, deadline - time.monotonic())
    with runner.batch_submissions():
        for ask, future in asked:
            try:
                running = runner.submit(ask.source, ask.sample, ask.item, key=ask.key, timeout_s=timeout_s)
            except (TypeError, ValueError, RecursionError) as error:
                message = f"the row cannot be sent to the program as JSON: {error}"
                future.set_result(SampleParseError(message))
            else:
                follow(running, future, _code_answer, running.cancel)


def _code_answer(outcome: Outcome) -> Answer:
    if outcome.value is not None:
        return CodeReply(outcome.value, outcome.held_by, outcome.printed, outcome.wall_s)
    error: GradeError
    if outcome.status in RUNTIME_OUTCOMES:
        error = PythonRuntimeError(outcome.text or outcome.error_type)
    else:
        error = PythonServerError(outcome.text or outcome.status, outcome.status)
    printed = {"printed": outcome.printed} if outcome.printed else {}
    return error.replace(usage=None, provenance=printed, seconds=outcome.wall_s)

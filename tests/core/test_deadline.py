"""A deadline holds whoever answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future

import pytest

import graders
from graders.ask import Answer, Ask
from graders.engine import futures
from graders.engine.backends import Backends
from graders.errors import GradeError
from tests.specs import multi, python, string_check


class UnansweredBackends(Backends):
    """Backends that never answer and keep the futures."""

    def __init__(self) -> None:
        super().__init__()
        self.futures: list[Future[Answer]] = []

    def submit(
        self, asks: Sequence[Ask | GradeError], *, deadline: float | None = None
    ) -> list[Future[Answer]]:
        self.futures = [Future() for _ in asks]
        return self.futures


@pytest.mark.parametrize("how", ["run", "arun"])
def test_a_deadline_ends_the_wait(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """A row whose answer does not come in time is flagged, and its asks are cancelled."""
    monkeypatch.setattr(futures, "LATE_S", 0.05)
    silent = UnansweredBackends()
    spec = multi("a + b", {"a": python(), "b": string_check()})
    grader = graders.compile(spec, backends=silent)

    if how == "run":
        result = grader.run("x", {"answer": "x"}, timeout_s=0.1)
    else:
        result = asyncio.run(grader.arun("x", {"answer": "x"}, timeout_s=0.1))

    assert result.flags == ("unresponsive_reward_error",)
    assert result.sub_rewards == {"a": 0.0, "b": 1.0}
    assert [future.cancelled() for future in silent.futures] == [True]


def test_cancelling_the_caller_cancels_the_asks() -> None:
    """Cancelling a caller's task cancels its asks."""
    silent = UnansweredBackends()
    grader = graders.compile(python(), backends=silent)

    async def go_away() -> None:
        task = asyncio.ensure_future(grader.arun("x"))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(go_away())

    assert [future.cancelled() for future in silent.futures] == [True]

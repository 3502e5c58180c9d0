"""Every kind of ask has a place among those that the server admits."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, get_args

import pytest

import graders
from graders.ask import Ask, CodeAsk, EmbedAsk, EndpointAsk, ModelAsk, SampleAsk
from graders.server.limits import AdmissionBackends, Limits, Overloaded
from graders.server.metrics import Metrics
from graders.verdict import Verdict

ASKS: list[Ask] = [
    CodeAsk("def grade(sample, item): return 1.0", {}, {}),
    ModelAsk("m", (), Verdict()),
    EmbedAsk(("a",)),
    SampleAsk("m", ()),
    EndpointAsk("http://localhost/", {}, {}),
]


class UnansweredBackends(graders.Backends):
    """Backends that answer nothing."""

    def submit(self, asks: Sequence[Any], *, deadline: float | None = None) -> list[Future[Any]]:
        return [Future() for _ in asks]


@pytest.mark.parametrize("ask", ASKS, ids=lambda ask: type(ask).__name__)
def test_one_ask_too_many_is_refused(ask: Ask) -> None:
    shared = AdmissionBackends(UnansweredBackends(), Limits(code=1, judge=1, embed=1), Metrics())
    shared.submit([ask])
    with pytest.raises(Overloaded, match=r"1 .* run or wait already"):
        shared.submit([ask])


def test_the_table_has_every_kind() -> None:
    assert {type(ask) for ask in ASKS} == set(get_args(Ask))

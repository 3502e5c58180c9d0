"""What Azure adds to the format: `invalid_grade` of a multi, and the type endpoint (F9)."""

from __future__ import annotations

from typing import Any

import pytest

import graders
from graders.ask import EndpointAsk, EndpointReply
from graders.row import Row
from tests.specs import endpoint, multi, string_check, text_similarity

BROKEN = string_check(reference="{{item.nothing}}")


@pytest.mark.parametrize(
    ("spec", "sample", "reward", "ok"),
    [
        pytest.param(multi(invalid_grade=-1), "x", 1.0, True, id="a graded row keeps its reward"),
        pytest.param(multi("a", {"a": BROKEN}, invalid_grade=-1), "x", -1.0, False, id="a failed member"),
        pytest.param(multi("a / 0", invalid_grade=0.5), "x", 0.5, False, id="a formula without a value"),
        pytest.param(multi(invalid_grade=0.5), {"odd": 1}, 0.5, False, id="a sample that cannot be read"),
        pytest.param(
            multi("a + b", {"a": BROKEN, "b": text_similarity()}),
            "x",
            1.0,
            False,
            id="without it: 0 in the formula",
        ),
    ],
)
def test_invalid_grade_replaces_no_flag(spec: dict[str, Any], sample: Any, reward: float, ok: bool) -> None:
    """invalid_grade is added to the flags of a failed row and replaces none."""
    result = graders.run(spec, sample, {"answer": "x"})

    assert (result.reward, result.ok) == (reward, ok)


def test_an_endpoints_score_is_the_reward() -> None:
    """The row is asked about as it is; the score is the reward, without a bound."""
    grader = graders.compile(endpoint(rate_limit=50, headers={"x-team": "a"}))

    (ask,) = grader.kind.ask(Row("Paris", {"answer": "Paris"}))
    assert isinstance(ask, EndpointAsk)
    assert (ask.url, ask.item, ask.requests_per_minute) == (
        "https://grader.example.com/grade",
        {"answer": "Paris"},
        3000,
    )
    assert ask.sample["output_text"] == "Paris"
    assert grader.kind.grade(Row("x"), [EndpointReply(8.0, {"score": 8})]).value == 8.0


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"url": "ftp://x"}, "invalid_value"),
        ({"rate_limit": 1, "max_rps": 1}, "conflicting_parameters"),
        ({"rate_limit": 0}, "invalid_value"),
    ],
)
def test_mistakes_of_an_endpoint_are_refused(fields: dict[str, Any], code: str) -> None:
    with pytest.raises(graders.SpecError) as caught:
        graders.validate(endpoint(**fields))

    assert [problem.code for problem in caught.value.problems] == [code]


@pytest.mark.parametrize("spec", [endpoint(), multi(invalid_grade=0.0)], ids=["endpoint", "invalid_grade"])
def test_strict_refuses_azures_own_type(spec: dict[str, Any]) -> None:
    graders.validate(spec)
    with pytest.raises(graders.SpecError):
        graders.validate(spec, strict=True)

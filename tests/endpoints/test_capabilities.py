"""What an error response teaches, and what it must not: the two rules, pauses and refusals, case by case."""

from __future__ import annotations

import json
from typing import Any

import pytest

from graders.endpoints.capabilities import EndpointCapabilities, refused_feature
from graders.endpoints.complaint import Complaint
from graders.endpoints.failures import final_failure
from graders.errors import ModelRefusal, ModelStop

BODY: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "developer", "content": "Grade."}, {"role": "user", "content": "4"}],
    "stream": False,
    "temperature": 0.5,
    "top_p": 0.9,
    "seed": 1,
    "max_completion_tokens": 50,
    "reasoning_effort": "low",
    "response_format": {
        "type": "json_schema",
        "json_schema": {
            "name": "score",
            "strict": True,
            "schema": {"type": "object", "additionalProperties": False},
        },
    },
}


def complaint(status: int, body: Any, **headers: str) -> Complaint:
    text = body if isinstance(body, str) else json.dumps(body)
    return Complaint(status, text, {name.replace("_", "-"): value for name, value in headers.items()})


def error(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


ECHO = {
    "detail": [
        {"type": "missing", "loc": ["body", "messages", 0, "content"], "msg": "Field required", "input": BODY}
    ]
}

LESSONS = [
    # status, body, what is left out from then on
    (400, error("Unsupported parameter: 'temperature'"), "temperature"),
    (400, error("Model grok-4 does not support parameter reasoningEffort."), "reasoning_effort"),
    (
        422,
        {
            "detail": [
                {"loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "type": "extra_forbidden"}
            ]
        },
        "seed",
    ),
    (400, error("unknown argument", param="top_p"), "top_p"),
    (400, error("Unrecognized request argument supplied: stream"), "stream"),
    (400, error("'response_format.type' must be 'json_schema' or 'text'"), "mode"),
    (400, error('Unknown name "additionalProperties": Cannot find field.'), "mode"),
    (400, error("Invalid parameter: 'strict'"), "mode"),
    (500, error("response_format is not implemented"), "mode"),
    (400, error("Unexpected message role."), "developer"),
    (400, error("Incorrect ROLE information"), "developer"),
    # nothing to learn
    (400, error("This model's maximum context length is 4096 tokens"), ""),
    (400, error("temperature must be between 0 and 2"), ""),
    (400, error("the upstream stopped; limits were exceeded"), ""),
    (400, error("Invalid value for 'messages[1].content'"), ""),
    (422, ECHO, ""),
    (403, error("Your role may not use this model"), ""),
    (429, error("temperature is not supported"), ""),
    (503, error("response_format is not supported"), ""),
    (401, error("response_format"), ""),
]


@pytest.mark.parametrize(("status", "body", "feature"), LESSONS)
def test_errors_that_disable_a_capability(status: int, body: Any, feature: str) -> None:
    assert refused_feature(complaint(status, body), BODY, proven=False) == feature


def test_a_500_of_a_server_that_works_teaches_nothing() -> None:
    found = complaint(500, error("response_format is not implemented"))
    assert refused_feature(found, BODY, proven=True) == ""


def test_only_sent_features_can_be_refused() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "4"}]}
    for status, said, feature in LESSONS:
        if feature:
            assert refused_feature(complaint(status, said), body, proven=False) == ""


def test_the_mode_goes_down_once_for_each_refusal_and_up_when_it_works() -> None:
    """Two questions that are refused in the same mode take one step; a late answer in a better mode takes it back."""
    capabilities = EndpointCapabilities()
    assert capabilities.refuse_mode(0)
    assert capabilities.refuse_mode(0)
    assert capabilities.mode == 1
    capabilities.record_answer(0)
    assert (capabilities.mode, capabilities.proven) == (0, True)
    assert not EndpointCapabilities(adaptive=False).refuse_mode(0)
    assert not EndpointCapabilities(mode=2).refuse_mode(2)


WAITS = [
    ({"error": {"details": [{"retryDelay": "3s"}]}}, {}, 3.0),
    ([{"error": {"details": [{"retryDelay": "1.5s"}], "message": "retry in 9s"}}], {}, 9.0),
    (error("Please try again in 1m30s."), {}, 90.0),
    (error("Please retry after 2 seconds"), {}, 2.0),
    (error("Rate limit reached. Try again in 250ms"), {}, 0.25),
    (error("retry in 9s"), {"retry_after": "4"}, 4.0),
    (error("try again later"), {}, 0.0),
    ("not JSON: retry in 5 s", {}, 5.0),
]


@pytest.mark.parametrize(("body", "headers", "seconds"), WAITS)
def test_a_pause_is_read_from_the_response(body: Any, headers: dict[str, str], seconds: float) -> None:
    found = complaint(429, body, **headers)
    assert found.wait_s(0.0) == seconds
    assert found.says_when == bool(seconds)


FAILURES = [
    # status, body, the failure (None: another attempt may help)
    (403, error('Your input was flagged for "violence"'), ModelRefusal),
    (403, error("requires moderation"), ModelRefusal),
    (400, error("filtered", code="content_filter"), ModelRefusal),
    (403, error("Your account has been flagged"), ModelStop),
    (403, error("no access"), ModelStop),
    (429, error("You exceeded your current quota"), ModelStop),
    (429, error("You exceeded your current quota. Please retry in 1.2s."), None),
    (429, error("slow down"), None),
    (500, error("RateLimitError: 429 does not support higher tier"), None),
]


@pytest.mark.parametrize(("status", "body", "failure"), FAILURES)
def test_errors_that_end_a_question(status: int, body: Any, failure: type[Exception] | None) -> None:
    found = final_failure(complaint(status, body), "message", proven=False)
    assert type(found) is (failure or type(None))

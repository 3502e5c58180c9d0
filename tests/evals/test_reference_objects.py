"""The example objects of the API reference, made again and compared field by field; texts are ours and shorter.

Source: the reference's pages on evals (create, get, update, list, delete), runs (create, list, get, cancel, delete) and
output items (get, list), as of 2025.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from graders.ask import SampleAsk
from graders.evals.runner import RUNS
from graders.sampling.scripted import chat_completion
from tests.evals.support import client_of, ended, eval_server

#: Keys of ours that the examples of 2025 do not have: recorded since, or known from Azure.
NEWER = {
    "eval.run.output_item": {"_datasource_item_content_hash"},
    "result": {"type"},
    "criterion counts": {"errored"},
    "sample": {"reasoning_effort", "max_completions_tokens"},
}
LABEL = {
    "type": "label_model",
    "name": "Summary Grader",
    "model": "o3-mini",
    "labels": ["correct", "incorrect"],
    "passing_labels": ["correct"],
    "input": [
        {"role": "developer", "content": "Label it."},
        {"role": "user", "content": "Summary: {{item.input}}"},
    ],
}
CHECK = {
    "type": "string_check",
    "name": "String check",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.ground_truth}}",
}
ITEM = {
    "type": "object",
    "properties": {"input": {"type": "string"}, "ground_truth": {"type": "string"}},
    "required": ["input", "ground_truth"],
}
ROWS = [
    {"item": {"input": "Markets rally", "ground_truth": "Markets"}},
    {"item": {"input": "A summit", "ground_truth": "World"}},
]
SAMPLING = {"seed": 42, "temperature": 1.0, "top_p": 1.0, "max_completions_tokens": 2048}
SOURCE = {
    "type": "completions",
    "model": "gpt-4o-mini",
    "sampling_params": SAMPLING,
    "source": {"type": "file_content", "content": ROWS},
    "input_messages": {
        "type": "template",
        "template": [
            {"role": "developer", "content": "Categorize."},
            {"role": "user", "content": "{{item.input}}"},
        ],
    },
}
MESSAGE = {"tool_call_id": None, "tool_calls": None, "function_call": None}
NO_COUNTS = {"total": 0, "errored": 0, "failed": 0, "passed": 0}


def said(role: str, text: str) -> dict[str, Any]:
    """A message as the service gives it back in criteria and templates."""
    return {"type": "message", "role": role, "content": {"type": "input_text", "text": text}}


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, Any]]:
    """Every object, under its page's name; "ids" has what is made anew each time."""

    async def answer(ask: SampleAsk) -> Any:
        made = chat_completion("gpt-4o-mini-2024-07-18", "Markets")
        made["usage"] = {"prompt_tokens": 323, "completion_tokens": 2, "total_tokens": 325}
        return made

    with eval_server(script=answer) as server, client_of(server) as client:
        made = {
            "stored": {
                "name": "Sentiment",
                "metadata": {"description": "An eval"},
                "testing_criteria": [LABEL],
                "data_source_config": {"type": "stored_completions", "metadata": {"usecase": "chatbot"}},
            },
            "custom": {
                "name": "External Data Eval",
                "testing_criteria": [CHECK],
                "data_source_config": {"type": "custom", "item_schema": ITEM},
            },
        }
        objects: dict[str, Any] = {name: server.post("/v1/evals", body).json() for name, body in made.items()}
        path = f"/v1/evals/{objects['custom']['id']}"
        objects["updated"] = server.post(
            path, {"name": "Updated Eval", "metadata": {"description": "Updated"}}
        ).json()
        objects["evals"] = server.ask("GET", "/v1/evals?limit=1").json()
        objects["created run"] = server.post(
            f"{path}/runs", {"name": "gpt-4o-mini", "data_source": SOURCE}
        ).json()
        run = objects["created run"]["id"]
        ended(client, client.evals.runs.retrieve(run, eval_id=objects["custom"]["id"]))
        objects["runs"] = server.ask("GET", f"{path}/runs?limit=1").json()
        objects["items"] = server.ask("GET", f"{path}/runs/{run}/output_items?limit=1").json()
        item = objects["items"]["data"][0]["id"]
        objects["item"] = server.ask("GET", f"{path}/runs/{run}/output_items/{item}").json()
        objects["deleted run"] = server.ask("DELETE", f"{path}/runs/{run}").json()
        objects["deleted eval"] = server.ask("DELETE", path).json()
        yield objects


def test_an_eval_of_stored_completions_equals_the_reference(seen: dict[str, Any]) -> None:
    found = dict(seen["stored"])
    (criterion,) = found.pop("testing_criteria")

    assert criterion.pop("id").startswith("Summary Grader-")
    assert criterion == {
        **LABEL,
        "sampling_params": None,
        "input": [said("developer", "Label it."), said("user", "Summary: {{item.input}}")],
    }
    assert found == {
        "object": "eval",
        "id": seen["stored"]["id"],
        "created_at": seen["stored"]["created_at"],
        "name": "Sentiment",
        "metadata": {"description": "An eval"},
        "data_source_config": {
            "type": "stored_completions",
            "metadata": {"usecase": "chatbot"},
            "schema": {
                "type": "object",
                "required": ["item", "sample"],
                "properties": {"item": {"type": "object"}, "sample": {"type": "object"}},
            },
        },
    }


def test_a_custom_eval_of_items_alone_equals_the_reference(seen: dict[str, Any]) -> None:
    """An eval equals the reference after creation and after a change of name and metadata."""
    found = dict(seen["custom"])
    (criterion,) = found["testing_criteria"]

    assert {key: value for key, value in criterion.items() if key != "id"} == CHECK
    assert found == {
        "object": "eval",
        "id": found["id"],
        "created_at": found["created_at"],
        "name": "External Data Eval",
        "metadata": {},
        "data_source_config": {
            "type": "custom",
            "schema": {"type": "object", "properties": {"item": ITEM}, "required": ["item"]},
        },
        "testing_criteria": [criterion],
    }
    assert seen["updated"] == {**found, "name": "Updated Eval", "metadata": {"description": "Updated"}}


def test_a_list_of_evals_equals_the_reference(seen: dict[str, Any]) -> None:
    first = seen["stored"]["id"]
    assert seen["evals"] == {
        "object": "list",
        "data": [seen["evals"]["data"][0]],
        "first_id": first,
        "last_id": first,
        "has_more": True,
    }
    assert seen["evals"]["data"][0].keys() == seen["stored"].keys()


def test_a_created_run_equals_the_reference(seen: dict[str, Any]) -> None:
    """Queued; the data source as it came, with its messages in one form."""
    found, eval_id = seen["created run"], seen["custom"]["id"]
    template = [said("developer", "Categorize."), said("user", "{{item.input}}")]

    assert found.pop("report_url").endswith(f"/evals/{eval_id}?run_id={found['id']}")
    assert found == {
        "object": "eval.run",
        "id": found["id"],
        "eval_id": eval_id,
        "status": "queued",
        "model": "gpt-4o-mini",
        "name": "gpt-4o-mini",
        "created_at": found["created_at"],
        "result_counts": NO_COUNTS,
        "per_model_usage": None,
        "per_testing_criteria_results": None,
        "error": None,
        "metadata": {},
        "data_source": {**SOURCE, "input_messages": {"type": "template", "template": template}},
    }


def test_a_list_of_runs_equals_the_reference(seen: dict[str, Any]) -> None:
    """A completed one: tokens by model, counts by criterion."""
    (found,) = seen["runs"]["data"]
    (criterion,) = found.pop("per_testing_criteria_results")

    assert {key: value for key, value in seen["runs"].items() if key != "data"} == {
        "object": "list",
        "first_id": found["id"],
        "last_id": found["id"],
        "has_more": False,
    }
    assert {key: value for key, value in criterion.items() if key not in NEWER["criterion counts"]} == {
        "testing_criteria": seen["custom"]["testing_criteria"][0]["id"],
        "passed": 1,
        "failed": 1,
    }
    assert found.pop("per_model_usage") == [
        {
            "model_name": "gpt-4o-mini-2024-07-18",
            "invocation_count": 2,
            "prompt_tokens": 646,
            "completion_tokens": 4,
            "total_tokens": 650,
            "cached_tokens": 0,
        }
    ]
    assert found.pop("report_url")
    created = {key: value for key, value in seen["created run"].items() if not key.startswith("per_")}
    counted = {"total": 2, "errored": 0, "failed": 1, "passed": 1}
    assert found == {**created, "status": "completed", "result_counts": counted}


def test_an_output_item_equals_the_reference(seen: dict[str, Any]) -> None:
    """A sampled row under a check: no sample of a judge, the parameters that were asked for."""
    found = {key: value for key, value in seen["item"].items() if key not in NEWER["eval.run.output_item"]}
    (result,) = found.pop("results")
    sample = {key: value for key, value in found.pop("sample").items() if key not in NEWER["sample"]}

    assert found == {
        "object": "eval.run.output_item",
        "id": found["id"],
        "created_at": found["created_at"],
        "run_id": seen["created run"]["id"],
        "eval_id": seen["custom"]["id"],
        "status": "pass",
        "datasource_item_id": 0,
        "datasource_item": ROWS[0]["item"],
    }
    assert {key: value for key, value in result.items() if key not in NEWER["result"]} == {
        "name": seen["custom"]["testing_criteria"][0]["id"],
        "sample": None,
        "passed": True,
        "score": 1.0,
    }
    assert sample == {
        "input": [
            {"role": "developer", "content": "Categorize.", **MESSAGE},
            {"role": "user", "content": "Markets rally", **MESSAGE},
        ],
        "output": [{"role": "assistant", "content": "Markets", **MESSAGE}],
        "finish_reason": "stop",
        "model": "gpt-4o-mini-2024-07-18",
        "usage": {"total_tokens": 325, "completion_tokens": 2, "prompt_tokens": 323, "cached_tokens": 0},
        "error": None,
        "temperature": 1.0,
        "max_completion_tokens": 2048,
        "top_p": 1.0,
        "seed": 42,
    }


def test_a_list_of_output_items_equals_the_reference(seen: dict[str, Any]) -> None:
    item = seen["item"]
    assert seen["items"] == {
        "object": "list",
        "data": [item],
        "first_id": item["id"],
        "last_id": item["id"],
        "has_more": True,
    }


def test_deleted_objects_equal_the_reference(seen: dict[str, Any]) -> None:
    assert seen["deleted run"] == {
        "object": "eval.run.deleted",
        "deleted": True,
        "run_id": seen["created run"]["id"],
    }
    assert seen["deleted eval"] == {
        "object": "eval.deleted",
        "deleted": True,
        "eval_id": seen["custom"]["id"],
    }


def test_a_canceled_run_equals_the_reference() -> None:
    """A run canceled before it began has no counts, and null for fields that are made of results."""

    async def waits(ask: SampleAsk) -> str:
        await asyncio.Event().wait()
        return ""

    body = {"data_source_config": {"type": "custom", "item_schema": ITEM}, "testing_criteria": [CHECK]}
    with eval_server(script=waits) as server:
        path = f"/v1/evals/{server.post('/v1/evals', body).json()['id']}/runs"
        for _ in range(RUNS):
            server.post(path, {"data_source": SOURCE})
        run = server.post(path, {"name": "gpt-4o-mini", "data_source": SOURCE}).json()
        found = server.post(f"{path}/{run['id']}/cancel", {}).json()

    assert found == {**run, "status": "canceled"}
    nulls = ("per_model_usage", "per_testing_criteria_results", "error")
    assert [found[name] for name in nulls] == [None, None, None]

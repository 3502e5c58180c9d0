"""Objects of the service as public notebooks and guides show them: the same fields, and nulls where it has nulls."""

from __future__ import annotations

from typing import Any

import pytest

from graders.sampling.scripted import chat_completion
from tests.evals.support import client_of, ended, eval_server
from tests.server.support import RunningServer

SCHEMA = {
    "type": "object",
    "properties": {"prompt": {"type": "string"}, "media_url": {"type": "string"}},
    "required": ["prompt", "media_url"],
}
GRADER = {
    "type": "score_model",
    "name": "Score Model Grader",
    "model": "o4-mini",
    "range": [0, 1],
    "pass_threshold": 0.9,
    "input": [
        {"role": "system", "content": "You are an expert grader."},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Prompt: {{ item.prompt }}."},
                {"type": "input_image", "image_url": "{{ item.media_url }}", "detail": "auto"},
                {"type": "input_text", "text": "Model response: {{ sample.output_text }}."},
            ],
        },
    ],
}
TEMPLATE = [
    {"role": "user", "type": "message", "content": {"type": "input_text", "text": "{{ item.prompt }}"}},
    {
        "role": "user",
        "type": "message",
        "content": {"type": "input_image", "image_url": "{{ item.media_url }}", "detail": "auto"},
    },
]
ROW = {"item": {"prompt": "Is this safe?", "media_url": "https://x/1.png"}}
VERDICT = '{"steps":[{"description":"d","conclusion":"c"}],"result":0.0}'
MESSAGE = {"tool_call_id": None, "tool_calls": None, "function_call": None}


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """The image notebook's eval, its run as it was created and once it had ended, its item and its file."""

    def answer(ask: Any) -> Any:
        made = chat_completion("gpt-4o-mini-2024-07-18", "Yes.")
        made["usage"]["prompt_tokens_details"] = {"cached_tokens": 3}
        return made

    with eval_server(script=answer, judge=lambda body: VERDICT) as server, client_of(server) as client:
        return _objects(server, client)


def _objects(server: RunningServer, client: Any) -> dict[str, Any]:
    config = {"type": "custom", "item_schema": SCHEMA, "include_sample_schema": True}
    made = server.post(
        "/v1/evals", {"name": "Image Grading", "data_source_config": config, "testing_criteria": [GRADER]}
    ).json()
    source = {
        "type": "responses",
        "source": {"type": "file_content", "content": [ROW]},
        "model": "gpt-4o-mini",
        "input_messages": {"type": "template", "template": TEMPLATE},
    }
    path = f"/v1/evals/{made['id']}/runs"
    created = server.post(path, {"name": "Image Input Eval Run", "data_source": source}).json()
    ended(client, client.evals.runs.retrieve(created["id"], eval_id=made["id"]))
    file = client.files.create(file=("tickets.jsonl", b"{}"), purpose="evals")
    return {
        "eval": made,
        "created": created,
        "run": server.ask("GET", f"{path}/{created['id']}").json(),
        "item": server.ask("GET", f"{path}/{created['id']}/output_items").json()["data"][0],
        "file": server.ask("GET", f"/v1/files/{file.id}").json(),
    }


def test_an_eval_equals_the_recorded_one(seen: dict[str, Any]) -> None:
    """A created eval has the fields that notebooks print."""
    found = seen["eval"]
    config = found["data_source_config"]

    assert set(found) == {
        "id",
        "object",
        "created_at",
        "name",
        "metadata",
        "data_source_config",
        "testing_criteria",
    }
    assert (found["object"], found["metadata"], config["type"]) == ("eval", {}, "custom")
    assert config["schema"]["properties"]["item"] == SCHEMA
    assert config["schema"]["required"] == ["item", "sample"]
    assert set(config["schema"]["properties"]["sample"]["properties"]) == {
        "model",
        "choices",
        "output_text",
        "output_json",
        "output_tools",
        "output_reasoning_summary",
        "output_audio",
        "input_tools",
    }
    criterion = found["testing_criteria"][0]
    assert criterion["sampling_params"] is None
    assert criterion["input"][0] == {
        "type": "message",
        "role": "system",
        "content": {"type": "input_text", "text": "You are an expert grader."},
    }


def test_a_created_run_equals_the_recorded_one(seen: dict[str, Any]) -> None:
    """Counts of 0, and null for what is made of results; the data source as it came, sampling_params null."""
    found = seen["created"]

    names = """
        id object eval_id report_url status model name created_at result_counts per_model_usage
        per_testing_criteria_results data_source error metadata
    """
    assert set(found) == set(names.split())
    assert (found["object"], found["status"], found["model"]) == ("eval.run", "queued", "gpt-4o-mini")
    assert found["result_counts"] == {"total": 0, "errored": 0, "failed": 0, "passed": 0}
    assert (found["per_model_usage"], found["per_testing_criteria_results"], found["error"]) == (
        None,
        None,
        None,
    )
    assert found["data_source"]["sampling_params"] is None
    assert found["data_source"]["source"]["content"] == [ROW]
    assert found["data_source"]["input_messages"]["template"] == TEMPLATE


def test_an_ended_run_equals_the_recorded_one(seen: dict[str, Any]) -> None:
    """The resolved model in the usage, the criterion's id in its results."""
    found, criterion = seen["run"], seen["eval"]["testing_criteria"][0]["id"]

    assert found["result_counts"] == {"total": 1, "errored": 0, "failed": 1, "passed": 0}
    assert {
        key: found["per_testing_criteria_results"][0][key] for key in ("testing_criteria", "passed", "failed")
    } == {
        "testing_criteria": criterion,
        "passed": 0,
        "failed": 1,
    }
    assert found["per_model_usage"][0] == {
        "model_name": "gpt-4o-mini-2024-07-18",
        "invocation_count": 1,
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "cached_tokens": 3,
    }


def test_an_output_item_equals_the_recorded_one(seen: dict[str, Any]) -> None:
    """The image notebook's printed item, field by field: images as tags, parts joined by a blank, the judge's own sample."""
    found = dict(seen["item"])
    created_at, item_id = found.pop("created_at"), found.pop("id")
    content_hash = found.pop("_datasource_item_content_hash")
    judged = found["results"][0].pop("sample")
    image = "<image>https://x/1.png</image>"

    assert int(item_id.removeprefix("outputitem_")[:8], 16) == created_at
    assert len(content_hash) == 64
    assert found == {
        "object": "eval.run.output_item",
        "run_id": seen["run"]["id"],
        "eval_id": seen["eval"]["id"],
        "status": "fail",
        "datasource_item_id": 0,
        "datasource_item": ROW["item"],
        "results": [
            {
                "name": seen["eval"]["testing_criteria"][0]["id"],
                "type": "score_model",
                "passed": False,
                "score": 0.0,
            }
        ],
        "sample": {
            "input": [
                {"role": "user", "content": "Is this safe?", **MESSAGE},
                {"role": "user", "content": image, **MESSAGE},
            ],
            "output": [{"role": "assistant", "content": "Yes.", **MESSAGE}],
            "finish_reason": "stop",
            "model": "gpt-4o-mini-2024-07-18",
            "usage": {"total_tokens": 15, "completion_tokens": 5, "prompt_tokens": 10, "cached_tokens": 3},
            "error": None,
            "seed": None,
            "temperature": None,
            "top_p": None,
            "reasoning_effort": None,
            "max_completion_tokens": None,
            "max_completions_tokens": None,
        },
    }
    assert set(judged) == {
        "input",
        "output",
        "finish_reason",
        "model",
        "usage",
        "error",
        "seed",
        "temperature",
        "top_p",
        "reasoning_effort",
        "max_completions_tokens",
    }
    assert judged["input"] == [
        {"role": "system", "content": "You are an expert grader."},
        {"role": "user", "content": f"Prompt: Is this safe?. {image} Model response: Yes.."},
    ]
    assert judged["output"] == [{"role": "assistant", "content": VERDICT}]


def test_a_file_equals_the_recorded_one(seen: dict[str, Any]) -> None:
    """The guide's answer to an upload."""
    found = dict(seen["file"])

    assert found.pop("id").startswith("file-")
    assert found.pop("created_at") > 0
    assert found == {
        "object": "file",
        "purpose": "evals",
        "filename": "tickets.jsonl",
        "bytes": 2,
        "expires_at": None,
        "status": "processed",
        "status_details": None,
    }

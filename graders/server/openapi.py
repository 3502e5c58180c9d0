"""The server's OpenAPI document, from the spec models and the fields of results."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from graders._version import __version__
from graders.errors import Problem
from graders.kinds import known_types
from graders.result import NO_ERRORS, Metadata
from graders.server.errors import RETRY_AFTER_S
from graders.server.request import NDJSON
from graders.server.routing import Endpoint, Routes
from graders.usage import Usage

_JSON = "application/json"
_STRING: dict[str, Any] = {"type": "string"}
_NUMBER: dict[str, Any] = {"type": "number"}
_SAMPLE = {
    "type": "string",
    "description": "The model's output. Where it is JSON, sample.output_json has what it parses to.",
}
_ITEM = {
    "type": ["object", "null"],
    "description": "The dataset row, which templates name as item; {} when absent.",
}
_ROW_ID = {
    "type": ["string", "integer"],
    "description": "Comes back with the result; the row's number when absent.",
}


def document(routes: Routes) -> dict[str, Any]:
    """OpenAPI 3.1: the graders' paths in full, the others of `routes` by their endpoints' docstrings."""
    described = _graders()
    for path, methods in routes.items():
        name = path.removeprefix("/v1")
        if name != path and name not in described["paths"]:
            described["paths"][name] = {
                method.lower(): _by_endpoint(name, method, endpoint)
                for method, endpoint in methods.items()
                if method != "HEAD"
            }
    return described


def _by_endpoint(path: str, method: str, endpoint: Endpoint) -> dict[str, Any]:
    """The operation of an endpoint that has no description here: `create_file` becomes createFile."""
    first, *others = endpoint.__name__.split("_")
    names = re.findall(r"{(\w+)}", path)
    parameters = [{"name": name, "in": "path", "required": True, "schema": _STRING} for name in names]
    success = "201" if path.startswith("/evals") and first == "create" else "200"
    return {
        "operationId": first + "".join(map(str.capitalize, others)),
        "summary": (endpoint.__doc__ or "").partition("\n")[0].rstrip("."),
        **({"parameters": parameters} if parameters else {}),
        "responses": {
            success: _answer("As the service's own reference has it.", {"type": "object"}),
            "4XX": {"$ref": "#/components/responses/Error"},
        },
    }


def _graders() -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "local-graders",
            "version": __version__,
            "description": "The hosted service's two grader endpoints, and a few of this server's own.",
        },
        "servers": [
            {"url": "/v1", "description": "As OpenAI's."},
            {"url": "/openai/v1", "description": "As Azure's."},
        ],
        "security": [{"bearer": []}, {"api_key": []}, {}],
        "paths": {
            "/fine_tuning/alpha/graders/run": {"post": _run()},
            "/fine_tuning/alpha/graders/validate": {"post": _validate()},
            "/graders/batch": _here(_batch()),
            "/graders/problems": _here(_problems()),
            "/healthz": _read_only("health", "Whether the server lives", _JSON, "200"),
            "/readyz": _read_only("readiness", "Whether rows can be graded", _JSON, "200", "503"),
            "/state": _read_only("state", "What the page shows", _JSON, "200", "401"),
            "/metrics": _read_only("metrics", "Counters for Prometheus", "text/plain", "200", "401"),
        },
        "components": {
            "schemas": _schemas(),
            "responses": {"Error": _answer("No result; `error` says why.", _ref("ErrorResponse"))},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "api_key": {"type": "apiKey", "in": "header", "name": "api-key"},
            },
        },
    }


def _here(operation: dict[str, Any]) -> dict[str, Any]:
    """The item of a path that exists under /v1 only."""
    return {"servers": [{"url": "/v1"}], "post": operation}


def _read_only(operation_id: str, summary: str, media_type: str, *statuses: str) -> dict[str, Any]:
    """The item of a read-only path at the root."""
    schema = {"type": "object"} if media_type == _JSON else _STRING
    answer = {"description": summary, "content": {media_type: {"schema": schema}}}
    responses = {
        status: {"$ref": "#/components/responses/Error"} if status == "401" else answer for status in statuses
    }
    return {
        "servers": [{"url": "/"}],
        "get": {"operationId": operation_id, "summary": summary, "responses": responses},
    }


def _run() -> dict[str, Any]:
    request = _object(
        {"grader": _ref("Grader"), "model_sample": _SAMPLE, "item": _ITEM}, ["grader", "model_sample"]
    )
    about = "A row that could not be graded is 200 too: reward 0 and a flag in metadata.errors."
    return _operation(
        "runGrader",
        "Grade one row",
        about,
        {_JSON: request},
        _answer("The result.", _ref("RunGraderResponse")),
    )


def _validate() -> dict[str, Any]:
    request = _object({"grader": _ref("Grader")}, ["grader"])
    response = _object({"grader": _ref("Grader")}, ["grader"])
    about = (
        "The spec in canonical words, with the defaults that the service fills in; 400 with every problem."
    )
    return _operation(
        "validateGrader", "Check a grader", about, {_JSON: request}, _answer("The grader.", response)
    )


def _batch() -> dict[str, Any]:
    row = {
        "type": "object",
        "properties": {
            "id": _ROW_ID,
            "sample": {
                "description": "Text, a sample object, chat messages, a chat completion or a response."
            },
            "model_sample": _SAMPLE,
            "item": _ITEM,
        },
    }
    merge = {
        "type": ["boolean", "null"],
        "description": "Ask a judge equal questions once; null: where repeatable.",
    }
    request = _object(
        {"grader": _ref("Grader"), "rows": {"type": "array", "items": row}, "merge": merge},
        ["grader", "rows"],
    )
    about = (
        "One result a line, in the rows' order, as they come. As NDJSON the first line is this object without `rows` "
        "and every other line is a row. When no later row can be graded, the last line is an error object."
    )
    bodies = {_JSON: request, NDJSON: {"type": "string"}}
    lines = {
        "description": "A RunGraderResponse with an `id` on each line.",
        "content": {NDJSON: {"schema": _STRING}},
    }
    return _operation("batchGrade", "Grade many rows", about, bodies, lines)


def _problems() -> dict[str, Any]:
    request = _object({"spec": {"type": "string", "description": "The spec's JSON, as text."}}, ["spec"])
    problem = _object(
        {field.name: {"type": "integer" if field.type == "int" else "string"} for field in fields(Problem)},
        [field.name for field in fields(Problem)],
    )
    response = _object(
        {
            "problems": {"type": "array", "items": problem},
            "grader": {"anyOf": [_ref("Grader"), {"type": "null"}]},
        },
        ["problems", "grader"],
    )
    about = "All errors and warnings, with lines, for editors. `grader` is null when there is an error."
    return _operation(
        "graderProblems",
        "List a spec's problems",
        about,
        {_JSON: request},
        _answer("What was found.", response),
    )


def _operation(
    operation_id: str, summary: str, about: str, bodies: dict[str, Any], answer: dict[str, Any]
) -> dict[str, Any]:
    content = {media_type: {"schema": schema} for media_type, schema in bodies.items()}
    error = {"$ref": "#/components/responses/Error"}
    busy = {
        **_answer("Too much is under way.", _ref("ErrorResponse")),
        "headers": {"retry-after": {"schema": {"type": "integer", "const": RETRY_AFTER_S}}},
    }
    answer = {
        **answer,
        "headers": {
            "x-request-id": {"schema": _STRING},
            "openai-processing-ms": {"schema": {"type": "integer"}},
        },
    }
    return {
        "operationId": operation_id,
        "summary": summary,
        "description": about,
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": answer,
            **dict.fromkeys(("400", "401", "403", "408", "413", "415"), error),
            "429": busy,
        },
    }


def _schemas() -> dict[str, Any]:
    from graders.kinds.schema import grader_schema

    grader = grader_schema("#/components/schemas/{model}")
    usage = _object(
        {name: {"type": ["integer", "null"]} for name in Usage().to_wire()}, list(Usage().to_wire())
    )
    errors = {
        name: {"type": "boolean"} if value is False else {"type": ["string", "null"]}
        for name, value in NO_ERRORS.items()
    }
    metadata: dict[str, Any] = {
        "name": _STRING,
        "type": {"type": "string", "enum": list(known_types())},
        "errors": _object(errors, list(errors)),
        "execution_time": {"type": "number", "minimum": 0, "description": "Seconds."},
        "scores": {"type": "object", "additionalProperties": _NUMBER},
        "token_usage": {"anyOf": [_ref("TokenUsage"), {"type": "null"}]},
        "sampled_model_name": {"type": ["string", "null"]},
    }
    assert list(metadata) == [field.name for field in fields(Metadata)]
    response: dict[str, Any] = {
        "reward": _NUMBER,
        "metadata": _object(metadata, list(metadata)),
        "sub_rewards": {"type": "object", "additionalProperties": _NUMBER},
        "model_grader_token_usage_per_model": {
            "type": "object",
            "additionalProperties": _ref("TokenUsage"),
        },
    }
    nullable = {"type": ["string", "null"]}
    error = _object(
        {"message": _STRING, "type": _STRING, "param": nullable, "code": nullable},
        ["message", "type", "param", "code"],
    )
    return {
        **grader.pop("$defs"),
        "Grader": grader,
        "RunGraderResponse": _object(response, list(response)),
        "TokenUsage": usage,
        "ErrorResponse": _object({"error": error}, ["error"]),
    }


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _answer(about: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": about, "content": {_JSON: {"schema": schema}}}

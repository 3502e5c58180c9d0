"""The server's description: that of the public specification where that has one, and true of every answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graders.engine.backends import Backends
from graders.server import Limits, openapi
from graders.server.resources import resources
from graders.server.routing import PREFIXES, is_page
from graders.server.service import Service
from tests.server.support import BATCH, PROBLEMS, RUN, VALIDATE, RunningServer, serving
from tests.specs import label_model, multi, python, score_model, string_check, text_similarity

#: The two paths in openai/openai-openapi v2.3.0: operation, request parameters (required first), response fields.
PUBLIC = {
    "/fine_tuning/alpha/graders/run": (
        "runGrader",
        ["grader", "model_sample"],
        ["item"],
        ["reward", "metadata", "sub_rewards", "model_grader_token_usage_per_model"],
    ),
    "/fine_tuning/alpha/graders/validate": ("validateGrader", ["grader"], [], ["grader"]),
}
PUBLIC_METADATA = ["name", "type", "errors", "execution_time", "scores", "token_usage", "sampled_model_name"]
PUBLIC_ERRORS = {
    "formula_parse_error": "boolean",
    "sample_parse_error": "boolean",
    "truncated_observation_error": "boolean",
    "unresponsive_reward_error": "boolean",
    "invalid_variable_error": "boolean",
    "other_error": "boolean",
    "python_grader_server_error": "boolean",
    "python_grader_server_error_type": "string",
    "python_grader_runtime_error": "boolean",
    "python_grader_runtime_error_details": "string",
    "model_grader_server_error": "boolean",
    "model_grader_refusal_error": "boolean",
    "model_grader_parse_error": "boolean",
    "model_grader_server_error_details": "string",
}
# In two public transcripts of the live endpoints and not in the public specification.
SEEN_ERRORS = {
    "sample_parse_error_details": "string",
    "invalid_variable_error_details": "string",
    "model_grader_refusal_error_details": "string",
    "model_grader_parse_error_details": "string",
    "model_grader_exceeded_max_tokens_error": "boolean",
    "endpoint_grader_internal_error": "boolean",
    "endpoint_grader_internal_error_details": "string",
    "endpoint_grader_server_error": "boolean",
    "endpoint_grader_server_error_details": "string",
    "endpoint_grader_safety_check_error": "boolean",
}
SERVICE = Service(Backends(), Limits(), strict=False, resources=resources)
DOCUMENT = openapi.document(SERVICE.router.routes)
PATHS = {
    RUN: "/fine_tuning/alpha/graders/run",
    VALIDATE: "/fine_tuning/alpha/graders/validate",
    BATCH: "/graders/batch",
    PROBLEMS: "/graders/problems",
}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    # no judge is asked, since the document is not about their answers
    with serving(limits=Limits(timeout_s=3.0, judge=0)) as running:
        yield running


def request_schema(path: str) -> dict[str, Any]:
    schema: dict[str, Any] = DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    return schema


def check(schema: dict[str, Any], value: Any) -> None:
    """Raise unless the value is what the document says."""
    jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(value)


def check_answer(path: str, status: int, body: bytes) -> None:
    """The status is a documented one, and the body what is documented for it."""
    found = DOCUMENT["paths"][PATHS[path]]["post"]["responses"][str(status)]
    if "$ref" in found:
        found = DOCUMENT["components"]["responses"]["Error"]
    content = found["content"]
    if "application/json" in content:
        check(content["application/json"]["schema"], json.loads(body))


def test_the_schemas_are_json_schema() -> None:
    """Every schema of the document is one."""
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_the_document_is_served(server: RunningServer) -> None:
    """The server answers with the document that the code makes."""
    assert server.ask("GET", "/openapi.json").json() == DOCUMENT


@pytest.mark.parametrize("path", PUBLIC)
def test_the_two_paths_of_the_public_specification(path: str) -> None:
    """Same operations, parameters and fields; none missing, none more."""
    operation, required, optional, response = PUBLIC[path]
    post = DOCUMENT["paths"][path]["post"]
    request = request_schema(path)
    answer = post["responses"]["200"]["content"]["application/json"]["schema"]
    if "$ref" in answer:
        answer = DOCUMENT["components"]["schemas"][answer["$ref"].rpartition("/")[2]]

    assert post["operationId"] == operation
    assert request["required"] == required
    assert list(request["properties"]) == required + optional
    assert list(answer["properties"]) == answer["required"] == response


def test_the_run_response_of_the_public_specification() -> None:
    """Metadata and its errors, field by field."""
    metadata = DOCUMENT["components"]["schemas"]["RunGraderResponse"]["properties"]["metadata"]
    errors = metadata["properties"]["errors"]

    assert metadata["required"] == PUBLIC_METADATA
    assert set(errors["required"]) == {*PUBLIC_ERRORS, *SEEN_ERRORS}
    for name, wanted in (PUBLIC_ERRORS | SEEN_ERRORS).items():
        assert wanted in errors["properties"][name]["type"], name


GETS = [path for path, operations in DOCUMENT["paths"].items() if operations.get("servers") == [{"url": "/"}]]


@pytest.mark.parametrize("path", GETS)
def test_read_only_paths_are_documented(server: RunningServer, path: str) -> None:
    """Each documented path is there, with a documented status and content type."""
    answer = server.ask("GET", path)

    responses = DOCUMENT["paths"][path]["get"]["responses"]
    assert answer.headers["content-type"].partition(";")[0] in responses[str(answer.status)]["content"]


def test_every_path_is_documented() -> None:
    """Every path is documented but pages, their data, and the document itself."""
    routes = (path for path in SERVICE.router.routes if not path.startswith("/pages/") and not is_page(path))
    here = set(routes) - {"/openapi.json"}
    posts = {path for path, operations in DOCUMENT["paths"].items() if path not in GETS}
    ours = {"/graders/batch", "/graders/problems"}

    assert here == {
        *GETS,
        *(f"/v1{path}" for path in ours),
        *(p + path for p in PREFIXES for path in posts - ours),
    }


SPECS = [string_check(), text_similarity(), python(), score_model(), label_model(), multi()]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec["type"])
def test_valid_specs_are_valid_by_the_document(spec: dict[str, Any]) -> None:
    """Specs are valid by the document before and after validate."""
    import graders

    check({"$ref": "#/components/schemas/Grader"}, spec)
    check({"$ref": "#/components/schemas/Grader"}, graders.validate(spec))


# --- requests made from the document ------------------------------------------------------------------------------

TEXT = st.text(st.characters(), max_size=12) | st.sampled_from(
    [
        "{{sample.output_text}}",
        "{{ item.answer }}",
        "{{item.a[0].b}}",
        "{{",
        "}}",
        "a + b",
        "1/0",
        "^",
        "((",
        "\x00",
        "é",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
SOURCES = st.sampled_from(
    ["def grade(sample, item):\n    return 1.0\n", "", "def grade(", "x" * 300, "import os\n"]
)


def values(schema: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """Values that a schema of the document allows, and sometimes ones that it does not."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return st.deferred(lambda: values(DOCUMENT["components"]["schemas"][name], depth))
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    for union in ("oneOf", "anyOf"):
        if union in schema:
            return st.one_of([values(member, depth + 1) for member in schema[union]])
    types = schema.get("type", [])
    made = [by_type(kind, schema, depth) for kind in ([types] if isinstance(types, str) else types)]
    return st.one_of(made) if made else JSON


def by_type(kind: str, schema: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
    if kind == "object":
        known = schema.get("properties", {})
        if not known:
            more = schema.get("additionalProperties", {})
            inner = values(more, depth + 1) if isinstance(more, dict) else JSON
            return st.dictionaries(TEXT | st.sampled_from(["a", "b"]), inner, max_size=3)
        required = set(schema.get("required", []))
        fields = {
            name: SOURCES if name == "source" else values(inner, depth + 1) for name, inner in known.items()
        }
        whole = st.fixed_dictionaries(
            {name: field for name, field in fields.items() if name in required},
            optional={name: field for name, field in fields.items() if name not in required},
        )
        return whole if depth else whole | broken(whole)
    if kind == "array":
        return st.lists(values(schema.get("items", {}), depth + 1), max_size=3)
    low, high = schema.get("minimum"), schema.get("maximum")
    return {
        "string": TEXT,
        "integer": st.integers(low, high),
        "number": st.floats(low, high, allow_nan=False, allow_infinity=False),
        "boolean": st.booleans(),
        "null": st.none(),
    }[kind]


def broken(whole: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A request with one parameter gone, of another type, or too much."""

    def spoil(request: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
        return {**request, name: value}

    return st.builds(spoil, whole, st.sampled_from(["grader", "model_sample", "item", "rows", "spec"]), JSON)


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_requests_made_from_the_document(server: RunningServer, path: str, data: st.DataObject) -> None:
    """Bodies that the schemas allow, and near misses, get a documented answer and never a 5xx."""
    body = data.draw(values(request_schema(PATHS[path])))
    sent = json.dumps(body, ensure_ascii=True).encode()

    answer = server.post(path, sent)

    assert answer.status < 500, answer.body
    check_answer(path, answer.status, answer.body)

"""Logs of other tools become completions that evals read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from graders.cli.evals import command
from graders.evals.exchange.log_forms import LogError, read_logs
from graders.samples import Sample
from graders.shapes import read_sample
from graders.store import Store
from graders.store.tables.completions import CompletionFilter

MESSAGES = [{"role": "user", "content": "Capital of France?"}]
COMPLETION = {
    "id": "c1",
    "object": "chat.completion",
    "created": 5,
    "model": "m-1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Paris"}, "finish_reason": "stop"}],
}
RESPONSE = {
    "id": "r1",
    "object": "response",
    "created_at": 5,
    "model": "m-1",
    "output": [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Paris"}]}
    ],
}
REQUEST = {"model": "m", "messages": MESSAGES, "metadata": {"use": "bot"}}
SPAN = {
    "gen_ai.request.model": "m",
    "gen_ai.response.model": "m-1",
    "gen_ai.response.id": "s1",
    "gen_ai.usage.input_tokens": 3,
    "gen_ai.input.messages": json.dumps(
        [{"role": "user", "parts": [{"type": "text", "content": "Capital of France?"}]}]
    ),
    "gen_ai.output.messages": json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": "Paris"}], "finish_reason": "stop"}]
    ),
}
FORMS: list[Any] = [
    # line, API, id, metadata
    pytest.param({"request": REQUEST, "response": COMPLETION}, "chat", "c1", {"use": "bot"}, id="a pair"),
    pytest.param({"request": json.dumps(REQUEST), "response": json.dumps(COMPLETION)}, "chat", "c1", {"use": "bot"}, id="a pair of JSON texts"),
    pytest.param({"request": {"body": {"model": "m", "input": MESSAGES}}, "response": {"status_code": 200, "body": RESPONSE}, "metadata": {"a": "b"}}, "responses", "r1", {"a": "b"}, id="a pair of bodies"),
    pytest.param(
        {"id": "l1", "call_type": "acompletion", "startTime": 5.5, "model": "m-1", "messages": MESSAGES, "model_parameters": {"temperature": 0},
         "metadata": {"user_api_key_alias": "me", "spend": 1, "requester_metadata": {"use": "bot"}}, "response": {"choices": COMPLETION["choices"]}},
        "chat", "l1", {"user_api_key_alias": "me", "use": "bot"}, id="LiteLLM's payload",
    ),
    pytest.param({"name": "chat m", "spanId": "x", "startTimeUnixNano": "5000000000", "attributes": SPAN}, "chat", "s1", {}, id="a span"),
    pytest.param(
        {"spanId": "x", "startTimeUnixNano": "5000000000", "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in SPAN.items()]},
        "chat", "s1", {}, id="a span of OTLP",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("line", "api", "completion_id", "metadata"), FORMS)
def test_completions_are_read_from_each_log_form(
    line: Any, api: str, completion_id: str, metadata: dict[str, str]
) -> None:
    """Each form of log gives question, answer, model and time."""
    (found,) = read_logs([json.dumps(line).encode()])
    request = json.loads(found.request)
    sample: Sample = read_sample(json.loads(found.response))

    assert (found.api, found.id, found.model, found.created_at) == (api, completion_id, "m-1", 5)
    assert json.loads(found.metadata) == metadata
    assert (request.get("messages") or request["input"])[0]["content"] == "Capital of France?"
    assert sample["output_text"] == "Paris"


BAD: list[tuple[bytes, str]] = [
    (b"x", "line 1 is not JSON"),
    (b"[]", "no known form"),
    (b"{}", "no known form"),
    (b'{"request": 1, "response": 2}', "looks like a pair"),
    (b'{"messages": [], "response": "x"}', "looks like LiteLLM"),
    (b'{"attributes": {"gen_ai.output.messages": "x"}}', "looks like an OpenTelemetry"),
]


@pytest.mark.parametrize(("line", "message"), BAD)
def test_other_lines_are_refused(line: bytes, message: str) -> None:
    with pytest.raises(LogError, match=message):
        list(read_logs([line]))


def test_the_command_imports_a_file_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a file or nothing; what is there already is not new."""
    monkeypatch.setenv("GRADERS_HOME", str(tmp_path / "home"))
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    line = json.dumps({"request": REQUEST, "response": COMPLETION}) + "\n"
    good.write_text(line)
    bad.write_text(json.dumps({"request": REQUEST, "response": {**COMPLETION, "id": "c2"}}) + "\noops\n")
    runs = [
        CliRunner().invoke(command, ["import-logs", str(path)], standalone_mode=False)
        for path in (good, good, bad)
    ]

    assert [run.return_value for run in runs] == [0, 0, 1]
    assert "1 new" in runs[0].stdout
    assert "0 new" in runs[1].stdout
    assert "line 2 is not JSON" in runs[2].stderr
    with Store() as store:
        assert [
            one.id for one in store.completions.select(CompletionFilter("chat", metadata=[("use", "bot")]))
        ] == ["c1"]

"""Chat with tuned models and checkpoints: a generator of plain Python behind the official client, and a vLLM stand-in."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import openai
import pytest

from graders.judges.scripted import ScriptedJudge
from graders.judges.scripted import say as answer
from graders.server.service import Recording
from tests.evals.support import client_of, equals, eval_server, run_of, sampled
from tests.evals.support import items as items_of
from tests.server.support import RunningServer, wait_until
from tests.tuning.support import MODEL, ended, rows, tuning_server, upload


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[RunningServer, openai.OpenAI]]:
    with tuning_server("train", recording=Recording()) as served:
        yield served


@pytest.fixture
def client(served: tuple[RunningServer, openai.OpenAI]) -> openai.OpenAI:
    return served[1]


@pytest.fixture(scope="module")
def job(served: tuple[RunningServer, openai.OpenAI]) -> Any:
    client = served[1]
    made = client.fine_tuning.jobs.create(model=MODEL, training_file=upload(client, rows()))
    return ended(client, made.id)


def say(client: openai.OpenAI, model: str, text: str = "hello", **options: Any) -> Any:
    messages: Any = [{"role": "user", "content": text}]
    return client.chat.completions.create(model=model, messages=messages, **options)


def test_a_tuned_model_each_checkpoint_and_the_base_model_answer(client: openai.OpenAI, job: Any) -> None:
    checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id))
    names = [job.fine_tuned_model, *(one.fine_tuned_model_checkpoint for one in checkpoints), MODEL]
    said = [say(client, name).choices[0].message.content for name in names]
    assert said == [
        "model: hello",
        "ckpt-step-6: hello",
        "ckpt-step-4: hello",
        "ckpt-step-2: hello",
        "base: hello",
    ]


def test_a_completion_has_the_services_fields(client: openai.OpenAI, job: Any) -> None:
    made = say(client, job.fine_tuned_model, n=2, seed=1, stop="x", temperature=0, max_completion_tokens=5)
    assert (made.object, made.model) == ("chat.completion", job.fine_tuned_model)
    assert made.id.startswith("chatcmpl-")
    assert [(one.index, one.finish_reason) for one in made.choices] == [(0, "stop"), (1, "stop")]
    assert made.usage.to_dict() == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def test_a_stream_has_roles_pieces_reasons_and_usage(client: openai.OpenAI, job: Any) -> None:
    chunks = list(say(client, job.fine_tuned_model, stream=True, n=2, stream_options={"include_usage": True}))
    assert len({chunk.id for chunk in chunks}) == 1
    said = {0: "", 1: ""}
    for chunk in chunks[:-1]:
        (choice,) = chunk.choices
        said[choice.index] += choice.delta.content or ""
    assert said == {0: "model: hello", 1: "model: hello"}
    assert chunks[0].choices[0].delta.role == "assistant"
    assert (chunks[-1].choices, chunks[-1].usage.total_tokens) == ([], 7)


def test_requests_with_store_are_logged_streamed_or_not(client: openai.OpenAI, job: Any) -> None:
    whole = say(client, job.fine_tuned_model, store=True)
    (streamed, *_) = list(say(client, job.fine_tuned_model, store=True, stream=True))
    for made in (whole.id, streamed.id):
        assert client.chat.completions.retrieve(made).choices[0].message.content == "model: hello"


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"logprobs": True}, "logprobs", "unsupported_parameter"),
    ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
    ({"frequency_penalty": 1}, "frequency_penalty", "unsupported_parameter"),
    ({"temperature": 3}, "temperature", "invalid_value"),
    ({"top_p": "x"}, "top_p", "invalid_type"),
    ({"n": 0}, "n", "invalid_value"),
    ({"stop": ["a", ""]}, "stop", "invalid_value"),
    ({"stop": list("abcde")}, "stop", "invalid_value"),
    ({"max_tokens": -1}, "max_tokens", "invalid_value"),
    ({"messages": []}, "messages", "invalid_value"),
    ({"messages": [{"content": "x"}]}, "messages[0].role", "missing_required_parameter"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        "messages[0].content",
        "invalid_value",
    ),
]


@pytest.mark.parametrize(("changed", "param", "code"), REFUSED)
def test_invalid_requests_are_refused_with_their_path(
    changed: dict[str, Any], param: str, code: str, client: openai.OpenAI
) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], **changed}
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**body)
    assert (refused.value.param, refused.value.code) == (param, code)


@pytest.mark.parametrize("stream", [False, True])
def test_refusals_and_deaths_of_the_process_have_a_status(stream: bool, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as long:
        say(client, MODEL, "long", stream=stream)
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.InternalServerError) as died:
        say(client, MODEL, "die", stream=stream)
    assert "killed by a test" in died.value.message
    # the next question starts a process anew
    assert say(client, MODEL).choices[0].message.content == "base: hello"


def log_of(server: RunningServer) -> str:
    log = server.home / "generators" / f"{MODEL}.log"
    return log.read_text() if log.exists() else ""


def test_a_client_that_leaves_ends_its_generation(served: tuple[RunningServer, openai.OpenAI]) -> None:
    server, client = served
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "wait"}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n"
    with server.connect() as connection:
        connection.sendall(f"{head}content-type: application/json\r\n\r\n".encode() + body)
        wait_until(lambda: "waits" in log_of(server))
    wait_until(lambda: "cancelled True" in log_of(server))
    assert say(client, MODEL).choices[0].message.content == "base: hello"


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_process_leaves_when_idle_and_with_the_server() -> None:
    with tuning_server("train", tuning_keys="generator_idle_s = 0.2\n") as (_, client):
        first = int(say(client, MODEL, "pid").choices[0].message.content)
        wait_until(lambda: not alive(first))
        assert say(client, MODEL).choices[0].message.content == "base: hello"
    with tuning_server("train") as (_, client):
        with pytest.raises(openai.NotFoundError) as unknown:
            say(client, "ft:nobody:local::x")
        assert unknown.value.code == "model_not_found"
        second = int(say(client, MODEL, "pid").choices[0].message.content)
        # one process for all questions
        assert int(say(client, MODEL, "pid").choices[0].message.content) == second
    wait_until(lambda: not alive(second))


def test_a_killed_process_is_replaced(client: openai.OpenAI) -> None:
    first = int(say(client, MODEL, "pid").choices[0].message.content)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not alive(first))
    second = client.with_options(max_retries=3).chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "pid"}]
    )
    assert int(second.choices[0].message.content or 0) != first


def test_a_deleted_model_is_refused_and_a_base_model_stays(
    served: tuple[RunningServer, openai.OpenAI],
) -> None:
    server, client = served
    job = ended(client, client.fine_tuning.jobs.create(model=MODEL, training_file=upload(client, rows())).id)
    folder = server.home / "jobs" / job.id
    checkpoint = next(iter(client.fine_tuning.jobs.checkpoints.list(job.id)))
    for name, adapter in (
        (job.fine_tuned_model, "model"),
        (checkpoint.fine_tuned_model_checkpoint, "ckpt-step-6"),
    ):
        assert (folder / adapter).exists()
        assert client.models.delete(name).to_dict() == {"id": name, "object": "model", "deleted": True}
        assert not (folder / adapter).exists()
        assert name not in [model.id for model in client.models.list()]
        with pytest.raises(openai.NotFoundError):
            client.models.delete(name)
    assert client.fine_tuning.jobs.retrieve(job.id).fine_tuned_model == job.fine_tuned_model
    with pytest.raises(openai.BadRequestError) as refused:
        client.models.delete(MODEL)
    assert refused.value.code == "base_model"


OWN = f"ft:{MODEL}:local::abcd1234"


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        (OWN, False),
        (f"{OWN}:ckpt-step-6", False),
        ("ft:gpt-4o:acme::abcd1234", False),
        ("ft:gpt-4o:routed:local:abcd1234", True),
        ("gpt-4o", True),
    ],
)
def test_names_of_tuned_models_go_to_no_endpoint_but_one_that_models_names(name: str, answers: bool) -> None:
    """A deleted model's name would reach the default address, or come back to this server by its own route."""
    with ScriptedJudge() as endpoint:
        endpoint.default = answer("elsewhere")
        address = f'{{ base_url = "{endpoint.base_url}", api_key_env = "" }}'
        routes = (
            f'[models]\n"*" = {address}\n"ft:{MODEL}:local:*" = {address}\n"ft:gpt-4o:routed:*" = {address}\n'
        )
        with tuning_server("train", more=routes, recording=Recording()) as (server, client):
            if answers:
                assert say(client, name).choices[0].message.content == "elsewhere"
            else:
                with pytest.raises(openai.NotFoundError) as unknown:
                    say(client, name)
                assert unknown.value.code == "model_not_found"
                asked = server.ask("POST", "/v1/responses", {"model": name, "input": "hello"})
                assert asked.status == 404
            assert len(endpoint.received) == int(answers)


def test_evals_sample_from_tuned_models_like_from_any_other(
    served: tuple[RunningServer, openai.OpenAI], job: Any
) -> None:
    """[models."ft:*"] names the server that tunes."""
    route = f'[models."ft:*"]\nbase_url = "{served[0].url}/v1"\napi_key_env = ""\n'
    with eval_server(route) as server:
        client = client_of(server)
        items = [{"question": "q", "answer": "model: q"}, {"question": "r", "answer": "x"}]
        source = sampled(*({"item": item} for item in items))
        run = run_of(client, [equals()], {**source, "model": job.fine_tuned_model})
        assert (run.result_counts.passed, run.result_counts.failed) == (1, 1)
        assert [item.sample.output[0].content for item in items_of(client, run)] == ["model: q", "model: r"]


class Vllm(BaseHTTPRequestHandler):
    """What this project uses of a vLLM server: 404 for adapters that it does not know, and the route that loads one."""

    loaded: dict[str, str]
    refuses: bool

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path.endswith("/load_lora_adapter"):
            if self.refuses:
                return self.say(400, {"message": "LoRA is not enabled"})
            self.loaded[body["lora_name"]] = body["lora_path"]
            return self.say(200, "Success")
        if body["model"] not in {*self.loaded, MODEL}:
            return self.say(404, {"message": "The model does not exist."})
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": "from vLLM"},
            "finish_reason": "stop",
        }
        return self.say(
            200,
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": body["model"],
                "choices": [choice],
            },
        )

    def say(self, status: int, content: Any) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize("refuses", [False, True])
def test_a_vllm_server_loads_the_adapter(refuses: bool) -> None:
    handler: Any = type("Handler", (Vllm,), {"loaded": {}, "refuses": refuses})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as vllm:
        threading.Thread(target=vllm.serve_forever, daemon=True).start()
        address = f'generator = "http://127.0.0.1:{vllm.server_address[1]}/v1"\n'
        with tuning_server("train", tuning_keys=address) as (server, client):
            made = client.fine_tuning.jobs.create(model=MODEL, training_file=upload(client, rows()))
            name = ended(client, made.id).fine_tuned_model
            assert say(client, MODEL).choices[0].message.content == "from vLLM"
            if refuses:
                with pytest.raises(openai.InternalServerError, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING"):
                    say(client, name)
            else:
                assert say(client, name).choices[0].message.content == "from vLLM"
                assert handler.loaded == {name: str(server.home / "jobs" / made.id / "model")}
        vllm.shutdown()

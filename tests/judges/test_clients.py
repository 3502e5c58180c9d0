"""Judges in the user's process: functions and the official clients; and how doctor looks at judges."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import graders
from graders.cli import main
from graders.endpoints.endpoint import Timing
from graders.judges.scripted import Answer, ReceivedRequest, Step, fail, say
from graders.models import Client, Config, ScriptedJudge, from_callable, from_openai
from tests.judges.support import config_of, judge_spec
from tests.ports import reserved_port


@pytest.fixture(scope="module")
def judge() -> Iterator[ScriptedJudge]:
    with ScriptedJudge() as judge:
        yield judge


# --- functions and the official clients ---------------------------------------------------------------------------


class Model:
    """What many libraries return."""

    def model_dump(self, **how: Any) -> dict[str, Any]:
        return {
            "choices": [{"message": {"content": '{"result": 0.5}'}, "finish_reason": "stop"}],
            "model": "mine",
        }


async def later(body: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"result": 0.5}


def broken(body: dict[str, Any]) -> Any:
    raise KeyError("oops")


@pytest.mark.parametrize(
    ("function", "flag"),
    [
        (lambda body: '{"result": 0.5}', ""),
        (lambda body: {"result": 0.5, "steps": []}, ""),
        (lambda body: 0.5, ""),
        (lambda body: Model(), ""),
        (lambda body: Model().model_dump(), ""),
        (later, ""),
        (lambda body: "so so", "model_grader_parse_error"),
        (lambda body: None, "model_grader_parse_error"),
        (lambda body: True, "model_grader_parse_error"),
        (broken, "model_grader_server_error"),
    ],
)
def test_a_function_can_be_a_judge(function: Callable[..., Any], flag: str) -> None:
    """Sync or async, whatever it gives back; its answer is validated like a server's, and it is simply given to Backends."""
    with graders.Backends(models=function, config=Config()) as backends:
        result = graders.compile(judge_spec(), backends=backends).run("x")

    assert result.flags == ((flag,) if flag else ())
    assert result.reward == (0.0 if flag else 0.5)
    if function is broken:
        assert "the judge function raised KeyError: 'oops'" in str(result.failures[0])


def test_a_function_that_fails_for_a_moment_is_asked_again() -> None:
    calls: list[dict[str, Any]] = []

    def flaky(body: dict[str, Any]) -> float:
        calls.append(body)
        if len(calls) < 3:
            raise ConnectionError("not yet")
        return 0.5

    client = from_callable(flaky)
    client.endpoints.timing = Timing(jitter=lambda: 0.0)
    with graders.Backends(models=client, config=Config()) as backends:
        result = graders.compile(judge_spec(), backends=backends).run("x")
    assert (result.ok, len(calls)) == (True, 3)
    assert calls[0]["messages"][1]["content"] == "Grade this: x"
    assert calls[0]["response_format"]["type"] == "json_schema"


def test_a_plain_function_is_called_as_often_at_once_as_allowed() -> None:
    """A plain function has as many threads as calls are allowed at once, more than asyncio's default."""
    together = threading.Barrier(20)

    def meet(body: dict[str, Any]) -> float:
        # the barrier opens for twenty callers
        together.wait(60)
        return 0.5

    with graders.Backends(
        models=from_callable(meet, max_in_flight=20, max_attempts=1), config=Config()
    ) as backends:
        results = list(
            graders.compile(judge_spec(), backends=backends).run_batch([{"sample": "x"}] * 40, merge=False)
        )
    assert [result.reward for result in results] == [0.5] * 40


def test_backends_refuses_objects_that_cannot_judge() -> None:
    with pytest.raises(TypeError, match="expected a ModelClient, a function or an openai client, got int"):
        graders.Backends(models=3)


#: The SDK's own faults, found by measuring it: it sleeps for two minutes on one header, leaks JSONDecodeError,
#: gives an HTML page back as a str, asks three times where there is no quota. Here each has its flag, or its retry.
SDK: list[Any] = [
    pytest.param([say({"result": 0.5})], "", 1, id="an answer"),
    pytest.param([fail(429, headers={"retry-after-ms": "20"}), say({"result": 0.5})], "", 2, id="429"),
    pytest.param([fail(500, "oops"), say({"result": 0.5})], "", 2, id="500"),
    pytest.param([Step(200, b'{"id": "x", "choi'), say({"result": 0.5})], "", 2, id="half of the JSON"),
    pytest.param(
        [Step(200, b"<html>", {"content-type": "text/html"}), say({"result": 0.5})], "", 2, id="a page"
    ),
    pytest.param(
        [Step(200, {"error": {"message": "x"}}), say({"result": 0.5})], "", 2, id="an error with 200"
    ),
    pytest.param([Step(drop=True), say({"result": 0.5})], "", 2, id="dropped"),
    pytest.param([fail(400, "seed: extra fields not permitted"), say({"result": 0.5})], "", 2, id="no seed"),
    pytest.param(
        [fail(400, "response_format is not supported"), say({"result": 0.5})], "", 2, id="no schema"
    ),
    pytest.param([fail(429, "", "insufficient_quota")], "model_grader_server_error", 1, id="no quota"),
    pytest.param([fail(401, "bad key")], "model_grader_server_error", 1, id="bad key"),
    pytest.param([say("", refusal="never")], "model_grader_refusal_error", 1, id="refusal"),
]


@pytest.mark.parametrize("kind", ["OpenAI", "AsyncOpenAI"])
@pytest.mark.parametrize(("answers", "flag", "attempts"), SDK)
def test_the_official_client_as_a_judge(
    judge: ScriptedJudge, answers: list[Answer], flag: str, attempts: int, kind: str
) -> None:
    """Its own retries are off: as many requests as we made attempts, and the same flags as without it."""
    openai = pytest.importorskip("openai")
    judge.clear()
    judge.queue(*answers)
    client = from_openai(getattr(openai, kind)(api_key="k", base_url=judge.base_url), max_attempts=3)
    client.endpoints.timing = Timing(jitter=lambda: 0.0)
    with graders.Backends(models=client, config=Config()) as backends:
        result = graders.compile(judge_spec(), backends=backends).run("x")

    assert result.flags == ((flag,) if flag else ()), result.failures
    assert len(judge.received) == attempts


def test_the_official_client_over_responses(judge: ScriptedJudge) -> None:
    openai = pytest.importorskip("openai")
    judge.clear()
    client = from_openai(openai.OpenAI(api_key="k", base_url=judge.base_url), api="responses")
    with graders.Backends(models=client, config=Config()) as backends:
        result = graders.compile(judge_spec(), backends=backends).run("x")

    assert (result.ok, result.reward) == (True, 0.5)
    assert judge.received[0].path == "/v1/responses"
    assert result.metadata.token_usage is not None
    assert result.metadata.token_usage.prompt_tokens == 10


def test_an_event_loop_of_the_callers_is_never_blocked(judge: ScriptedJudge) -> None:
    """While a judge takes its time the caller's own loop goes on; cancelling ends the request."""
    judge.clear()
    judge.queue(say({"result": 0.5}, delay_s=0.3), say({"result": 0.5}, delay_s=30))

    async def run() -> int:
        ticks = 0
        with graders.Backends(config=config_of(judge)) as backends:
            grader = graders.compile(judge_spec(), backends=backends)
            task = asyncio.create_task(grader.arun("x"))
            while not task.done():
                await asyncio.sleep(0.01)
                ticks += 1
            assert task.result().ok
            slow = asyncio.create_task(grader.arun("y"))
            while not judge.in_flight:
                await asyncio.sleep(0.01)
            before = judge.aborted
            slow.cancel()
            with pytest.raises(asyncio.CancelledError):
                await slow
            async with asyncio.timeout(60):
                while judge.aborted == before:
                    await asyncio.sleep(0.02)
        return ticks

    # held up by the judge, the loop would turn once or twice
    assert asyncio.run(run()) >= 3


def test_importing_and_compiling_opens_nothing() -> None:
    """No HTTP library, event loop or certificate store before the first question to a judge."""
    code = (
        "import sys, json, graders\n"
        f"graders.compile(json.loads({json.dumps(json.dumps(judge_spec()))}))\n"
        "print([m for m in ('asyncio', 'ssl', 'httpx2', 'sqlite3', 'graders.judges.client') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- doctor -------------------------------------------------------------------------------------------------------


@pytest.fixture
def doctored(
    judge: ScriptedJudge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Runs `grader doctor` on a spec with two judges, one of them shown a picture; gives its code and judge findings."""
    spec = tmp_path / "two.json"
    picture = [{"role": "user", "content": [{"type": "input_image", "image_url": "{{item.url}}"}]}]
    members = {"a": judge_spec(model="plain"), "b": judge_spec("label_model", model="seeing", input=picture)}
    spec.write_text(
        json.dumps({"type": "multi", "name": "two", "graders": members, "calculate_output": "a + b"})
    )
    config = tmp_path / "graders.toml"
    config.write_text(
        f'[endpoints.here]\nbase_url = "{judge.base_url}"\napi_key_env = "K"\nmax_attempts = 1\n'
        '[models]\n"*" = "here"\nseeing = { endpoint = "here", model = "llava" }\n'
    )
    monkeypatch.setenv("K", "sk-secret")
    # that is another room's
    monkeypatch.setattr("graders.doctor.machine.sandbox_tier", lambda backends: iter(()))

    def run(capsys: Any, *options: str) -> tuple[int, dict[str, Any]]:
        with pytest.raises(SystemExit) as ended:
            main(["doctor", str(spec), "--config", str(config), "--json", *options])
        out = capsys.readouterr().out
        assert "sk-secret" not in out
        return int(str(ended.value.code)), {f["name"]: f for f in json.loads(out) if f["part"] == "judges"}

    return run


def test_doctor_shows_where_names_go(judge: ScriptedJudge, doctored: Any, capsys: Any) -> None:
    """Every judge of the spec, members of multi too, without asking anything."""
    judge.clear()
    code, found = doctored(capsys)

    assert code == 0
    assert found["plain"]["text"] == f"{judge.base_url}, /chat/completions, model plain, K (set)"
    assert found["seeing"]["text"] == f"{judge.base_url}, /chat/completions, model llava, K (set)"
    assert not judge.received


def colour_of(received: ReceivedRequest) -> str:
    """What a judge that sees says of doctor's picture."""
    import base64
    import zlib

    from graders.judges.probing import COLOURS

    url = received.json["messages"][0]["content"][1]["image_url"]["url"]
    png = base64.b64decode(url.split(",")[1])
    at = png.index(b"IDAT")
    row = zlib.decompress(png[at + 4 : at + 4 + int.from_bytes(png[at - 4 : at], "big")])
    return {rgb: name for name, rgb in COLOURS.items()}[row[1], row[2], row[3]]


@pytest.mark.parametrize("sees", [True, False, None])
def test_doctor_probe_asks_each_judge(
    judge: ScriptedJudge, doctored: Any, capsys: Any, sees: bool | None
) -> None:
    """One tiny question each, and a tiny picture where the spec shows pictures; a server that drops it is found out."""

    def answer(received: ReceivedRequest) -> Step:
        if isinstance(received.json["messages"][0]["content"], str):
            return say({"result": "cedar"})(received)
        if sees is None:
            return fail(500, "image input is not supported")
        return say({"result": colour_of(received) if sees else "no image"})(received)

    judge.clear()
    judge.default = answer
    code, found = doctored(capsys, "--probe")

    assert len(judge.received) == 3
    assert found["plain"]["ok"] is found["seeing"]["ok"] is True
    assert "answers, as plain, json_schema" in found["plain"]["text"]
    assert "15 tokens" in found["plain"]["text"]
    assert found["seeing, images"]["ok"] is bool(sees)
    says = {True: "sees them", False: "may drop images silently", None: "image input is not supported"}[sees]
    assert says in found["seeing, images"]["text"]
    assert code == (0 if sees else 1)


def test_doctor_probe_of_a_server_that_is_not_there(doctored: Any, capsys: Any, judge: ScriptedJudge) -> None:
    judge.clear()
    judge.default = fail(401, "no key sk-secret")
    code, found = doctored(capsys, "--probe")
    assert code == 1
    assert "status 401: no key ***" in found["plain"]["text"]


def test_an_unusable_proxy_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that cannot be used is an error at once, with the reason and without another try."""
    for name in ("HTTP_PROXY", "no_proxy", "NO_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "gopher://proxy:70")
    with graders.Backends(
        config=Config({"models": {"*": {"base_url": "http://judge.invalid/v1"}}})
    ) as backends:
        result = graders.compile(judge_spec(), backends=backends).run("x")
    assert "the proxy that the environment names cannot be used" in str(result.failures[0])
    assert result.failures[0].provenance["attempts"] == 1


FORKS = """
import os, sys, graders
from graders.models import Config
config = Config({"models": {"*": {"base_url": sys.argv[1]}}})
with graders.Backends(config=config, cache=sys.argv[2]) as backends:
    grader = graders.compile(%r, backends=backends)
    assert grader.run("parent").ok
    child = os.fork()
    if child == 0:
        fine = [r.reward for r in grader.run_batch([{"sample": f"child {n}"} for n in range(20)])] == [0.5] * 20
        os._exit(0 if fine and grader.run("parent").provenance["judge"]["cached"] else 1)
    assert [r.reward for r in grader.run_batch([{"sample": f"mine {n}"} for n in range(20)])] == [0.5] * 20
    assert os.waitpid(child, 0)[1] == 0
    assert grader.run("child 3").provenance["judge"]["cached"]
print("fine")
"""


def test_a_forked_child_can_go_on_grading(judge: ScriptedJudge, tmp_path: Path) -> None:
    """As data loaders fork: the child has connections and a loop of its own, parent and child share the cache's file."""
    judge.clear()
    judge.default = say({"steps": [], "result": 0.5})
    done = subprocess.run(
        [sys.executable, "-c", FORKS % judge_spec(), judge.base_url, str(tmp_path / "c.db")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "fine\n", done.stderr
    assert len(judge.received) == 41


def test_waiting_for_a_server_that_starts_late() -> None:
    """A refused connection is tried again: a server that comes up meanwhile answers. In real time."""
    late: list[ScriptedJudge] = []
    with reserved_port() as port:
        started = time.monotonic()
        timer = threading.Timer(0.4, lambda: late.append(ScriptedJudge(port=port).__enter__()))
        timer.start()
        config = Config({"models": {"*": {"base_url": f"http://127.0.0.1:{port}/v1", "max_attempts": 30}}})
        with graders.Backends(models=Client(config, jitter=lambda: 0.2), config=config) as backends:
            result = graders.compile(judge_spec(), backends=backends).run("x")
        timer.join()
        late[0].__exit__()

    assert result.ok, result.failures
    assert time.monotonic() - started >= 0.4

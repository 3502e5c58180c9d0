"""The official clients, unchanged but for base_url: they must not notice the difference."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import graders
from graders.engine.backends import Backends
from graders.judges.scripted import ReceivedRequest, ScriptedJudge, Step, say
from graders.result import NO_ERRORS
from graders.server import Limits
from tests.server.clients.cases import ERRORS, RESULTS, script
from tests.server.support import RunningServer, load_config_of, serving
from tests.specs import python

CLIENTS = Path(__file__).parent / "clients"
KEY = "sk-local"
# the last of 2.x that other packages still require
OPENAI_2 = "openai==2.54.0"
OPENAI_NODE = "openai@7.55.0"
LOST = {
    "wrong key": ("AuthenticationError", 401, "invalid_api_key"),
    "wrong path": ("NotFoundError", 404, "unknown_url"),
    "wrong type": ("APIStatusError", 415, "unsupported_content_type"),
}


def verdict(received: ReceivedRequest) -> Step:
    """A judge that gives 0.25, or the label "good"."""
    schema = received.json["response_format"]["json_schema"]["schema"]["properties"]["result"]
    answer = say({"steps": [], "result": "good" if "enum" in schema else 0.25})
    assert callable(answer)
    return answer(received)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with ScriptedJudge() as judge:
        judge.default = verdict
        config = load_config_of(f'[models."*"]\nbase_url = "{judge.base_url}"\napi_key_env = ""\n')
        with Backends(config=config) as backends, serving(backends, token=KEY) as running:
            yield running


def use(command: list[str], server: RunningServer, **options: Any) -> dict[str, Any]:
    """What a client saw."""
    done = subprocess.run(
        [*command, server.url, KEY],
        input=json.dumps(script()).encode(),
        capture_output=True,
        timeout=300,
        **options,
    )
    assert done.returncode == 0, done.stderr.decode()
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def requests(server: RunningServer) -> dict[tuple[str, str], int]:
    """(route, status) -> how many so far."""
    lines = server.ask("GET", "/metrics", headers={"api-key": KEY}).body.decode().splitlines()
    found = {}
    for line in lines:
        if line.startswith("graders_requests_total{"):
            _, route, _, status, count = line.split('"')
            if route != "counters":
                found[route, status] = int(count.lstrip("} "))
    return found


def check_results(seen: dict[str, Any]) -> None:
    for name, (_, _, _, reward, flags, sub_rewards) in RESULTS.items():
        result = seen["results"][name]
        assert (result["reward"], result["flags"], result["sub_rewards"]) == (reward, flags, sub_rewards), (
            name
        )
        assert result["request_id"].startswith("req_"), name


def check_validated(seen: dict[str, Any]) -> None:
    """As dicts: the client's own class of a returned multi is that of another grader."""
    for name, (grader, *_) in RESULTS.items():
        assert seen["validated"][name] == graders.validate(grader), name


def check_errors(seen: dict[str, Any]) -> None:
    for name, (_, status, code, param) in ERRORS.items():
        assert len(seen["errors"][name]) == 2, name
        for error in seen["errors"][name]:
            assert (error["status_code"], error["code"], error["param"]) == (status, code, param), name
            assert (error["class"], error["type"]) == ("BadRequestError", "invalid_request_error"), name
            assert error["request_id"].startswith("req_"), name


def check_python(seen: dict[str, Any], before: dict[tuple[str, str], int], server: RunningServer) -> None:
    """Everything that is promised of a Python client, and that it asked as often as it was told to."""
    for way in ("sync", "async"):
        check_results(seen[way])
        check_validated(seen[way])
        check_errors(seen[way])
        for name, result in seen[way]["results"].items():
            assert result["fields"] == [], f"{way}: {name}"
        judged = seen[way]["results"]["score_model"]
        assert judged["sampled_model_name"]
        assert judged["token_usage"]["total_tokens"] == 15
        assert seen[way]["results"]["string_check"]["token_usage"] is None
    assert seen["azure"]["reward"] == seen["azure v1"]["reward"] == 0.75
    late = {"python_grader_server_error", "unresponsive_reward_error"}
    assert late.intersection(seen["impatient"]["flags"]), "told before its own time-out"
    for name, (kind, status, code) in LOST.items():
        error = seen["lost"][name]
        assert (error["class"], error["status_code"], error["code"]) == (kind, status, code), name
    after = requests(server)
    made = {key: n - before.get(key, 0) for key, n in after.items() if n != before.get(key, 0)}
    n_results, n_errors = len(RESULTS), len(ERRORS)
    assert made == {
        ("run", "200"): 2 * n_results + 3,
        ("validate", "200"): 2 * n_results,
        ("run", "400"): 2 * n_errors,
        ("validate", "400"): 2 * n_errors,
        ("run", "415"): 1,
        ("none", "401"): 1,
        ("none", "404"): 1,
    }


def test_python_client_3_notices_no_difference(server: RunningServer) -> None:
    """openai 3.x, sync and async: results, flags, errors, request ids, and no request more than made."""
    pytest.importorskip("openai", minversion="3")
    before = requests(server)

    seen = use([sys.executable, str(CLIENTS / "use_openai.py")], server)

    assert seen["version"].startswith("3.")
    check_python(seen, before, server)


@pytest.mark.slow
def test_python_client_2_notices_no_difference(server: RunningServer, tmp_path: Path) -> None:
    """openai 2.x, in an environment of its own."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    install(
        [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", OPENAI_2], "openai 2.x"
    )
    before = requests(server)

    seen = use([str(python), str(CLIENTS / "use_openai.py")], server)

    assert seen["version"].startswith("2.")
    check_python(seen, before, server)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("npm"), reason="there is no npm")
def test_node_client_notices_no_difference(server: RunningServer, tmp_path: Path) -> None:
    """The npm client: all six types, flags, errors, request ids, and no request more than made."""
    (tmp_path / "package.json").write_text('{"private": true, "type": "module"}')
    install(
        ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", OPENAI_NODE],
        "the npm client",
        cwd=tmp_path,
    )
    shutil.copy(CLIENTS / "use_openai.mjs", tmp_path)
    before = requests(server)

    seen = use(["node", "use_openai.mjs"], server, cwd=tmp_path)

    check_results(seen)
    check_validated(seen)
    check_errors(seen)
    for name, result in seen["results"].items():
        assert result["keys"] == [
            "reward",
            "metadata",
            "sub_rewards",
            "model_grader_token_usage_per_model",
        ], name
        assert set(result["metadata_keys"]) == {
            "name",
            "type",
            "errors",
            "execution_time",
            "scores",
            "token_usage",
            "sampled_model_name",
        }, name
    late = {"python_grader_server_error", "unresponsive_reward_error"}
    assert late.intersection(seen["impatient"]["flags"]), "told before its own time-out"
    assert seen["headers"]["reward"] == 1.0
    assert seen["headers"]["id"].startswith("req_")
    assert int(seen["headers"]["ms"]) >= 0
    assert (seen["lost"]["wrong key"]["class"], seen["lost"]["wrong key"]["status_code"]) == (
        "AuthenticationError",
        401,
    )
    after = requests(server)
    made = {key: n - before.get(key, 0) for key, n in after.items() if n != before.get(key, 0)}
    assert made == {
        ("run", "200"): len(RESULTS) + 2,
        ("validate", "200"): len(RESULTS),
        ("run", "400"): len(ERRORS),
        ("validate", "400"): len(ERRORS),
        ("none", "401"): 1,
    }


def install(command: list[str], what: str, **options: Any) -> None:
    """Install from the package index that this machine uses, or skip when there is none."""
    done = subprocess.run(command, capture_output=True, timeout=300, env=os.environ, **options)
    if done.returncode:
        pytest.skip(f"{what} could not be installed: {done.stderr.decode()[-300:]}")


def test_the_flags_are_those_of_the_client() -> None:
    """Every flag of the client's type of `metadata.errors` is sent; the live service sends more, as this one does."""
    openai = pytest.importorskip("openai")
    from openai.types.fine_tuning.alpha.grader_run_response import MetadataErrors

    names = {field.alias or name for name, field in MetadataErrors.model_fields.items()}

    assert names <= set(NO_ERRORS), openai.__version__


@pytest.mark.slow
def test_clients_retry_overload_by_themselves() -> None:
    """A client retries after Retry-After until there is a place; without retries it raises RateLimitError."""
    openai = pytest.importorskip("openai")
    sleeping = python("import time\ndef grade(sample, item):\n    time.sleep(8)\n    return 1.0\n")
    with serving(limits=Limits(code=1)) as server:
        url = f"{server.url}/v1"
        holding = threading.Thread(target=server.run, args=(sleeping,))
        holding.start()
        server.wait_for("graders_code_under_way", 1)

        impatient = openai.OpenAI(base_url=url, api_key=KEY, max_retries=0)
        with pytest.raises(openai.RateLimitError) as refused:
            impatient.fine_tuning.alpha.graders.run(grader=python(), model_sample="x")
        patient = openai.OpenAI(base_url=url, api_key=KEY, max_retries=50)
        result = patient.fine_tuning.alpha.graders.run(grader=python(), model_sample="x")
        holding.join()

        assert (refused.value.code, refused.value.response.headers["retry-after"]) == (
            "rate_limit_exceeded",
            "1",
        )
        assert result.reward == 1.0
        assert server.metric('graders_requests_total{route="run",status="429"}') >= 2

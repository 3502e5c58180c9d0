"""Every adapter gives the rewards of run_batch, and says of a failed row that it failed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import graders
from graders.adapters import RowFailed, item_of, rows_of
from graders.engine.backends import Backends
from graders_sandbox import Limits, Sandbox
from tests.adapters import golden
from tests.adapters.golden import CALLS, SPEC, UNSOUND, expected, rows
from tests.cases import first

WALL_S = 1.0


@pytest.fixture(scope="module")
def backends() -> Iterator[Backends]:
    with Backends(sandbox=Sandbox(limits=Limits(wall_s=WALL_S))) as backends:
        yield backends


@pytest.fixture(scope="module")
def rewards(backends: Backends) -> list[float]:
    return expected(SPEC, rows(), backends)


@pytest.mark.parametrize("name", CALLS)
def test_one_batch_through_every_adapter(name: str, rewards: list[float], backends: Backends) -> None:
    """The same 200 rows give the same rewards, to the last bit, whatever trains with them."""
    got = CALLS[name](SPEC, rows(), backends)

    assert got == rewards
    assert len(set(rewards)) > 20, "rows that differ, so that a shifted list would show"


LEFT_OUT = ("trl", "trl, async and chat", "eval_protocol")
RAISES = ("verl", "verifiers", "tinker")


@pytest.mark.parametrize("name", CALLS)
def test_a_failed_row_is_never_a_number(name: str, backends: Backends) -> None:
    """A failed row is left out where the framework can do that, and an error where it cannot."""
    some = [
        {"prompt": "q", "answer": "a", "sample": "a"},
        {"prompt": "q", "answer": "a", "sample": "fail"},
    ]
    call = CALLS[name]

    if name in LEFT_OUT:
        assert call(UNSOUND, some, backends) == [1.0, None]
    elif name in RAISES:
        with pytest.raises(RowFailed, match=r"(?s)python_grader_runtime_error.*as asked") as caught:
            call(UNSOUND, some, backends)
        assert caught.value.result.flags == ("python_grader_runtime_error",)
    else:
        with pytest.raises(Exception, match="422"):
            call(UNSOUND, some, backends)


def test_a_hanging_grader_in_a_worker_thread(backends: Backends) -> None:
    """The grader is cut at its limit, and the other rows of the batch keep their rewards."""
    some = [{"prompt": "q", "answer": "a", "sample": "a"} for _ in range(40)]
    some[7] = {"prompt": "q", "answer": "a", "sample": "hang"}
    got: list[Any] = []

    worker = threading.Thread(target=lambda: got.extend(golden.call_trl(UNSOUND, some, backends)))
    started = time.monotonic()
    worker.start()
    worker.join(60)
    took = time.monotonic() - started

    assert got == [1.0] * 7 + [None] + [1.0] * 32
    assert took >= WALL_S


def test_openrlhf_names_the_failure(backends: Backends) -> None:
    """The response is a 422 that names the flag; OpenRLHF's client gives up after five tries."""
    from starlette.testclient import TestClient

    from graders.adapters import openrlhf

    client = TestClient(openrlhf.app(UNSOUND, item={"answer": "label"}, backends=backends))

    response = client.post("/", json={"query": ["fail"], "prompts": [""], "labels": ["a"]})

    assert response.status_code == 422
    assert "python_grader_runtime_error" in response.json()["error"]
    assert client.post("/", json={"query": [], "prompts": [], "labels": []}).json()["rewards"] == []
    assert client.post("/", json={"prompts": []}).status_code == 400
    assert client.post("/", content=b"{").status_code == 400


def test_nemo_gym_routes(backends: Backends) -> None:
    """A session can be seeded; a body without a response gets an error that names what is missing."""
    from starlette.testclient import TestClient

    from graders.adapters import nemo_gym

    client = TestClient(nemo_gym.app(SPEC, item={"answer": "answer"}, backends=backends))

    assert client.post("/seed_session", json={}).json() == {}
    assert client.post("/verify", json={"answer": "x"}).status_code == 400
    assert client.post("/verify", content=b"[").status_code == 400


def test_trl_logs_sub_rewards_and_failures(backends: Backends) -> None:
    """TRL's log_metric gets the share of failed rows, and each member's mean over the other rows."""
    from graders.adapters import trl

    logged: dict[str, float] = {}
    reward = trl.reward_func(SPEC, item={"answer": "answer"}, name="golden", backends=backends)

    reward(
        prompts=["q", "q"],
        completions=["a", "b"],
        answer=["a", None],
        log_metric=lambda name, value: logged.__setitem__(name, value),
    )

    assert reward.__name__ == "golden"
    assert logged["golden/failed"] == 0.5
    assert {"golden/exact": 1.0, "golden/close": 1.0, "golden/length": 1.0}.items() <= logged.items()


def test_item_maps() -> None:
    """An item map may be a mapping, a function or None; a wrong name is an error that lists the columns."""
    fields = {"answer": "x", "level": 3}

    assert item_of(fields, {"gold": "answer"}) == {"gold": "x"}
    assert item_of(fields, lambda fields: {"n": fields["level"] + 1}) == {"n": 4}
    assert item_of(fields, None) == fields
    with pytest.raises(KeyError, match=r"'nothing'.*'answer', 'level'"):
        item_of(fields, {"gold": "nothing"})


def test_columns_become_rows() -> None:
    """Lists as long as the samples are columns; other values belong to no row."""
    made = list(rows_of(["a", "b"], {"answer": ["x", "y"], "ids": [1, 2, 3], "state": None}, None))

    assert made == [
        {"sample": "a", "item": {"answer": "x"}},
        {"sample": "b", "item": {"answer": "y"}},
    ]


def test_adapters_import_no_framework() -> None:
    """Importing an adapter imports no framework."""
    import subprocess
    import sys

    code = (
        "import sys; from graders.adapters import eval_protocol, inspect_ai, nemo_gym, openrlhf, tinker, trl, verifiers, "
        "verl; print(sorted(m for m in sys.modules if m.partition('.')[0] in ('torch', 'trl', 'verl', 'openrlhf', "
        "'verifiers', 'inspect_ai', 'nemo_gym', 'eval_protocol', 'tinker', 'tinker_cookbook', 'starlette')))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert out.stdout.strip() == "[]"


EXAMPLES = Path(__file__).parents[2] / "examples" / "adapters"
ALONE = (
    "trl_reward",
    "verl_reward",
    "openrlhf_reward",
    "nemo_gym_server",
    "eval_protocol_test",
    "tinker_env",
)


@pytest.mark.parametrize("name", first(1, ALONE))
def test_examples_run(name: str) -> None:
    """Each example prints the reward of a right answer; those not named here need their framework to import."""
    import subprocess
    import sys

    out = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")], capture_output=True, text=True, check=True, timeout=60
    )

    assert "1.0" in out.stdout
    assert {file.stem for file in EXAMPLES.glob("*.py")} - set(ALONE) == {"inspect_task", "verifiers_task"}


def test_an_adapter_has_at_most_a_page_of_code() -> None:
    """An adapter has at most a page of code, comments aside."""
    folder = Path(graders.__file__).parent / "adapters"
    lines = {
        file.name: len(
            [
                line
                for line in file.read_text().splitlines()
                if line.strip() and not line.lstrip().startswith("#")
            ]
        )
        for file in folder.glob("*.py")
    }
    assert max(lines.values()) <= 70, lines

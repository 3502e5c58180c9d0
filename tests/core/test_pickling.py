"""Graders, adapters' functions and backends go to other processes: pickle, cloudpickle, deepcopy, spawned pools."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

import graders
from graders.adapters import eval_protocol, openrlhf, trl, verl
from graders.engine.backends import Backends
from graders_sandbox import Sandbox
from tests.specs import multi, python, string_check, text_similarity

ITEM = {"answer": "ground_truth"}
COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "cloudpickle": lambda value: pickle.loads(cloudpickle.dumps(value)),
    "deepcopy": copy.deepcopy,
}
SPECS = [
    pytest.param(string_check(), id="string_check"),
    pytest.param(multi("a + b", {"a": string_check(), "b": text_similarity()}), id="multi"),
    pytest.param(
        {"type": "string_check", "operation": "neq", "input": "a", "reference": "b"}, id="a lenient spec"
    ),
]


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("spec", SPECS)
def test_a_grader_is_copied(spec: dict[str, Any], how: str) -> None:
    """The copy grades as the grader does, under the same name and digest (A7; verl#1293, ray#5330)."""
    grader = graders.compile(spec)
    copied = COPIES[how](grader)

    assert copied.run("a", {"answer": "a"}).reward == grader.run("a", {"answer": "a"}).reward
    assert (copied.digest, copied.name, copied.identity) == (grader.digest, grader.name, grader.identity)


FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[[Any], Any]]] = {
    "verl": (verl.compute_score_of, lambda f: f("d", "a", "a")["score"]),
    "trl": (trl.reward_func, lambda f: f(["p"], ["a"], ground_truth=["a"])[0]),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_adapters_functions_are_copied(name: str, how: str) -> None:
    """Functions of adapters survive pickling to a trainer's workers."""
    make, call = FUNCTIONS[name]
    copied = COPIES[how](make(string_check(), item=ITEM))

    assert call(copied) == 1.0


@pytest.mark.parametrize("make", [openrlhf.reward_func_of, eval_protocol.evaluator, trl.async_reward_func])
def test_the_other_adapters_functions_can_be_pickled(make: Callable[..., Any]) -> None:
    """Functions that need their framework or an event loop can be pickled."""
    assert pickle.loads(pickle.dumps(make(string_check())))


def test_a_reward_function_keeps_its_name() -> None:
    """TRL logs it under `__name__`, and asks inspect whether it is awaitable."""
    import inspect

    copied = pickle.loads(pickle.dumps(trl.async_reward_func(string_check(), name="mine")))

    assert copied.__name__ == "mine"
    assert inspect.iscoroutinefunction(copied)


def test_backends_of_a_configuration(tmp_path: Path) -> None:
    """Backends are pickled as what they are made from."""
    config = tmp_path / "graders.toml"
    config.write_text("[templates]\nvalues = 'python'\n")
    with Backends(config=str(config)) as backends:
        grader = graders.compile(string_check(input="{{item.a}}", reference="True"), backends=backends)
        copied = pickle.loads(pickle.dumps(grader))

        assert copied.run("", {"a": True}).reward == grader.run("", {"a": True}).reward == 1.0


def test_backends_with_parts_of_their_own_say_so() -> None:
    """A sandbox or client cannot go to another process; the message says what to do."""
    with Backends(sandbox=Sandbox()) as backends:
        grader = graders.compile(string_check(), backends=backends)
        with pytest.raises(TypeError, match=r"Backends with sandbox of their own .* graders\.toml"):
            pickle.dumps(grader)
        assert copy.deepcopy(grader).run("a", {"answer": "a"}).reward == 1.0


PROGRAM = python("def grade(sample, item):\n    return float(item['answer'])\n")


async def scores_as_prime(
    score: Callable[..., Any], pool: ProcessPoolExecutor, truths: list[str]
) -> list[float]:
    """How verl 0.9's PRIME manager calls a reward function, and what it makes of the results: all 0.0 if one raises."""
    loop = asyncio.get_running_loop()
    calls = [partial(score, "a source", "x", truth, None) for truth in truths]
    found = await asyncio.gather(*(loop.run_in_executor(pool, call) for call in calls))
    return [float(one) if isinstance(one, int | float | bool) else float(one[0]) for one in found]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_pool_of_verls_prime_manager(method: str) -> None:
    """The documented verl form, also in processes that share nothing (A7; verl#1293, #2239)."""
    score = verl.compute_score_of(PROGRAM, item=ITEM)
    with ProcessPoolExecutor(2, mp_context=get_context(method)) as pool:
        assert asyncio.run(scores_as_prime(score, pool, ["1", "2", "3", "4"])) == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.slow
@pytest.mark.parametrize("n_processes", [1, 2])
def test_a_datasets_map(n_processes: int) -> None:
    """A function with a grader in it, in the processes of the real library, and in this one."""
    datasets = pytest.importorskip(
        "datasets.arrow_dataset", reason="datasets is not installed; .ci/run ray has it"
    )
    grader = graders.compile(PROGRAM)
    rows = datasets.Dataset.from_dict({"sample": ["x"] * 8, "answer": [str(n) for n in range(8)]})

    graded = rows.map(
        lambda row: {"reward": grader.run(row["sample"], {"answer": row["answer"]}).reward},
        num_proc=n_processes,
    )

    assert graded["reward"][:] == [float(n) for n in range(8)]

"""One batch of 200 rows, and how each framework would call its adapter with it - without the framework.

Each entry of CALLS takes a spec and the rows and gives one reward a row, None where the framework leaves the row out.
What is imitated is the documented call, keyword by keyword; tests/adapters/test_frameworks.py holds it to the
real frameworks where they are installed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import graders
from graders.adapters import eval_protocol, nemo_gym, openrlhf, tinker, trl, verifiers, verl
from graders.engine.backends import Backends
from tests.specs import multi, python, string_check, text_similarity

#: Lengths of sample and answer, from a program: 1 when equal, less the more they differ.
LENGTHS = """
def grade(sample, item):
    return 1.0 / (1 + abs(len(sample["output_text"]) - len(item["answer"])))
"""

SPEC = multi(
    "0.5 * exact + 0.3 * close + 0.2 * length",
    {"exact": string_check(), "close": text_similarity(), "length": python(LENGTHS)},
)

#: A grader that fails for the sample "fail" and hangs for "hang".
UNSOUND = python(
    """
def grade(sample, item):
    if sample["output_text"] == "fail":
        raise ValueError("as asked")
    while sample["output_text"] == "hang":
        pass
    return float(sample["output_text"] == item["answer"])
"""
)


def rows(n: int = 200) -> list[dict[str, Any]]:
    """Right, nearly right, wrong and empty samples in turn."""
    made = []
    for number in range(n):
        answer = f"{'very ' * (number % 7)}near {number * 37 % 101}"
        samples = (answer, answer.upper(), f"{answer}{'!' * (number % 9)}", f"perhaps {number}", "")
        made.append({"prompt": f"question {number}", "answer": answer, "sample": samples[number % 5]})
    return made


Rows = Sequence[dict[str, Any]]
Call = Callable[[Any, Rows, Backends], list[float | None]]

_ITEM = {"answer": "answer"}


def _columns(rows: Rows) -> dict[str, list[Any]]:
    return {key: [row[key] for row in rows] for key in ("prompt", "answer", "sample")}


def call_trl(spec: Any, rows: Rows, backends: Backends) -> list[float | None]:
    """Plain texts, columns by keyword."""
    columns = _columns(rows)
    reward = trl.reward_func(spec, item=_ITEM, backends=backends)
    return reward(
        prompts=columns["prompt"],
        completions=columns["sample"],
        completion_ids=[[1]] * len(rows),
        answer=columns["answer"],
        trainer_state=None,
        log_extra=None,
        log_metric=None,
    )


def call_trl_chat(spec: Any, rows: Rows, backends: Backends) -> list[float | None]:
    """Conversations, awaited."""
    reward = trl.async_reward_func(spec, item=_ITEM, backends=backends)
    chats = [[{"role": "assistant", "content": row["sample"]}] for row in rows]
    prompts = [[{"role": "user", "content": row["prompt"]}] for row in rows]

    async def main() -> list[float | None]:
        return await reward(prompts=prompts, completions=chats, answer=_columns(rows)["answer"])

    return asyncio.run(main())


def call_verl(spec: Any, rows: Rows, backends: Backends) -> list[float | None]:
    compute_score = verl.compute_score_of(spec, item={"answer": "ground_truth"}, backends=backends)
    scores = [
        compute_score(
            data_source="golden",
            solution_str=row["sample"],
            ground_truth=row["answer"],
            extra_info={"num_turns": None, "rollout_reward_scores": {}},
        )
        for row in rows
    ]
    return [score["score"] for score in scores]


def call_openrlhf(spec: Any, rows: Rows, backends: Backends) -> list[float | None]:
    """Over HTTP, as its remote reward client posts."""
    from starlette.testclient import TestClient

    app = openrlhf.app(spec, item={"answer": "label"}, backends=backends)
    body = {
        "query": [row["prompt"] + row["sample"] for row in rows],
        "prompts": [row["prompt"] for row in rows],
        "labels": [row["answer"] for row in rows],
    }
    response = TestClient(app).post("/get_reward", json=body)
    response.raise_for_status()
    return list(response.json()["rewards"])


def call_verifiers(spec: Any, rows: Rows, backends: Backends) -> list[float | None]:
    """As a method of a task: (self, trace)."""
    graded = verifiers.reward_of(spec, item=lambda task: {"answer": task.data.answer}, backends=backends)

    async def main() -> list[float]:
        calls = []
        for row in rows:
            task = SimpleNamespace(data=SimpleNamespace(answer=row["answer"]))
            messages = [
                {"role": "user", "content": row["prompt"]},
                {"role": "assistant", "content": row["sample"]},
            ]
            calls.append(graded(task, SimpleNamespace(messages=messages)))
        return await asyncio.gather(*calls)

    return list(asyncio.run(main()))


def call_nemo_gym(spec: Any, rows: Rows, backends: Backends) -> list[float | None]:
    """POST /verify with a Responses API object."""
    from starlette.testclient import TestClient

    client = TestClient(nemo_gym.app(spec, item={"answer": "expected_answer"}, backends=backends))
    rewards = []
    for row in rows:
        message = {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": row["sample"]}],
        }
        body = {
            "responses_create_params": {"input": row["prompt"]},
            "response": {"id": "r", "object": "response", "output": [message]},
            "expected_answer": row["answer"],
        }
        response = client.post("/verify", json=body)
        response.raise_for_status()
        assert {key: response.json()[key] for key in body} == body, "the body comes back"
        rewards.append(response.json()["reward"])
    return rewards


def call_eval_protocol(spec: Any, rows: Rows, backends: Backends) -> list[float | None]:
    evaluate = eval_protocol.evaluator(spec, item={"answer": "ground_truth"}, backends=backends)
    results = [
        evaluate(
            SimpleNamespace(
                messages=[{"role": "assistant", "content": row["sample"]}], ground_truth=row["answer"]
            )
        )
        for row in rows
    ]
    return [result["score"] if result["is_score_valid"] else None for result in results]


def call_tinker(spec: Any, rows: Rows, backends: Backends) -> list[float | None]:
    """check_answer of a problem, which the cookbook's step turns into a float."""

    class Problem(tinker.GradedProblem):
        grader = graders.compile(spec, backends=backends)

        def __init__(self, answer: str) -> None:
            self.answer = answer

        def grader_item(self) -> dict[str, Any]:
            return {"answer": self.answer}

    return [float(Problem(row["answer"]).check_answer(row["sample"])) for row in rows]


CALLS: dict[str, Call] = {
    "trl": call_trl,
    "trl, async and chat": call_trl_chat,
    "verl": call_verl,
    "openrlhf, http": call_openrlhf,
    "verifiers": call_verifiers,
    "nemo_gym": call_nemo_gym,
    "eval_protocol": call_eval_protocol,
    "tinker": call_tinker,
}


def expected(spec: Any, rows: Rows, backends: Backends) -> list[float]:
    """The rewards of run_batch for the same rows."""
    grader = graders.compile(json.loads(json.dumps(spec)), backends=backends)
    batch = ({"sample": row["sample"], "item": {"answer": row["answer"]}} for row in rows)
    results = list(grader.run_batch(batch))
    assert all(result.ok for result in results), [result.failures for result in results if not result.ok][:1]
    return [result.reward for result in results]

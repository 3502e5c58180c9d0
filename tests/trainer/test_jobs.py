"""Jobs of a server with the real trainer and a tiny random model: what they learn, by which processes, and who uses it."""

from __future__ import annotations

import json
import os
import re
import resource
from pathlib import Path
from typing import Any

import pytest

import graders
from graders.engine.backends import Backends
from graders.judges.scripted import ScriptedJudge, say
from graders.results.read import read_results
from tests.evals.support import client_of, equals, eval_server, run_of, sampled
from tests.evals.support import items as items_of
from tests.server.support import load_config_of
from tests.trainer.support import NEEDS_TRAINER, PYTHON, SLOWER, SUPERVISED, command, trainer_server, warm
from tests.tuning.support import MODEL, ended, messages, upload

pytestmark = NEEDS_TRAINER

#: Of the processor, of everything that a job and its server do, imports included.
SECONDS_MOST = 60
RISE_LEAST = 0.3
VOWELS = {
    "type": "python",
    "name": "vowels",
    "source": "def grade(sample, item):\n"
    "    text = sample['output_text']\n"
    "    return sum(letter in 'aeiou' for letter in text) / max(1, len(text))\n",
}
PROMPTS = [{"messages": [{"role": "user", "content": f"q{n}"}], "n": n} for n in range(10)]


def job_of(client: Any, rows: list[Any], **fields: Any) -> Any:
    """A job that has succeeded."""
    file_id = upload(client, rows)
    job = client.fine_tuning.jobs.create(model=MODEL, training_file=file_id, **fields)
    job = ended(client, job.id, seconds=600, look_s=0.5)
    assert job.status == "succeeded", (job.error, messages(client, job.id))
    return job


def processor_seconds() -> float:
    """Of this process and of those that it has waited for."""
    own, children = (resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def test_reinforcement_raises_the_mean_reward_of_our_grader(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The share of vowels, by a program in the sandbox, over 64 samples of validation before and after training."""
    hyperparameters = {
        "n_epochs": 6,
        "batch_size": 2,
        "learning_rate_multiplier": 1,
        "compute_multiplier": 2,
        "eval_interval": 100,
        "eval_samples": 16,
    }
    reinforcement = {"grader": VOWELS, "hyperparameters": hyperparameters}
    keys = "max_completion_tokens = 8\nmicro_batch = 64\nlearning_rate = { reinforcement = 1e-2 }\n"
    before = processor_seconds()
    with trainer_server(model, keys=keys, trainer=command()) as (_, client):
        method = {"type": "reinforcement", "reinforcement": reinforcement}
        job = job_of(client, PROMPTS, method=method, seed=1, validation_file=upload(client, PROMPTS[:4]))
        files = [client.files.content(one).content for one in job.result_files[1:]]
    seconds = processor_seconds() - before
    means = []
    for n, content in enumerate(files):
        (tmp_path / f"{n}.jsonl").write_bytes(content)
        rows = read_results(tmp_path / f"{n}.jsonl")[1]
        rewards = [row.reward for row in rows if row.reward is not None]
        assert len(rewards) == 64
        means.append(sum(rewards) / len(rewards))
    with capsys.disabled():
        print(f"\nmean reward {means[0]:.3f} -> {means[-1]:.3f}, {seconds:.1f} s of the processor")
    assert means[-1] - means[0] >= RISE_LEAST
    assert seconds <= SECONDS_MOST * SLOWER


JUDGE = {
    "type": "score_model",
    "name": "judge",
    "range": [0, 1],
    "pass_threshold": 0.5,
    "input": [{"role": "user", "content": "Rate {{sample.output_text}}"}],
}
SAID = "abcdefgh"


def question_of_judge() -> tuple[list[Any], str]:
    """What the judge asks about the sample SAID, and an answer to it, by asking a scripted endpoint."""
    with ScriptedJudge() as endpoint:
        endpoint.default = say({"result": 0.75})
        with Backends(config=load_config_of(route_of(endpoint.base_url))) as backends:
            grader = graders.compile({**JUDGE, "model": "ft:judge"}, backends=backends)
            assert grader.run(sample=SAID, item={}).reward == 0.75
        messages = endpoint.received[0].json["messages"]
        key = re.findall(r'"required": \["(\w+)"\]', messages[-1]["content"])[0]
        return messages, json.dumps({key: 0.75})


def route_of(base_url: str) -> str:
    """Where graders.toml sends questions to tuned models. No server that tunes takes a schema for the answer."""
    return (
        f'[models."ft:*"]\nbase_url = "{base_url}"\napi_key_env = ""\nsteps = false\nstructured = "prompt"\n'
    )


def test_a_tuned_model_writes_the_samples_of_an_eval_and_judges_them(model: Path) -> None:
    """Taught by heart what to say, and what to answer when its own words are judged."""
    asked, verdict = question_of_judge()
    taught = [
        *(
            {"messages": [{"role": "user", "content": f"say {n}"}, {"role": "assistant", "content": SAID}]}
            for n in range(8)
        ),
        *({"messages": [*asked, {"role": "assistant", "content": verdict}]} for _ in range(8)),
    ]
    hyperparameters = {"n_epochs": 1, "batch_size": 4, "learning_rate_multiplier": 80}
    with trainer_server(model) as (tuned, client):
        # not as many epochs, each of which would end with a checkpoint
        job = job_of(client, taught * 25, hyperparameters=hyperparameters, seed=1)
        name = job.fine_tuned_model
        with eval_server(route_of(f"{tuned.url}/v1")) as server:
            evals = client_of(server)
            source = sampled({"item": {"question": "say 3", "answer": SAID}})
            sampling = {"temperature": 0, "max_completions_tokens": 64}
            judge = {**JUDGE, "model": name, "sampling_params": sampling}
            run = run_of(
                evals, [equals(), judge], {**source, "model": name, "sampling_params": {"temperature": 0}}
            )
            (item,) = items_of(evals, run)
    assert item.sample.output[0].content == SAID
    # a criterion's name on the wire ends with its id
    found = [(one.name.partition("-")[0], one.score, one.passed) for one in item.results]
    assert found == [("equal", 1, True), ("judge", 0.75, True)]


LAUNCH = "launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no --main_process_port 0"
ACCELERATE = (os.path.join(os.path.dirname(PYTHON), "accelerate"), *LAUNCH.split())


def test_two_processes_of_accelerate_train_what_one_does(model: Path) -> None:
    """`[tuning] command` puts the launcher before the trainer; each batch is split between the processes."""
    found = []
    for trainer, processes in (((), 1), (command(*ACCELERATE, "-m", "graders_train"), 2)):
        with trainer_server(model, trainer=trainer) as (server, client):
            job = job_of(client, SUPERVISED, hyperparameters={"n_epochs": 2, "batch_size": 4}, seed=1)
            log = (server.home / "jobs" / job.id / "log").read_text()
            for n in range(processes):
                assert f"process {n + 1} of {processes}" in log
            found.append([step["train_loss"] for step in steps_of(client, job.id)])
    assert len(found[0]) == 8
    assert found[1] == pytest.approx(found[0], rel=1e-3)


def test_two_processes_of_accelerate_ask_for_their_rewards_at_once(model: Path) -> None:
    reinforcement = {
        "grader": VOWELS,
        "hyperparameters": {"n_epochs": 1, "batch_size": 2, "compute_multiplier": 0.5},
    }
    method = {"type": "reinforcement", "reinforcement": reinforcement}
    trainer = command(*ACCELERATE, "--no_python", *warm())
    with trainer_server(model, trainer=trainer, keys="max_completion_tokens = 8\n") as (server, client):
        job = job_of(client, PROMPTS, method=method, seed=1)
        (batch,) = server.ask("GET", f"/pages/jobs/{job.id}/samples").json()["data"]
        assert len(steps_of(client, job.id)) == 5
    # two prompts a step, four samples of each
    assert (batch["split"], batch["step"], batch["n_samples"]) == ("train", 5, 8)
    assert all(one["reward"] is not None for one in batch["samples"])


def steps_of(client: Any, job_id: str) -> list[Any]:
    """The data of a job's metrics events, the oldest first."""
    events = client.fine_tuning.jobs.list_events(job_id)
    return [event.data for event in events if event.type == "metrics"][::-1]

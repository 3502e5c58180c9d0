"""The supervisor with a stub trainer that speaks the pipe: events, checkpoints, rewards, pauses, deaths and restarts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest

import graders
from graders.cli import main
from graders.results.read import read_results
from tests.server.support import wait_until
from tests.tuning.support import MODEL, config, ended, messages, rows, tuning_server, upload


def create(client: openai.OpenAI, **fields: Any) -> str:
    body = {"model": MODEL, "training_file": upload(client, rows()), **fields}
    return client.fine_tuning.jobs.create(**body).id


def data_of(event: Any) -> dict[str, Any]:
    """An event's data, which the client types as an object."""
    data: dict[str, Any] = event.data
    return data


def steps(client: openai.OpenAI, job_id: str) -> list[int]:
    """The steps of a job's metrics events, in the order of their coming."""
    events = [event for event in client.fine_tuning.jobs.list_events(job_id) if event.type == "metrics"]
    return [data_of(event)["step"] for event in events][::-1]


def test_a_job_succeeds_with_events_checkpoints_a_model_and_a_table() -> None:
    with tuning_server("train") as (_, client):
        job_id = create(client, suffix="my tune", validation_file=upload(client, rows(3)))
        job = ended(client, job_id)
        assert job.status == "succeeded", job.error
        assert job.fine_tuned_model.startswith(f"ft:{MODEL}:local:my-tune:")
        assert job.trained_tokens == 60
        said = messages(client, job_id)
        assert [text for text in said if text.startswith("Step")] == [
            "Step 1/6: training loss=1.00",
            "Step 2/6: training loss=0.50, validation loss=1.00, full validation loss=1.00",
            "Step 3/6: training loss=0.33",
            "Step 4/6: training loss=0.25, validation loss=0.50, full validation loss=0.50",
            "Step 5/6: training loss=0.20",
            "Step 6/6: training loss=0.17, validation loss=0.33, full validation loss=0.33",
        ]
        assert said[-2:] == [
            f"New fine-tuned model created: {job.fine_tuned_model}",
            "The job has successfully completed",
        ]
        checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job_id, limit=1))
        assert [one.step_number for one in checkpoints] == [6, 4, 2]
        assert checkpoints[0].metrics.valid_loss == 2 / 6
        assert (
            f"Checkpoint created at step 6 with Snapshot ID: {checkpoints[0].fine_tuned_model_checkpoint}"
            in said
        )
        table = client.files.content(job.result_files[0]).text.splitlines()
        assert table[0] == "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy"
        assert table[2] == "2,0.50000,0.50000,1.00000,"
        listed = {model.id for model in client.models.list()}
        assert {job.fine_tuned_model, checkpoints[0].fine_tuned_model_checkpoint} <= listed


GRADER = {
    "type": "string_check",
    "name": "g",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
}


def test_rewards_are_those_of_run_batch_and_a_failed_row_is_null() -> None:
    """The stub answers with each prompt; row 3 has no answer to compare with, so it has no reward."""
    data = [{"messages": [{"role": "user", "content": f"q{n}"}], "answer": f"q{n % 2}"} for n in range(10)]
    del data[3]["answer"]
    with tuning_server("train") as (server, client):
        method = {"type": "reinforcement", "reinforcement": {"grader": GRADER}}
        job_id = create(client, training_file=upload(client, data), method=method)
        job = ended(client, job_id)
        assert job.status == "succeeded", job.error
        given = json.loads((server.home / "jobs" / job_id / "rewards").read_text())
        graded = graders.compile(GRADER).run_batch(
            [{"sample": f"q{n}", "item": row} for n, row in enumerate(data)]
        )
        assert given == [result.reward if result.ok else None for result in graded]
        assert given[3] is None
        event = next(
            event for event in client.fine_tuning.jobs.list_events(job_id) if event.type == "metrics"
        )
        assert event.message == f"Step 6/6 , train mean reward={2 / 9:.2f}"
        assert data_of(event)["errors"]["graders"][0]["train_invalid_variable_error_count"] == 1
        assert data_of(event)["scores"]["graders"] == [
            {"name": "g", "type": "string_check", "train_reward_mean": 2 / 9}
        ]


@pytest.mark.skipif(
    subprocess.run(["sh", "-c", "unshare --map-root-user --net true"], capture_output=True).returncode != 0,
    reason="ordinary users may not make namespaces here",
)
def test_a_launcher_may_take_the_trainer_where_no_network_is(tmp_path: Path) -> None:
    """Rewards and events come over the pipe alone, as with a trainer on another machine that `ssh` or `srun` starts."""
    network = tmp_path / "network"
    tell = 'readlink /proc/self/ns/net >"$0"; exec "$@"'
    launcher = ["unshare", "--map-root-user", "--net", "sh", "-c", tell, str(network)]
    method = {"type": "reinforcement", "reinforcement": {"grader": GRADER}}
    data = [{"messages": [{"role": "user", "content": f"q{n}"}], "answer": f"q{n}"} for n in range(10)]
    with tuning_server("train", launcher=launcher) as (server, client):
        job = ended(client, create(client, training_file=upload(client, data), method=method))
        assert job.status == "succeeded", job.error
        assert json.loads((server.home / "jobs" / job.id / "rewards").read_text()) == [1] * len(data)
    assert network.read_text().strip() not in ("", os.readlink("/proc/self/ns/net"))


def test_a_jobs_page_has_the_last_samples_with_their_rewards() -> None:
    """Of training and of validation, with the reason where there is no reward."""
    data = [{"messages": [{"role": "user", "content": f"q{n}"}], "answer": f"q{n % 2}"} for n in range(10)]
    del data[3]["answer"]
    with tuning_server("train") as (server, client):
        method = {"type": "reinforcement", "reinforcement": {"grader": GRADER}}
        files = {"training_file": upload(client, data), "validation_file": upload(client, data[:2])}
        job = ended(client, create(client, **files, method=method))
        train, valid = server.ask("GET", f"/pages/jobs/{job.id}/samples").json()["data"]
        given = json.loads((server.home / "jobs" / job.id / "rewards").read_text())
        other = ended(client, create(client))
        assert server.ask("GET", f"/pages/jobs/{other.id}/samples").json()["data"] == []
        assert server.ask("GET", "/pages/jobs/nothing/samples").status == 404
        assert server.ask("GET", "/pages/jobs/../samples").status == 404
    assert [(one["split"], one["step"], one["n_samples"]) for one in (train, valid)] == [
        ("train", 6, 10),
        ("valid", 6, 2),
    ]
    assert [one["reward"] for one in train["samples"]] == given
    assert [one["sample"] for one in train["samples"]] == [f"q{n}" for n in range(10)]
    assert json.loads(train["samples"][1]["item"]) == data[1]
    assert "item.answer" in train["samples"][3]["errors"][0]


def test_each_validation_leaves_results_that_are_compared_like_any_others(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Training answers half of its questions right, validation all of them: neither touches the other's numbers."""
    data = [{"messages": [{"role": "user", "content": f"q{n}"}], "answer": f"q{n % 2}"} for n in range(10)]
    held_out = [{"messages": [{"role": "user", "content": f"v{n}"}], "answer": f"v{n}"} for n in range(4)]
    with tuning_server("train") as (_, client):
        method = {"type": "reinforcement", "reinforcement": {"grader": GRADER}}
        files = {"training_file": upload(client, data), "validation_file": upload(client, held_out)}
        job = ended(client, create(client, **files, method=method))
        events = client.fine_tuning.jobs.list_events(job.id)
        told: list[Any] = [event.data for event in events if event.type == "metrics"][::-1]
        assert [metrics["train_mean_reward"] for metrics in told] == [0.2] * 6
        assert [metrics.get("full_valid_mean_reward") for metrics in told] == [None, 1.0] * 3
        assert [metrics["scores"]["graders"] for metrics in told[:2]] == [
            [{"name": "g", "type": "string_check", "train_reward_mean": 0.2}],
            [{"name": "g", "type": "string_check", "train_reward_mean": 0.2, "valid_reward_mean": 1.0}],
        ]
        assert "Base model: full validation mean reward=1.00" in messages(client, job.id)
        names = [client.files.retrieve(file).filename for file in job.result_files]
        assert names == ["step_metrics.csv", "base.jsonl", *(f"ckpt-step-{step}.jsonl" for step in (2, 4, 6))]
        for file, name in zip(job.result_files, names, strict=True):
            (tmp_path / name).write_bytes(client.files.content(file).read())
    results = read_results(str(tmp_path / "ckpt-step-2.jsonl"))
    assert [row.reward for row in results.rows] == [1.0] * 4
    with pytest.raises(SystemExit) as code:
        main(["compare", str(tmp_path / "base.jsonl"), str(tmp_path / "ckpt-step-6.jsonl")])
    assert code.value.code in (0, None)
    assert "4 rows" in capsys.readouterr().out


def test_a_constant_reward_is_reported_with_a_sample() -> None:
    """The reference's own example of a reinforcement job: no model says `expected_output`."""
    grader = {**GRADER, "input": "{{ sample.output }}", "reference": "expected_output"}
    with tuning_server("train") as (_, client):
        method = {"type": "reinforcement", "reinforcement": {"grader": grader}}
        job = ended(client, create(client, method=method, training_file=upload(client, prompts())))
        events = [event for event in client.fine_tuning.jobs.list_events(job.id) if event.level == "warn"]
        (said,) = [event.message for event in events if "Nothing can be learned" in event.message]
        assert "'q0' -> reward 0" in said


def prompts(n: int = 10) -> list[dict[str, Any]]:
    return [{"messages": [{"role": "user", "content": f"q{i}"}], "n": i} for i in range(n)]


def test_a_raising_grader_fails_the_job_with_its_traceback() -> None:
    data = [{"messages": [{"role": "user", "content": f"q{n}"}]} for n in range(10)]
    grader = {"type": "python", "name": "g", "source": "def grade(sample, item):\n    return item['nothing']"}
    with tuning_server("train") as (_, client):
        method = {"type": "reinforcement", "reinforcement": {"grader": grader}}
        job = ended(client, create(client, training_file=upload(client, data), method=method))
        assert job.status == "failed"
        assert job.error.code == "invalid_grader"
        assert "KeyError" in job.error.message


def test_a_failed_trainer_has_a_reason() -> None:
    with tuning_server("raise") as (_, client):
        job = ended(client, create(client))
        assert (job.status, job.error.code, job.error.message) == (
            "failed",
            "invalid_training_file",
            "Example 1 is too long",
        )


def test_an_exit_code_is_never_success() -> None:
    """The stub leaves with 0 in its third step, each time; repeated steps are no progress and stand once."""
    with tuning_server("die") as (_, client):
        job_id = create(client)
        job = ended(client, job_id)
        assert job.status == "failed"
        # two processes write this log, and either may be the last
        assert "out of memory" in job.error.message
        assert steps(client, job_id) == [1, 2]


@pytest.mark.slow
def test_a_paused_job_resumes_and_a_cancelled_one_leaves_no_process() -> None:
    with tuning_server("slow") as (server, client):
        jobs = client.fine_tuning.jobs
        first = create(client)
        wait_for_step(client, first, 3)
        jobs.pause(first)
        jobs.resume(first)
        assert ended(client, first).status == "succeeded"
        assert steps(client, first) == list(range(1, 41))
        assert len(pids(server.home, first)) == 2
        second = create(client)
        wait_for_step(client, second, 2)
        assert jobs.cancel(second).status == "cancelled"
        wait_until(lambda: not any(map(alive, pids(server.home, second))))
        assert jobs.retrieve(second).status == "cancelled"


def wait_for_step(client: openai.OpenAI, job_id: str, step: int) -> None:
    wait_until(lambda: step in steps(client, job_id))


def pids(home: Path, job_id: str) -> list[int]:
    return [int(line) for line in (home / "jobs" / job_id / "pids").read_text().split()]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path(f"/proc/{pid}/stat").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def serve(home: Path, toml: Path) -> tuple[subprocess.Popen[str], openai.OpenAI]:
    """A server as a process of its own. Nobody reads what it prints later, so it does not tell of requests."""
    command = [sys.executable, "-m", "graders.cli", "serve", "--tuning", "--no-access-log", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--config", str(toml)],
        env={**os.environ, "GRADERS_HOME": str(home)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    url = next(line for line in process.stderr if "listening on" in line).split("base_url ")[1].split(")")[0]
    client = openai.OpenAI(base_url=url, api_key="none")
    return process, client


@pytest.mark.slow
def test_a_restarted_server_resumes_jobs_and_no_trainer_is_left(tmp_path: Path) -> None:
    home, toml = tmp_path / "home", tmp_path / "graders.toml"
    toml.write_text(config("slow"))
    server, client = serve(home, toml)
    try:
        job_id = create(client)
        wait_for_step(client, job_id, 3)
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
    wait_until(lambda: not any(map(alive, pids(home, job_id))))
    server, client = serve(home, toml)
    try:
        assert ended(client, job_id).status == "succeeded"
        assert steps(client, job_id) == list(range(1, 41))
        assert len(pids(home, job_id)) == 2
        assert any("restarted" in text for text in messages(client, job_id))
    finally:
        server.terminate()
        server.wait(60)

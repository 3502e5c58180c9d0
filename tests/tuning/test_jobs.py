"""/v1/fine_tuning over HTTP by the official client: bodies, lists, states, permissions and models."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from graders.config.config import Config, ConfigError
from graders.config.tuning import tuning_config
from graders.tuning.requests import InvalidJob, read_request, resolved
from graders.tuning.states import ENDED, STATUSES, TRANSITIONS, NoTransition, after
from tests.server.support import RunningServer
from tests.tuning.support import MODEL, ended, messages, rows, tuning_server, upload


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[RunningServer, openai.OpenAI]]:
    with tuning_server("wait") as served:
        yield served


@pytest.fixture
def client(served: tuple[RunningServer, openai.OpenAI]) -> openai.OpenAI:
    return served[1]


@pytest.fixture(scope="module")
def file(served: tuple[RunningServer, openai.OpenAI]) -> str:
    return upload(served[1], rows())


def test_a_new_job_is_queued_and_has_every_field_of_the_wire(client: openai.OpenAI, file: str) -> None:
    job = client.fine_tuning.jobs.create(
        model=MODEL,
        training_file=file,
        suffix="my suffix",
        metadata={"team": "a"},
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
    )
    assert job.status == "queued"
    assert (job.object, job.error, job.fine_tuned_model, job.result_files) == (
        "fine_tuning.job",
        None,
        None,
        [],
    )
    assert job.hyperparameters.to_dict() == {"n_epochs": 2, "batch_size": 1, "learning_rate_multiplier": 1.0}
    assert messages(client, job.id)[:3] == [
        f"Created fine-tuning job: {job.id}",
        f"Validating training file: {file}",
        "Files validated, moving job to queued state",
    ]
    client.fine_tuning.jobs.cancel(job.id)


BODIES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["model", "training_file"]),
    ({"model": 1, "training_file": "f", "sufix": "x"}, ["sufix", "model"]),
    ({"model": "m", "training_file": "f", "suffix": "", "seed": -1}, ["suffix", "seed"]),
    ({"model": "m", "training_file": "f", "method": {"type": "sft"}}, ["method.type"]),
    ({"model": "m", "training_file": "f", "method": {"type": "supervised", "dpo": {}}}, ["method.dpo"]),
    ({"model": "m", "training_file": "f", "method": {"type": "dpo", "dpo": {}, "dpp": {}}}, ["method.dpp"]),
    (
        {"model": "m", "training_file": "f", "hyperparameters": {"n_epochs": 51}, "metadata": {"a": 1}},
        ["hyperparameters.n_epochs", "metadata"],
    ),
    (
        {"model": "m", "training_file": "f", "method": {"type": "reinforcement"}},
        ["method.reinforcement.grader"],
    ),
    (
        {
            "model": "m",
            "training_file": "f",
            "method": {"type": "reinforcement", "reinforcement": {"grader": {"type": "string_check"}}},
        },
        [f"method.reinforcement.grader.{key}" for key in ("input", "operation", "reference")],
    ),
    ({"model": "m", "training_file": "f", "integrations": [{"type": "x"}]}, ["integrations[0]"]),
]


@pytest.mark.parametrize(("body", "paths"), BODIES)
def test_a_body_is_refused_with_all_of_its_problems(body: dict[str, Any], paths: list[str]) -> None:
    with pytest.raises(InvalidJob) as refused:
        read_request(body)
    assert sorted(problem.path for problem in refused.value.problems) == sorted(paths)


def test_the_blocks_of_other_methods_may_stand_beside_the_chosen_one() -> None:
    # as in openai-python's own test of jobs with all parameters
    method = {"type": "supervised", "supervised": {}, "dpo": {"hyperparameters": {"beta": "auto"}}}
    request = read_request({"model": "m", "training_file": "f", "method": method})
    assert request.method == {"type": "supervised", "supervised": {"hyperparameters": {}}}


@pytest.mark.parametrize(
    ("n", "epochs"), [(1, 25), (10, 10), (33, 3), (50, 3), (8333, 3), (10_000, 2), (50_000, 1)]
)
def test_auto_epochs_follow_the_services_rule(n: int, epochs: int) -> None:
    assert resolved("supervised", {"n_epochs": "auto"}, n)["n_epochs"] == epochs


def test_refusals_have_the_services_words(client: openai.OpenAI, file: str) -> None:
    with pytest.raises(openai.BadRequestError) as unknown:
        client.fine_tuning.jobs.create(model=MODEL, training_file="file-x")
    assert (unknown.value.param, unknown.value.code) == ("training_file", None)
    assert "invalid training_file: file-x" in unknown.value.message
    with pytest.raises(openai.BadRequestError) as model:
        client.fine_tuning.jobs.create(model="../../etc", training_file=file)
    assert model.value.code == "model_not_available"
    with pytest.raises(openai.NotFoundError) as job:
        client.fine_tuning.jobs.retrieve("ftjob-x")
    assert (job.value.param, job.value.code) == ("fine_tune_id", "fine_tune_not_found")


def test_bad_rows_fail_the_job_and_not_the_request(client: openai.OpenAI) -> None:
    bad = rows()
    bad[3]["messages"][1] = {"content": "x"}
    job = client.fine_tuning.jobs.create(model=MODEL, training_file=upload(client, bad))
    assert job.status == "failed"
    assert job.error is not None
    assert job.error.code == "invalid_file_format"
    assert job.error.message.endswith("Example 4, message 1: Discriminator 'role' is missing in value")
    few = client.fine_tuning.jobs.create(model=MODEL, training_file=upload(client, rows(7)))
    assert few.error is not None
    assert few.error.message == "Training file has 7 example(s), but must have at least 10 examples"


def test_lists_honour_after_and_filters(client: openai.OpenAI, file: str) -> None:
    made = [
        client.fine_tuning.jobs.create(
            model=MODEL, training_file=file, metadata={"n": str(n % 2), "of": "list"}
        ).id
        for n in range(4)
    ]
    for job_id in made:
        client.fine_tuning.jobs.cancel(job_id)
    listed = list(client.fine_tuning.jobs.list(limit=1, extra_query={"metadata[of]": "list"}))
    assert [job.id for job in listed] == made[::-1]
    odd = client.fine_tuning.jobs.list(extra_query={"metadata[n]": "1", "metadata[of]": "list"})
    assert [job.id for job in odd] == [made[3], made[1]]
    none = list(client.fine_tuning.jobs.list(extra_query={"metadata": "null"}))
    assert not {job.id for job in none} & set(made)
    events = list(client.fine_tuning.jobs.list_events(made[0], limit=1))
    assert len({event.id for event in events}) == len(events) >= 4


def test_a_job_is_paused_resumed_and_cancelled(client: openai.OpenAI, file: str) -> None:
    jobs = client.fine_tuning.jobs
    job_id = jobs.create(model=MODEL, training_file=file).id
    assert str(jobs.pause(job_id).status) == "paused"
    assert jobs.resume(job_id).status == "queued"
    assert jobs.cancel(job_id).status == "cancelled"
    with pytest.raises(openai.BadRequestError) as refused:
        jobs.resume(job_id)
    assert refused.value.code == "invalid_state"
    assert ended(client, job_id).finished_at is not None


def test_permissions_are_kept_by_checkpoint(client: openai.OpenAI) -> None:
    permissions, name = client.fine_tuning.checkpoints.permissions, "ft:m:local:x:abc:ckpt-step-3"
    made = list(permissions.create(name, project_ids=["p1", "p2", "p3"]))
    # a list that ignored `after` was an endless loop in the client
    assert [one.project_id for one in permissions.list(name, limit=1)] == ["p3", "p2", "p1"]
    assert [one.project_id for one in permissions.list(name, order="ascending", project_id="p2")] == ["p2"]
    assert permissions.delete(made[0].id, fine_tuned_model_checkpoint=name).deleted
    assert [one.project_id for one in permissions.list(name)] == ["p3", "p2"]


def test_models_are_those_of_the_configuration(client: openai.OpenAI) -> None:
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).owned_by == "org-local"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-9")


def test_without_tuning_there_are_no_such_paths() -> None:
    with tuning_server() as (server, _):
        assert server.ask("GET", "/v1/fine_tuning/jobs").status == 200
    from tests.evals.support import eval_server

    with eval_server() as server:
        assert server.ask("GET", "/v1/fine_tuning/jobs").status == 404


def test_transitions_stay_within_the_statuses_and_ended_jobs_stay() -> None:
    for event, table in TRANSITIONS.items():
        assert {*table, *table.values()} <= set(STATUSES)
        for status in ENDED:
            with pytest.raises(NoTransition, match=f"Cannot {event}"):
                after(event, status)


@pytest.mark.parametrize(
    ("mode", "said"),
    [("", "nothing is sent; the block"), ("offline", "kept in the job's folder"), ("online", "is sent, as")],
)
def test_the_wandb_block_is_shown_and_an_event_says_where_the_run_goes(mode: str, said: str) -> None:
    block: Any = {"type": "wandb", "wandb": {"project": "p", "name": None, "entity": None, "tags": ["t"]}}
    with tuning_server("wait", tuning_keys=f'wandb = "{mode}"\n' if mode else "") as (_, client):
        job = client.fine_tuning.jobs.create(
            model=MODEL, training_file=upload(client, rows()), integrations=[block]
        )
        assert job.integrations is not None
        assert [one.to_dict() for one in job.integrations] == [block]
        assert [said in text for text in messages(client, job.id) if "Weights" in text] == [True]
        client.fine_tuning.jobs.cancel(job.id)


def test_an_unknown_place_for_runs_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"tuning\.wandb: expected off, offline, online, found 'on'"):
        tuning_config(Config({"tuning": {"wandb": "on"}}))


SERVED = """
import sys
from tests.evals.support import client_of, eval_server
from tests.tuning.support import MODEL, config, ended, rows, upload

with eval_server(config("train"), tuning="--tuning" in sys.argv) as server:
    client = client_of(server)
    file = upload(client, rows())
    if "--tuning" in sys.argv:
        job = ended(client, client.fine_tuning.jobs.create(model=MODEL, training_file=file).id)
        said = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "x"}])
        assert (job.status, said.choices[0].message.content) == ("succeeded", "base: x")
print(sorted({"torch", "transformers", "trl", "peft"} & set(sys.modules)))
"""


@pytest.mark.parametrize("arguments", [[], ["--tuning"]], ids=["off", "on"])
def test_a_server_imports_nothing_of_the_trainer(arguments: list[str], tmp_path: Path) -> None:
    """Empty modules stand in for the trainer's: an import that may fail would go unseen where they are not installed."""
    for name in ("torch", "transformers", "trl", "peft"):
        (tmp_path / f"{name}.py").touch()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])]),
    }
    command = [sys.executable, "-c", SERVED, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "[]", done.stderr

"""Runs over the wire, by the official client: what is graded, counted, listed, refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from graders.engine.grader import Grader
from tests.evals.support import client_of, counts, custom, ended, equals, eval_server, items, rows, run_of
from tests.server.support import RunningServer
from tests.specs import python


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with eval_server() as running:
        yield running


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[openai.OpenAI]:
    with client_of(server) as made:
        yield made


SAMPLES = [
    # sample, whether its text is Paris
    pytest.param({"output_text": "Paris"}, True, id="a sample object"),
    pytest.param({"model": "m", "choices": [{"message": {"role": "assistant", "content": "Paris"}}]}, True, id="model and choices"),
    pytest.param(
        {"object": "chat.completion", "id": "c", "model": "m", "choices": [{"index": 0, "message": {"content": "Paris"}}]},
        True, id="a chat completion",
    ),
    pytest.param(
        {"object": "response", "output": [{"type": "message", "content": [{"type": "output_text", "text": "Paris"}]}]},
        True, id="a response",
    ),
    pytest.param({"output_text": "Rome"}, False, id="another text"),
]  # fmt: skip


@pytest.mark.parametrize(("sample", "passed"), SAMPLES)
def test_samples_of_every_shape(client: openai.OpenAI, sample: Any, passed: bool) -> None:
    """The official notebooks bring completions of their own, whole or in part."""
    run = run_of(client, [equals()], rows({"item": {"answer": "Paris"}, "sample": sample}))

    assert counts(run) == (1, int(passed), int(not passed), 0)
    assert items(client, run)[0].sample.output[0].content == ("Paris" if passed else "Rome")


ERRORS = [
    # criterion, row, code
    pytest.param(equals(), {"item": {"answer": "a"}}, "sample_parse_error", id="no sample"),
    pytest.param(
        equals(),
        {"item": {"answer": "a"}, "sample": {"foo": "bar"}},
        "sample_parse_error",
        id="no known sample",
    ),
    pytest.param(
        equals("{{item.other}}"),
        {"item": {"answer": "a"}, "sample": {"output_text": "a"}},
        "invalid_variable_error",
        id="no such variable",
    ),
    pytest.param(
        python("def grade(sample, item):\n    return 1 / 0"),
        {"item": {"answer": "a"}, "sample": {"output_text": "a"}},
        "python_grader_runtime_error",
        id="a program that raises",
    ),
]


@pytest.mark.parametrize(("criterion", "row", "code"), ERRORS)
def test_an_errored_criterion_is_an_errored_item(
    client: openai.OpenAI, criterion: Any, row: Any, code: str
) -> None:
    """An errored criterion is never a fail; the run and its criteria count it apart, and the result has the reason."""
    run = run_of(client, [criterion], rows(row))

    assert (run.status, counts(run)) == ("completed", (1, 0, 0, 1))
    found = run.per_testing_criteria_results[0]
    assert (found.passed, found.failed, found.errored) == (0, 0, 1)
    item = items(client, run, status="error")[0]
    assert item.status == "error"
    assert item.results[0].error["code"] == code
    assert (item.results[0].passed, item.results[0].score) == (False, 0.0)
    assert items(client, run, status="fail") == []


MIXED = [
    # scores by criterion (None: an error), status
    ([1, 1], "pass"),
    ([1, 0], "fail"),
    ([1, None], "error"),
    ([0, None], "fail"),
    ([None, None], "error"),
]


@pytest.mark.parametrize(("scores", "status"), MIXED)
def test_a_failed_criterion_counts_before_an_error(
    client: openai.OpenAI, scores: list[int | None], status: str
) -> None:
    """An item fails if a criterion fails, else it is errored if one has an error, else it passes."""
    references = {1: "a", 0: "b", None: "{{item.none}}"}
    criteria = [equals(references[score], name=f"c{n}") for n, score in enumerate(scores)]

    run = run_of(client, criteria, rows({"item": {"answer": "a"}, "sample": {"output_text": "a"}}))

    assert items(client, run)[0].status == status


THRESHOLDS = [
    # criterion's fields, score, passed
    ({"type": "text_similarity", "input": "abcd", "reference": "abcx", "evaluation_metric": "fuzzy_match", "pass_threshold": 0.75}, 0.75, True),
    ({"type": "text_similarity", "input": "abcd", "reference": "abcx", "evaluation_metric": "fuzzy_match", "pass_threshold": 0.76}, 0.75, False),
    ({"type": "python", "source": "def grade(sample, item):\n    return 4"}, 4.0, True),
    ({"type": "python", "source": "def grade(sample, item):\n    return 0.9"}, 0.9, False),
    ({"type": "python", "source": "def grade(sample, item):\n    return 4", "pass_threshold": 5}, 4.0, False),
    ({"type": "string_check", "input": "a", "reference": "a", "operation": "ne"}, 0.0, False),
    ({"type": "multi", "graders": {"a": {"type": "string_check", "input": "a", "reference": "a", "operation": "eq"}}, "calculate_output": "a / 2", "pass_threshold": 0.5}, 0.5, True),
]  # fmt: skip


@pytest.mark.parametrize(("criterion", "score", "passed"), THRESHOLDS)
def test_a_score_passes_from_its_threshold(
    client: openai.OpenAI, criterion: Any, score: float, passed: bool
) -> None:
    """A score meets or exceeds its threshold; a program without one passes from 1, a check when it is true."""
    row = {"item": {"answer": ""}, "sample": {"output_text": ""}}

    result = items(client, run_of(client, [{"name": "c", **criterion}], rows(row)))[0].results[0]

    assert (result.score, result.passed, result.type) == (score, passed, criterion["type"])


def test_items_come_in_the_order_of_the_data(client: openai.OpenAI) -> None:
    """Page by page, filtered by every spelling of a status, both ways; the ids hold the time."""
    data = [{"item": {"answer": str(n % 3)}, "sample": {"output_text": "0"}} for n in range(600)]
    run = run_of(client, [equals()], rows(*data))

    assert counts(run) == (600, 200, 400, 0)
    assert [item.datasource_item_id for item in items(client, run, limit=100)] == list(range(600))
    for status, remainders in (("pass", {0}), ("passed", {0}), ("fail", {1, 2}), ("failed", {1, 2})):
        found = items(client, run, status=status, limit=30 if status == "pass" else 100)
        assert [item.datasource_item_id for item in found] == [n for n in range(600) if n % 3 in remainders]
    down = items(client, run, order="desc", limit=100)
    assert [item.datasource_item_id for item in down] == list(range(600))[::-1]
    one = client.evals.runs.output_items.retrieve(down[3].id, eval_id=run.eval_id, run_id=run.id)
    assert one.model_dump() == down[3].model_dump()
    assert int(one.id.removeprefix("outputitem_")[:8], 16) == one.created_at


def test_criteria_that_ask_nobody_grade_many_rows_at_once(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """600 rows in two calls of the batch form, and not one of the form for a single row."""
    sizes = []
    run_batch = Grader.run_batch

    def counted(grader: Grader, given: Any, **options: Any) -> Any:
        sizes.append(len(chunk := list(given)))
        return run_batch(grader, chunk, **options)

    monkeypatch.setattr(Grader, "run_batch", counted)
    monkeypatch.delattr(Grader, "arun")
    monkeypatch.delattr(Grader, "run")

    run = run_of(client, [equals()], rows(*[{"item": {"answer": "a"}, "sample": {"output_text": "a"}}] * 600))

    assert counts(run) == (600, 600, 0, 0)
    assert sizes == [512, 88]


def test_rows_are_read_from_an_uploaded_file(client: openai.OpenAI) -> None:
    """A file of any name, with a byte order mark and blank lines, gives its rows; equal items have equal hashes."""
    lines = '\ufeff{"item": {"answer": "a", "x": 1}, "sample": {"output_text": "a"}}\n\n{"item": {"x": 1, "answer": "a"}}\n'
    file = client.files.create(file=("rows.json", lines.encode()), purpose="evals")

    run = run_of(client, [equals()], {"type": "jsonl", "source": {"type": "file_id", "id": file.id}})

    assert counts(run) == (2, 1, 0, 1)
    assert len({item.model_extra["_datasource_item_content_hash"] for item in items(client, run)}) == 1


FILES = [
    # content, message of the failed run
    (b"", "no rows"),
    (b"not json\n", "line 1: not JSON"),
    (b'{"item": {"answer": 5}}\n', "line 1: item.answer: 5 is not of type 'string'"),
    (b'{"item": {"answer": "a"}}\n[]\n{"item": 1}\n', "line 2: expected an object.*\nline 3: expected"),
]


@pytest.mark.parametrize(("content", "message"), FILES)
def test_a_file_that_cannot_be_used_fails_the_run(
    client: openai.OpenAI, content: bytes, message: str
) -> None:
    """The run fails with the first problems of the file, each with its line."""
    import re

    file = client.files.create(file=("rows.jsonl", content), purpose="evals")

    run = run_of(client, [equals()], {"type": "jsonl", "source": {"type": "file_id", "id": file.id}})

    assert (run.status, run.error.code) == ("failed", "invalid_data_source")
    assert re.search(message, run.error.message), run.error.message


def test_a_run_grades_the_samples_of_another(client: openai.OpenAI) -> None:
    """The source "run" of this server: the same rows under other criteria."""
    data = rows({"item": {"answer": "a"}, "sample": {"output_text": "b"}}, {"item": {"answer": "a"}})
    first = run_of(client, [equals()], data)

    again = run_of(client, [equals("b")], {"type": "jsonl", "source": {"type": "run", "id": first.id}})

    assert (counts(first), counts(again)) == ((2, 0, 1, 1), (2, 1, 0, 1))


def test_an_eval_without_samples_grades_items(client: openai.OpenAI) -> None:
    """An eval without a sample schema: a program sees an empty sample, a template that wants one is an error."""
    program = (
        "def grade(sample, item):\n    return float(sample['output_text'] is None and item['answer'] == 'a')"
    )
    criteria = [python(program), equals("a", input="{{item.answer}}"), equals(name="reads")]

    run = run_of(client, criteria, rows({"item": {"answer": "a"}}), custom("answer", sample=False))

    results = items(client, run)[0].results
    assert [(one.passed, (one.model_extra or {}).get("error") is None) for one in results] == [
        (True, True),
        (True, True),
        (False, False),
    ]


# --- evals ---


def test_an_eval_is_created_updated_and_deleted(client: openai.OpenAI, server: RunningServer) -> None:
    """Created with 201, listed, updated, deleted with its runs, not found after."""
    made = client.evals.create(
        name="first", metadata={"k": "v"}, data_source_config=custom("answer"), testing_criteria=[equals()]
    )
    run = client.evals.runs.create(
        made.id, data_source=rows({"item": {"answer": "a"}}), name="r", metadata={"a": "b"}
    )

    assert int(made.id.removeprefix("eval_")[:8], 16) == made.created_at
    assert (run.name, run.metadata, run.status) == ("r", {"a": "b"}, "queued")
    # the client's types promise both, and the service sends neither before the run has begun
    assert [field for field in (run.per_model_usage, run.model) if field is not None] == []
    assert run.report_url == f"{server.url}/evals/{made.id}?run_id={run.id}"
    assert client.evals.retrieve(made.id).model_dump() == made.model_dump()
    assert next(one.id for one in client.evals.list(order="desc", limit=1)) == made.id
    renamed = client.evals.update(made.id, name="second", metadata={})
    assert (renamed.name, renamed.metadata, renamed.created_at) == ("second", {}, made.created_at)
    assert next(one.id for one in client.evals.list(order="desc", order_by="updated_at", limit=1)) == made.id
    assert [one.id for one in client.evals.runs.list(made.id)] == [run.id]
    ended(client, run)
    assert [one.id for one in client.evals.runs.list(made.id, status="completed")] == [run.id]
    assert client.evals.delete(made.id).deleted
    for gone in (
        lambda: client.evals.retrieve(made.id),
        lambda: client.evals.delete(made.id),
        lambda: client.evals.update(made.id, name="x"),
        lambda: client.evals.runs.list(made.id),
        lambda: client.evals.runs.retrieve(run.id, eval_id=made.id),
        lambda: client.evals.runs.cancel(run.id, eval_id=made.id),
        lambda: client.evals.runs.delete(run.id, eval_id=made.id),
        lambda: client.evals.runs.output_items.list(run.id, eval_id=made.id),
        lambda: client.evals.runs.create(made.id, data_source=rows({"item": {}})),
    ):
        with pytest.raises(openai.NotFoundError, match="found with id"):
            gone()


def test_criteria_come_back_as_the_service_has_them(client: openai.OpenAI) -> None:
    """An id of name and uuid, messages as parts, sampling_params null, an image tag."""
    program: Any = python("def grade(s, i):\n    return 1")
    judge: Any = {
        "type": "score_model",
        "name": "j",
        "model": "m",
        "input": [{"role": "user", "content": "{{item.answer}}"}],
    }

    made = client.evals.create(
        data_source_config=custom("answer"),
        testing_criteria=[judge, program],
    )

    first, second = (one.model_dump(exclude_unset=True) for one in made.testing_criteria)
    assert first["id"].startswith("j-")
    assert len(first["id"]) == len("j-") + 36
    assert first["input"] == [
        {"role": "user", "content": {"type": "input_text", "text": "{{item.answer}}"}, "type": "message"}
    ]
    assert first["sampling_params"] is None
    assert second["image_tag"] == "2025-05-08"


def test_configs_come_back_as_the_service_has_them(client: openai.OpenAI) -> None:
    configs: list[tuple[Any, list[str]]] = [
        (custom("a"), ["item", "sample"]),
        (custom("a", sample=False), ["item"]),
        ({"type": "logs", "metadata": {"use": "bot"}}, ["item", "sample"]),
        ({"type": "stored_completions"}, ["item", "sample"]),
    ]
    for given, required in configs:
        found = client.evals.create(data_source_config=given, testing_criteria=[equals()]).data_source_config
        assert found.type == given["type"]
        assert found.schema_["required"] == required
        assert getattr(found, "metadata", None) in (given.get("metadata", {}), None)


EVALS = [
    # body, param, part of the message
    ({}, "data_source_config", "Missing required parameter: 'data_source_config'"),
    ({"data_source_config": custom()}, "testing_criteria", "Missing required"),
    ({"data_source_config": 1}, "testing_criteria", "Missing required"),
    ({"data_source_config": {"type": "x"}, "testing_criteria": []}, "data_source_config.type", "'custom'"),
    ({"data_source_config": {"type": "azure_ai_source"}, "testing_criteria": []}, "data_source_config.type", "in Azure only"),
    ({"data_source_config": {"type": "custom"}, "testing_criteria": []}, "data_source_config.item_schema", "Missing required"),
    ({"data_source_config": {"type": "custom", "item_schema": {"type": "text"}}, "testing_criteria": []}, "data_source_config.item_schema", "Invalid schema at"),
    ({"data_source_config": custom(), "testing_criteria": {}}, "testing_criteria", "expected an array"),
    ({"data_source_config": custom(), "testing_criteria": [{"type": "string_check"}]}, "testing_criteria[0].operation", "Missing required"),
    ({"data_source_config": custom(), "testing_criteria": [{"type": "azure_ai_evaluator"}]}, "testing_criteria[0].type", "in Azure only"),
    ({"data_source_config": custom(), "testing_criteria": [{"type": "text_similarity", "input": "a", "reference": "b", "evaluation_metric": "bleu"}]}, "testing_criteria[0].pass_threshold", "which scores pass"),
    ({"data_source_config": custom(), "testing_criteria": [], "metadata": {"k": "v" * 513}}, "metadata", "at most 512"),
    ({"data_source_config": custom(), "testing_criteria": [], "metadata": {str(n): "" for n in range(17)}}, "metadata", "at most 16"),
    ({"data_source_config": custom(), "testing_criteria": [], "name": 5}, "name", "expected a string"),
    ([], None, "expected an object"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "param", "message"), EVALS)
def test_an_invalid_eval_is_refused(
    server: RunningServer, body: Any, param: str | None, message: str
) -> None:
    """400 with the place, in the service's words."""
    answer = server.post("/v1/evals", body)

    assert answer.status == 400
    assert answer.error["param"] == param
    assert message in answer.error["message"]


def template(*messages: Any, **fields: Any) -> dict[str, Any]:
    prompt = {"type": "template", "template": list(messages)}
    return {**rows({"item": {}}, kind="completions"), "input_messages": prompt, "model": "m", **fields}


RUNS = [
    # data source, param, part of the message
    (None, "data_source", "Missing required parameter: 'data_source'"),
    ({"type": "x"}, "data_source.type", "'jsonl'"),
    ({"type": "azure_ai_target_completions"}, "data_source.type", "in Azure only"),
    ({"type": "jsonl"}, "data_source.source", "Missing required"),
    ({"type": "jsonl", "source": {"type": "stored_completions"}}, "data_source.source.type", "'file_content'"),
    (rows(), "data_source.source.content", "holds no row"),
    (rows({"item": {"answer": 1}}, {"x": 1}), "data_source.source.content", "content[0]: item.answer: 1 is not of type 'string'\n"),
    (rows({"item": {"answer": 1}}, {"x": 1}), "data_source.source.content", "content[1]: expected an object"),
    ({"type": "jsonl", "source": {"type": "file_id", "id": "file-x"}}, "data_source.source.id", "No such File object: file-x"),
    ({"type": "jsonl", "source": {"type": "run", "id": "evalrun_x"}}, "data_source.source.id", "No run found"),
    (template(), "data_source.input_messages.template", "holds no message"),
    (template({"role": "user"}), "data_source.input_messages.template[0].content", "Missing required"),
    (template({"role": "user", "content": "{{item.}}"}), "data_source.input_messages.template[0].content.text", "item"),
    (template({"role": "user", "content": "a"}, model=None), "data_source.model", "Missing required"),
    ({**template(), "input_messages": {"type": "item_reference", "item_reference": "sample.x"}}, "data_source.input_messages.item_reference", "'item.input'"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "param", "message"), RUNS)
def test_an_invalid_run_is_refused(
    server: RunningServer, client: openai.OpenAI, source: Any, param: str, message: str
) -> None:
    """400 with the place; nothing is queued."""
    made = client.evals.create(data_source_config=custom("answer"), testing_criteria=[equals()])

    answer = server.post(f"/v1/evals/{made.id}/runs", {"data_source": source})

    assert answer.status == 400, answer.body
    assert answer.error["param"] == param
    assert message in answer.error["message"]
    assert list(client.evals.runs.list(made.id)) == []


def test_only_the_first_problems_are_listed(server: RunningServer, client: openai.OpenAI) -> None:
    made = client.evals.create(data_source_config=custom("answer"), testing_criteria=[equals()])

    answer = server.post(
        f"/v1/evals/{made.id}/runs", {"data_source": rows(*({"item": {}} for _ in range(100)))}
    )

    assert len(answer.error["message"].splitlines()) == 20


QUERIES = [
    ("limit=0", 200),
    ("limit=100000", 200),
    ("limit=x", 400),
    ("order=up", 400),
    ("after=nobody", 200),
    ("order_by=name", 400),
]


@pytest.mark.parametrize(("query", "status"), QUERIES)
def test_list_queries_are_bounded(server: RunningServer, query: str, status: int) -> None:
    """Limits are bounded, not refused; an unknown `after` is the start, as the official tests expect."""
    assert server.ask("GET", f"/v1/evals?{query}").status == status


def test_an_empty_list_has_texts_for_ids(server: RunningServer, client: openai.OpenAI) -> None:
    made = client.evals.create(data_source_config=custom(), testing_criteria=[equals()])

    found = server.ask("GET", f"/v1/evals/{made.id}/runs").json()

    assert found == {"object": "list", "data": [], "first_id": "", "last_id": "", "has_more": False}


@pytest.mark.parametrize("path", ["", "/cancel"])
@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1", "/openai"])
def test_a_run_is_canceled_by_either_path(
    server: RunningServer, client: openai.OpenAI, path: str, prefix: str
) -> None:
    """The Node client posts to the run itself, without a content type; the Python client below it. Azure's paths too."""
    run = run_of(client, [equals()], rows({"item": {"answer": "a"}}))

    answer = server.ask("POST", f"{prefix}/evals/{run.eval_id}/runs/{run.id}{path}")

    assert (answer.status, answer.json()["status"]) == (200, "completed"), (
        "a run that has ended stays as it is"
    )


def test_nulls_are_filled_by_choice() -> None:
    """`nulls = false`: for clients whose types take no null where the service sends one."""
    with eval_server("[evals]\nnulls = false\n") as server, client_of(server) as client:
        run = run_of(client, [equals()], rows({"item": {"answer": "a"}}))

        body = server.ask("GET", f"/v1/evals/{run.eval_id}/runs/{run.id}").json()
        item = server.ask("GET", f"/v1/evals/{run.eval_id}/runs/{run.id}/output_items").json()["data"][0]

    assert (body["error"], body["model"]) == ({"code": "", "message": ""}, "")
    assert None not in [item["sample"][name] for name in ("error", "usage", "model", "seed", "finish_reason")]


def test_any_text_survives_a_run(client: openai.OpenAI) -> None:
    """Texts with quotes, markup, lone surrogates and characters of other planes survive a run."""
    nasty = '"</script>\\ \u2028 \x00 \U0001f600'

    made = client.evals.create(
        name=nasty,
        metadata={nasty[:60]: nasty},
        data_source_config=custom("answer"),
        testing_criteria=[equals(name=nasty)],
    )
    run = ended(
        client, client.evals.runs.create(made.id, name=nasty, data_source=rows({"item": {"answer": nasty}}))
    )

    assert (made.name, run.name) == (nasty, nasty)
    assert items(client, run)[0].datasource_item == {"answer": nasty}
    assert json.loads(made.model_dump_json())["name"] == nasty

"""What users of the hosted Evals API do, by the official Python client alone: run by the tests with old and new ones.

    python scenarios.py BASE_URL KEY > seen.json

Each function is a script of its own, unchanged but for base_url: the official guide's and notebooks' steps, in our words.
"""

import asyncio
import base64
import io
import json
import sys
import time

import openai

URL, KEY = sys.argv[1], sys.argv[2]
client = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
LABEL = {
    "type": "string_check",
    "name": "Match",
    "operation": "eq",
    "input": "{{ sample.output_text }}",
    "reference": "{{ item.correct_label }}",
}


def schema(*names, sample=True):
    properties = {name: {"type": "string"} for name in names}
    item = {"type": "object", "properties": properties, "required": list(names)}
    return {"type": "custom", "item_schema": item, "include_sample_schema": sample}


def template(*messages):
    return {
        "type": "template",
        "template": [{"role": role, "content": content} for role, content in messages],
    }


def content(*rows):
    return {"type": "file_content", "content": [row if "item" in row else {"item": row} for row in rows]}


def finished(run):
    for _ in range(600):
        if run.status in ("completed", "failed", "canceled"):
            return run
        time.sleep(0.05)
        run = client.evals.runs.retrieve(run.id, eval_id=run.eval_id)
    raise TimeoutError(run.status)


def outcome(run):
    counts = run.result_counts
    return [run.status, counts.total, counts.passed, counts.failed, counts.errored]


def run_of(config, criteria, source):
    made = client.evals.create(name="scenario", data_source_config=config, testing_criteria=criteria)
    return finished(client.evals.runs.create(made.id, name="run", data_source=source))


def items_of(run):
    return list(client.evals.runs.output_items.list(run.id, eval_id=run.eval_id))


def guide():
    """Create, upload a file, run on responses, poll, read counts, usage and the report's address."""
    lines = [
        {"item": {"ticket_text": "My monitor is dead", "correct_label": "Hardware"}},
        {"item": {"ticket_text": "Hello", "correct_label": "Other"}},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    file = client.files.create(file=("tickets.jsonl", text), purpose="evals")
    source = {
        "type": "responses",
        "model": "gpt-4.1",
        "source": {"type": "file_id", "id": file.id},
        "input_messages": template(
            ("developer", "Categorize the ticket."), ("user", "{{ item.ticket_text }}")
        ),
    }
    run = run_of(schema("ticket_text", "correct_label"), [LABEL], source)
    usage = run.per_model_usage[0]
    assert run.report_url.startswith(URL)
    return [
        *outcome(run),
        usage.invocation_count,
        usage.total_tokens,
        run.per_testing_criteria_results[0].passed,
    ]


def bulk():
    """Nine runs at once: three prompts by three models; listed by status, four at a time."""
    made = client.evals.create(
        name="bulk", data_source_config=schema("q", "correct_label"), testing_criteria=[LABEL]
    )
    runs = [
        client.evals.runs.create(
            made.id,
            name=f"{prompt} {model}",
            data_source={
                "type": "completions",
                "model": model,
                "input_messages": template(("user", prompt + " {{item.q}}")),
                "source": content({"q": "a", "correct_label": "Hardware"}),
            },
        )
        for prompt in ("Say", "Tell", "Ask")
        for model in ("gpt-4o", "gpt-4o-mini", "o3")
    ]
    for run in runs:
        finished(run)
    listed = list(client.evals.runs.list(made.id, status="completed", limit=4))
    assert [run.id for run in listed] == [run.id for run in runs]
    return len(listed)


def regression():
    """Completions of one's own as samples: a whole one, and model and choices alone; the same prompt twice."""
    whole = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hardware"}}
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    judge = {
        "type": "label_model",
        "name": "Label",
        "model": "o3",
        "labels": ["good", "bad"],
        "passing_labels": ["good"],
        "input": [{"role": "user", "content": "{{item.q}}: {{sample.choices[0].message.content}}"}],
    }
    made = client.evals.create(
        name="regression", data_source_config=schema("q", "correct_label"), testing_criteria=[LABEL, judge]
    )
    seen = []
    for sample in (whole, {"model": "gpt-4o", "choices": whole["choices"]}):
        row = {"item": {"q": "a", "correct_label": "Hardware"}, "sample": sample}
        run = finished(
            client.evals.runs.create(made.id, data_source={"type": "jsonl", "source": content(row)})
        )
        seen.append(outcome(run))
    return seen


def structured():
    """A response format of either API; fields of the answer's JSON; a judge with a range of its own."""
    form = {
        "name": "s",
        "schema": {"type": "object", "properties": {"symbols": {"type": "array"}}},
        "strict": False,
    }
    judge = {
        "type": "score_model",
        "name": "Judge",
        "model": "o3",
        "range": [1, 7],
        "pass_threshold": 5.5,
        "input": [{"role": "system", "content": "Grade {{ sample.output_json.symbols }}"}],
    }
    check = {**LABEL, "input": "{{sample.output_json.symbols}}", "reference": '["x"]'}
    prompt = template(("user", "{{item.q}}"))
    chat = {"response_format": {"type": "json_schema", "json_schema": form}, "max_completion_tokens": 100}
    responses = {"text": {"format": {"type": "json_schema", **form}}, "max_completion_tokens": 100}
    seen = []
    for kind, params in (("completions", chat), ("responses", responses)):
        source = {
            "type": kind,
            "model": "gpt-4o",
            "input_messages": prompt,
            "source": content({"q": "a"}),
            "sampling_params": params,
        }
        run = run_of(schema("q"), [judge, check], source)
        page = client.evals.runs.output_items.list(run.id, eval_id=run.eval_id)
        assert json.loads(page.model_dump_json())["data"][0]["results"][0]["score"] == 6.0
        seen.append(outcome(run))
    return seen


def tools():
    """Functions of either API's shape, and a path into the JSON text of a call's arguments."""
    function = {
        "name": "extract",
        "description": "",
        "parameters": {"type": "object", "properties": {}},
        "strict": False,
    }
    check = {
        **LABEL,
        "input": "{{sample.output_tools[0].function.arguments.symbols[0].name}}",
        "reference": "x",
    }
    seen = []
    for kind, tool in (
        ("completions", {"type": "function", "function": function}),
        ("responses", {"type": "function", **function}),
    ):
        source = {
            "type": kind,
            "model": "gpt-4o",
            "input_messages": template(("user", "{{item.q}}")),
            "source": content({"q": "a"}),
            "sampling_params": {"tools": [tool]},
        }
        seen.append(outcome(run_of(schema("q"), [check], source)))
    return seen


def no_tool_was_used():
    """The MCP notebook's program: an answer without tool calls has an empty list of them."""
    program = "def grade(sample, item):\n    return float(len(sample.get('output_tools', [])) > 0)\n"
    source = {
        "type": "responses",
        "model": "gpt-4o",
        "input_messages": template(("user", "{{item.q}}")),
        "source": content({"q": "a"}),
    }
    grader = {"type": "python", "name": "used", "source": program, "pass_threshold": 1.0}
    label = {
        "type": "label_model",
        "name": "right",
        "model": "o3",
        "labels": ["good", "bad"],
        "passing_labels": ["good"],
        "input": [{"role": "user", "content": "{{sample.output_text}}"}],
    }
    run = run_of(schema("q"), [label, grader], source)
    return [*outcome(run), [one.passed for one in run.per_testing_criteria_results]]


def built_in_tools():
    """A tool that only the hosted service runs is an error of the row, with the reason."""
    source = {
        "type": "responses",
        "model": "gpt-4o",
        "input_messages": template(("user", "{{item.q}}")),
        "source": content({"q": "a"}),
        "sampling_params": {"tools": [{"type": "web_search_preview"}]},
    }
    run = run_of(schema("q"), [LABEL], source)
    return [*outcome(run), "web_search_preview" in items_of(run)[0].sample.error.message]


def images():
    """An image of the item in the prompt and for the judge; the record shows its address."""
    parts = [
        {"type": "input_text", "text": "{{item.q}}"},
        {"type": "input_image", "image_url": "{{item.url}}", "detail": "auto"},
    ]
    prompt = {
        "type": "template",
        "template": [{"role": "user", "type": "message", "content": part} for part in parts],
    }
    judge = {
        "type": "score_model",
        "name": "Judge",
        "model": "o3",
        "pass_threshold": 0.9,
        "input": [{"role": "user", "content": parts}],
    }
    source = {
        "type": "responses",
        "model": "gpt-4o",
        "input_messages": prompt,
        "source": content({"q": "a", "url": "http://i/x.png"}),
    }
    run = run_of(schema("q", "url"), [judge], source)
    return [*outcome(run), items_of(run)[0].sample.input[1].content]


def audio():
    """Base64 in the rows of a file, sent as input_audio; uploaded under a name that is no .jsonl."""
    data = base64.b64encode(b"RIFF" * 100).decode()
    line = json.dumps({"item": {"audio": data, "correct_label": "ware"}}).encode()
    file = client.files.create(file=("audio.json", io.BytesIO(line)), purpose="evals")
    message = {
        "role": "user",
        "content": {"type": "input_audio", "input_audio": {"data": "{{item.audio}}", "format": "wav"}},
    }
    source = {
        "type": "completions",
        "model": "gpt-audio",
        "source": {"type": "file_id", "id": file.id},
        "input_messages": {"type": "template", "template": [message]},
    }
    return outcome(run_of(schema("audio", "correct_label"), [{**LABEL, "operation": "like"}], source))


def listing():
    """Evals from the newest, by their last update; a change of name and metadata; what was deleted is not found."""
    made = [
        client.evals.create(name=f"listed {n}", data_source_config=schema("q"), testing_criteria=[LABEL])
        for n in range(3)
    ]
    newest = [one.id for one in client.evals.list(order="desc", limit=3).data]
    assert newest == [one.id for one in reversed(made)]
    changed = client.evals.update(made[0].id, name="changed", metadata={"k": "v"})
    listed = client.evals.list(order_by="updated_at", order="desc", limit=100).data
    assert made[0].id in [one.id for one in listed]
    deleted = [client.evals.delete(one.id).deleted for one in made]
    try:
        client.evals.retrieve(made[0].id)
    except openai.NotFoundError as error:
        return [changed.name, changed.metadata, deleted, error.status_code]
    raise AssertionError("an eval that was deleted is there")


def canceled():
    """A run is ended while it waits for its model, and deleted."""
    made = client.evals.create(name="x", data_source_config=schema("q"), testing_criteria=[LABEL])
    source = {
        "type": "completions",
        "model": "slow",
        "input_messages": template(("user", "{{item.q}}")),
        "source": content({"q": "a"}, {"q": "b"}),
    }
    run = client.evals.runs.create(made.id, data_source=source)
    while run.status == "queued":
        time.sleep(0.02)
        run = client.evals.runs.retrieve(run.id, eval_id=made.id)
    ended = client.evals.runs.cancel(run.id, eval_id=made.id)
    again = client.evals.runs.cancel(run.id, eval_id=made.id)
    return [run.status, ended.status, again.status, client.evals.runs.delete(run.id, eval_id=made.id).deleted]


def item_reference():
    """Messages that stand in the item itself."""
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    item = {"type": "object", "properties": {"input": {"type": "array"}}, "required": ["input"]}
    source = {
        "type": "responses",
        "model": "gpt-4o",
        "source": content({"input": messages}),
        "input_messages": {"type": "item_reference", "item_reference": "item.input"},
    }
    config = {"type": "custom", "item_schema": item, "include_sample_schema": True}
    run = run_of(config, [{**LABEL, "reference": "Hardware"}], source)
    return [*outcome(run), [[one.role, one.content] for one in items_of(run)[0].sample.input]]


def responses_logs():
    """Responses are kept unless told otherwise; graded as logged, then asked again of another model. A brace is missing."""
    for n in range(3):
        client.responses.create(model="gpt-4o", input=f"ticket {n}", metadata={"use": "logs"})
    judge = {
        "type": "label_model",
        "name": "Label",
        "model": "o3",
        "labels": ["good", "bad"],
        "passing_labels": ["good"],
        "input": [{"role": "user", "content": "{{item.input}} {{sample.output_text}"}],
    }
    made = client.evals.create(
        name="logs",
        data_source_config={"type": "logs", "metadata": {"use": "logs"}},
        testing_criteria=[judge],
    )
    source = {"type": "responses", "source": {"type": "responses", "metadata": {"use": "logs"}, "limit": 2}}
    logged = finished(client.evals.runs.create(made.id, data_source=source))
    reference = {"type": "item_reference", "item_reference": "item.input"}
    again = finished(
        client.evals.runs.create(
            made.id, data_source={**source, "model": "gpt-4o-mini", "input_messages": reference}
        )
    )
    return [outcome(logged), outcome(again)]


def monitoring():
    """Completions with store and metadata, listed; graded as logged, then asked again of another model."""
    for n in range(3):
        client.chat.completions.create(
            model="gpt-4o",
            messages=[{"role": "user", "content": f"ticket {n}"}],
            store=True,
            metadata={"use": "monitoring"},
            seed=n,
        )
    listed = len(list(client.chat.completions.list(metadata={"use": "monitoring"})))
    judge = {
        "type": "label_model",
        "name": "Label",
        "model": "o3",
        "labels": ["good", "bad"],
        "passing_labels": ["good"],
        "input": [{"role": "user", "content": "{{item.input}} {{sample.output_text}"}],
    }
    made = client.evals.create(
        name="monitoring",
        data_source_config={"type": "stored_completions", "metadata": {"use": "monitoring"}},
        testing_criteria=[judge],
    )
    source = {
        "type": "completions",
        "source": {"type": "stored_completions", "metadata": {"use": "monitoring"}},
    }
    logged = finished(client.evals.runs.create(made.id, data_source=source))
    reference = {"type": "item_reference", "item_reference": "item.input"}
    again = finished(
        client.evals.runs.create(
            made.id, data_source={**source, "model": "gpt-4o-mini", "input_messages": reference}
        )
    )
    return [listed, outcome(logged), outcome(again)]


def refused():
    """Bad criteria and a bad config are BadRequestErrors."""
    seen = []
    for config, criteria in (
        (schema("q"), [{"type": "string_check", "name": "x"}]),
        ({"type": "nothing"}, [LABEL]),
        ({"type": "custom", "item_schema": 5}, [LABEL]),
    ):
        try:
            client.evals.create(name="x", data_source_config=config, testing_criteria=criteria)
        except openai.BadRequestError as error:
            seen.append(error.param)
    return seen


def receipts():
    """Graders of the item alone; other types than texts on both sides; a judge that gets a system message only."""
    item = {
        "predicted": {"merchant": "Shell", "tip": None, "needs_audit": True, "names": ["a", "b"]},
        "correct": {"merchant": "Shell", "tip": None, "needs_audit": True, "names": ["a", "b"]},
    }

    def pair(field):
        return {"input": f"{{{{ item.predicted.{field} }}}}", "reference": f"{{{{ item.correct.{field} }}}}"}

    criteria = [
        {"type": "string_check", "name": "audit", "operation": "eq", **pair("needs_audit")},
        {"type": "string_check", "name": "tip", "operation": "eq", **pair("tip")},
        {"type": "text_similarity", "name": "names", "evaluation_metric": "fuzzy_match", "pass_threshold": 0.9, **pair("names")},
        {"type": "text_similarity", "name": "merchant", "evaluation_metric": "bleu", "pass_threshold": 0.8, **pair("merchant")},
        {"type": "score_model", "name": "items", "model": "o3", "range": [0, 10], "pass_threshold": 6,
         "input": [{"role": "system", "content": "Compare {{ item.predicted }} with {{ item.correct }}"}]},
    ]  # fmt: skip
    config = {
        "type": "custom",
        "item_schema": {"type": "object", "$defs": {"x": {}}},
        "include_sample_schema": False,
    }
    run = run_of(config, criteria, {"type": "jsonl", "source": content({"item": item})})
    return [*outcome(run), [one.passed for one in run.per_testing_criteria_results]]


async def many():
    """AsyncOpenAI: fifty rows, those that pass read seven at a time."""
    async with openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key=KEY) as asynchronous:
        evals = asynchronous.evals
        made = await evals.create(
            name="many", data_source_config=schema("q", "correct_label"), testing_criteria=[LABEL]
        )
        rows = [{"q": str(n), "correct_label": "Hardware" if n % 2 else "x"} for n in range(50)]
        source = {
            "type": "completions",
            "model": "gpt-4o",
            "input_messages": template(("user", "{{item.q}}")),
            "source": content(*rows),
        }
        run = await evals.runs.create(made.id, data_source=source)
        while run.status in ("queued", "in_progress"):
            await asyncio.sleep(0.05)
            run = await evals.runs.retrieve(run.id, eval_id=made.id)
        items = evals.runs.output_items.list(run.id, eval_id=made.id, limit=7, status="pass")
        return [item.datasource_item_id async for item in items]


def azure():
    """Azure's client, on its paths."""
    other = openai.AzureOpenAI(
        azure_endpoint=URL,
        api_key=KEY,
        api_version="2025-04-01-preview",
        default_headers={"aoai-evals": "preview"},
    )
    made = other.evals.create(name="azure", data_source_config=schema("q"), testing_criteria=[LABEL])
    source = {
        "type": "completions",
        "model": "gpt-4o",
        "input_messages": template(("user", "{{item.q}}")),
        "source": content({"q": "a", "correct_label": "Hardware"}),
    }
    run = finished(other.evals.runs.create(made.id, data_source=source))
    return [other.evals.retrieve(made.id).name, *outcome(run)]


SCENARIOS = (
    guide, bulk, regression, structured, tools, no_tool_was_used, built_in_tools, images, audio, listing, canceled,
    item_reference, monitoring, responses_logs, refused, receipts, azure,
)  # fmt: skip
seen = {"version": openai.__version__, "many": asyncio.run(many())}
for scenario in SCENARIOS:
    seen[scenario.__name__] = scenario()
print(json.dumps(seen))

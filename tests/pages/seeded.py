"""A server with runs that have something of everything a page shows, texts that attack it among them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import graders
from graders.ask import SampleAsk
from graders.report.binding import binding
from graders.report.claims import write_claim
from tests.evals.support import client_of, custom, ended, equals, eval_server, sampled
from tests.server.support import RunningServer

HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script></script>\u202e{{body}}'
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAYAAACNMs+9AAAAFUlEQVR42mNk+M9Qz0AEYBxVSF+FAAhKDveksOjmAAAAAElFTkSuQmCC"
N_ITEMS = 130
JUDGE = {
    "type": "score_model",
    "name": "helpful",
    "model": "judge",
    "range": [0, 1],
    "pass_threshold": 0.5,
    "input": [{"role": "user", "content": "How helpful is this?\n\n{{sample.output_text}}"}],
}
BROKEN = {
    "type": "string_check",
    "name": "unknown field",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.extra}}",
}


def answer(ask: SampleAsk) -> Any:
    """Most capitals, some wrong; the second model errs elsewhere."""
    content = str(ask.messages[-1]["content"])
    n = int(content.partition("#")[2].partition(" ")[0])
    wrong = n % 7 == 0 if ask.model == "m" else n % 7 == 1 or n % 5 == 0
    text = "The capital is Lyon." if wrong else "The capital is Paris."
    return f"{text} {HOSTILE}" if n == 3 else text


def judge(body: Any) -> str:
    good = "Paris" in str(body["messages"])
    steps = [{"description": "Look at the answer " + HOSTILE, "conclusion": "It names a city."}]
    return json.dumps({"steps": steps, "result": 0.9 if good else 0.2})


def rows() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for n in range(N_ITEMS):
        question = f"#{n} what is the capital of France?"
        wanted = f"The capital is Paris. {HOSTILE}" if n == 3 else "The capital is Paris."
        item = {"question": question, "answer": wanted, "picture": f"<image>{PIXEL}</image>"}
        made.append({"item": item if n % 11 == 4 else {**item, "extra": wanted}})
    return made


def write_claims(path: Path) -> None:
    """What is known of two graders of the seeded eval: the judge was calibrated, the comparison was another one when it was
    attacked."""
    judge_now, other = (binding(graders.compile(spec).spec, {}) for spec in (JUDGE, equals(operation="ne")))
    rates = {
        name: {"value": value, "low": value - 0.05, "high": value + 0.05, "n": 120, "items": 120}
        for name, value in (("sensitivity", 0.9), ("specificity", 0.8))
    }
    text = f"calibrated: kappa 0.81 [0.74, 0.87] on 240 labels {HOSTILE}"
    write_claim(path, "calibration", text, judge_now, threshold=0.5, **rates)
    write_claim(path, "attack", "340 wrong samples tried: none is paid like the gold", other)


@contextmanager
def seeded_server(**options: Any) -> Iterator[tuple[RunningServer, str, list[str]]]:
    """The server, an eval's id, and the ids of its two runs."""
    with eval_server(script=answer, judge=judge, **options) as server:
        client = client_of(server, api_key=options.get("token", "none"))
        made = client.evals.create(
            name=f"capitals {HOSTILE}",
            data_source_config=custom("question", "answer"),
            testing_criteria=[equals(), JUDGE, BROKEN],  # type: ignore[list-item]  # JSON, as a user writes it
        )
        runs = [
            client.evals.runs.create(
                made.id, name=f"run of {model}", data_source=sampled(*rows(), model=model)
            )
            for model in ("m", "other")
        ]
        yield server, made.id, [ended(client, run).id for run in runs]

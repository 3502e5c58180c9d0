"""The generator behind its pipe: a tiny model and its adapters answer, with stops, seeds, choices and cancellation."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.support import NEEDS_TRAINER, start, tell, train, warm

pytestmark = NEEDS_TRAINER

TAUGHT = [
    {"messages": [{"role": "user", "content": f"say {n}"}, {"role": "assistant", "content": "abcdefgh"}]}
    for n in range(16)
]


class GeneratorClient:
    """The generator, asked one thing after the other."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._number = 0

    def send(self, **changed: Any) -> int:
        self._number += 1
        request = {
            "adapter": None,
            "messages": [{"role": "user", "content": "say 3"}],
            "tools": None,
            "n": 1,
            "stop": [],
            "temperature": 0,
            "top_p": 1.0,
            "max_tokens": 8,
            "seed": None,
            **changed,
        }
        tell(self._process, {"type": "generate", "number": self._number, **request})
        return self._number

    def said(self, number: int) -> list[dict[str, Any]]:
        """What it says until the last word on this request, also on those before it."""
        assert self._process.stdout is not None
        messages: list[dict[str, Any]] = []
        while not messages or (messages[-1]["number"], messages[-1]["type"]) not in (
            (number, "answered"),
            (number, "refused"),
        ):
            messages.append(json.loads(self._process.stdout.readline()))
        return messages

    def texts(self, **changed: Any) -> list[str]:
        """The choices' texts."""
        found = [""] * changed.get("n", 1)
        for message in self.said(self.send(**changed)):
            if message["type"] == "text":
                found[message["index"]] += message["text"]
        return found


@pytest.fixture(scope="module")
def adapters(model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two adapters: one that was taught to say abcdefgh, and one that was about to be."""
    folders = []
    for rows in (TAUGHT * 15, TAUGHT[:4]):
        folders.append(tmp_path_factory.mktemp("taught") / "job")
        hyperparameters = {"n_epochs": 1, "batch_size": 4}
        message = start(
            "supervised",
            model,
            folders[-1],
            hyperparameters=hyperparameters,
            learning_rate=0.016,
            validation=None,
        )
        Path(message["train"]).write_text("\n".join(map(json.dumps, rows)))
        assert train(message)[-1]["type"] == "done"
    return [str(folder / "model") for folder in folders]


@pytest.fixture(scope="module")
def asked(model: Path) -> Iterator[GeneratorClient]:
    with subprocess.Popen(
        warm(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        tell(process, {"type": "serve", "model": str(model), "threads": 1})
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == {"type": "ready"}
        yield GeneratorClient(process)


def test_an_adapter_changes_the_answer_of_its_base(asked: GeneratorClient, adapters: list[str]) -> None:
    before = asked.texts()
    assert asked.texts(adapter=adapters[0]) == ["abcdefgh"]
    first = asked.texts(adapter=adapters[1])
    assert first != ["abcdefgh"]
    # no adapter rubs off on the base model, nor on another one
    assert asked.texts() == before != ["abcdefgh"]
    assert asked.texts(adapter=adapters[0]) == ["abcdefgh"]
    assert asked.texts(adapter=adapters[1]) == first


def test_a_seed_gives_equal_answers_and_choices_differ(asked: GeneratorClient) -> None:
    first, second = (asked.texts(temperature=1, seed=7, n=2, max_tokens=20) for _ in range(2))
    assert first == second
    assert first[0] != first[1]
    assert asked.texts(temperature=1, seed=8, n=2, max_tokens=20) != first
    assert asked.texts(temperature=1, max_tokens=20) != asked.texts(temperature=1, max_tokens=20)


@pytest.mark.parametrize(
    ("stop", "said", "reason"),
    [
        ([], "abcdefgh", "length"),
        (["de"], "abc", "stop"),
        (["dx", "gh"], "abcdef", "stop"),
        (["h?"], "abcdefgh", "length"),
        (["a"], "", "stop"),
        (["fg", "de"], "abc", "stop"),
    ],
)
def test_a_stop_sequence_ends_the_text(
    stop: list[str], said: str, reason: str, asked: GeneratorClient, adapters: list[str]
) -> None:
    messages = asked.said(asked.send(adapter=adapters[0], stop=stop))
    assert "".join(one["text"] for one in messages if one["type"] == "text") == said
    assert [one["reason"] for one in messages if one["type"] == "finish"] == [reason]


def test_a_refused_request_does_not_end_the_process(asked: GeneratorClient) -> None:
    long = [{"role": "user", "content": "x" * 600}]
    assert asked.said(asked.send(messages=long))[-1]["code"] == "context_length_exceeded"
    assert asked.said(asked.send(adapter="/nowhere"))[-1]["code"] == "model_not_found"
    assert asked.said(asked.send())[-1]["type"] == "answered"


def test_a_cancelled_request_makes_room_for_the_next(asked: GeneratorClient) -> None:
    abandoned = asked.send(n=64, max_tokens=480, temperature=1)
    tell(asked._process, {"type": "cancel", "number": abandoned})
    wanted = asked.send()
    ends = {one["number"]: one for one in asked.said(wanted) if one["type"] == "answered"}
    assert wanted in ends
    # it may never have begun
    if abandoned in ends:
        assert ends[abandoned]["completion_tokens"] < 64 * 480

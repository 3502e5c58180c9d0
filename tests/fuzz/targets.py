"""What reads bytes that somebody else chose, each as a function of bytes that fails when a promise does not hold.

The promises: nothing but the documented errors comes out, and what is read is within its documented range.
"""

from __future__ import annotations

import json
import math
import os
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from graders import SpecError, validate
from graders.errors import GradeError
from graders.formula import Formula
from graders.formula.parser import FormulaSyntax
from graders.jsontext import has_more_values
from graders.judges.reading import read_verdict
from graders.results.read import ResultsError, read_results
from graders.row import Row
from graders.stats.gather import gather
from graders.template import Template
from graders.template.mistakes import mistakes
from graders.verdict import AmbiguousVerdict, Verdict
from graders_sandbox import protocol
from graders_sandbox.host import results as frames
from graders_sandbox.jail.children import SampleChildren
from graders_sandbox.jail.records import Asker
from graders_sandbox.jail.untrusted import client, plain


def frame(data: bytes) -> None:
    """What a sample wrote as its result: an outcome of a documented kind, with a bounded text, or none."""
    outcome = frames.read_result(data)
    if outcome is not None:
        assert (outcome.value is None) == (outcome.status != "value")
        assert outcome.value is None or math.isfinite(outcome.value)
        assert len(outcome.text) <= protocol.TEXT_MAX
        assert all(c == "\n" or c.isprintable() for c in outcome.text + outcome.error_type)
    count = data[0] % 4 if data else 0
    outcomes = frames.read_results(data[1:], count)
    assert outcomes is None or len(outcomes) == count


def ask(data: bytes) -> None:
    """What a sample asks of the server about a child: a start within the limits, an end, or nothing more."""
    done: list[str] = []
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.setblocking(False)
        listened: Any = SimpleNamespace(
            register=lambda *of: None, unregister=lambda of: done.append("unregistered")
        )
        slots: Any = SimpleNamespace(free=[])
        templates: Any = SimpleNamespace(sources={})
        asker = Asker(channel=ours)
        children = SampleChildren(
            files=True,
            jailed=True,
            memory_bytes=1 << 30,
            slots=slots,
            templates=templates,
            listened=listened,
            running={},
            started=lambda *of: None,
            kill=lambda *of: done.append("killed"),
        )
        children.allow(asker, 0)
        if data:
            theirs.send(data[:1000])
        children.on_request(ours.fileno())
        assert len(done) <= 1
        if asker.wanted:
            assert 1 <= asker.wanted[1] <= 1 << 30


def told(data: bytes) -> None:
    """What the server answers a sample, through the sample's own reading of it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        child = client.Child.__new__(client.Child)
        child._server, child._channel, child._left, child._memory_bytes = ours, None, 1.0, 1
        theirs.send(data[:1000] or b"\0")
        with suppress(client.ChildEnded, client.ServerLost, RuntimeError):
            child._start()


def decode(data: bytes) -> None:
    """What the child of a model's code answers: plain data that survives another round, or an error that is caught."""
    with suppress(ValueError, TypeError, RecursionError, MemoryError, OverflowError):
        value = plain.decode(json.loads(data))
        again = plain.decode(json.loads(json.dumps(plain.encode(value))))
        assert repr(again) == repr(value) or isinstance(value, (set, frozenset, dict, list, tuple))


def spec(data: bytes) -> None:
    """A spec's text: a normalised spec that is its own normal form, or problems with a message and a code."""
    try:
        # with a line end it is a text, never a path
        normal = validate("\n" + data.decode("utf-8", "replace"))
    except SpecError as error:
        problems = error.problems
    else:
        assert validate(normal) == normal
        return
    assert problems
    assert all(problem.message and problem.code for problem in problems)


def template(data: bytes) -> None:
    """A template and a row: a text, or an error of the row. Text without braces stays as it is."""
    text = data.decode("utf-8", "replace")
    for mistake in mistakes(text):
        assert mistake.text in text
    row = Row('{"a": [1, {"b": null}]}', {"a": {"b": [text]}, "x": text})
    with suppress(GradeError):
        rendered = Template(text).render(row)
        assert "{{" in text or rendered == text


def formula(data: bytes) -> None:
    """A formula: a finite number, or one of its two errors, within its own bound of steps."""
    with suppress(FormulaSyntax, GradeError):
        compiled = Formula(data.decode("utf-8", "replace"), ("a", "b"))
        assert set(compiled.used) <= {"a", "b"}
        assert math.isfinite(compiled.value((0.5, 2.0)))


def judge(data: bytes) -> None:
    """A judge's answer: one finite number, one of the labels, or no verdict."""
    text = data.decode("utf-8", "replace")
    for verdict in (Verdict(), Verdict(labels=("good", "bad"))):
        for tolerant in (False, True):
            with suppress(AmbiguousVerdict):
                found = read_verdict(text, verdict, key="result", tolerant=tolerant)
                assert found in verdict.labels if verdict.labels else math.isfinite(float(found))


def values(data: bytes) -> None:
    """The number of values in a JSON text, counted without parsing: never fewer than a parser finds."""
    with suppress(ValueError, RecursionError):
        assert has_more_values(data, _n_values(json.loads(data)) - 1)


def _n_values(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    # a key that stands twice is one of the parsed value's
    return 1 + sum(map(_n_values, inner))


_FOLDER = tempfile.TemporaryDirectory(prefix="graders-fuzz-")


def results(data: bytes) -> None:
    """A results file, by both of its readers: finite rewards, or an error that names the file."""
    path = os.path.join(_FOLDER.name, "results.jsonl")
    Path(path).write_bytes(data)
    with suppress(ResultsError):
        for row in read_results(path).rows:
            assert row.reward is None or math.isfinite(row.reward)
    with suppress(ResultsError):
        assert all(map(math.isfinite, gather(path).rewards))


TARGETS: dict[str, Callable[[bytes], None]] = {
    one.__name__: one for one in (frame, ask, told, decode, spec, template, formula, judge, values, results)
}
